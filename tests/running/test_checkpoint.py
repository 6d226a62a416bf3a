from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ngbench.errors import OutputError, RecordError
from ngbench.records.record import History, RunRecord
from ngbench.running.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ngbench.running.config import RunConfig
from ngbench.running.randomness import seeded_state

RecordOf = Callable[[RunConfig], RunRecord]


@pytest.fixture
def checkpoint(configure: Callable[..., RunConfig], record_of: RecordOf) -> Checkpoint:
    record = record_of(configure())
    return Checkpoint({"weight": torch.ones(3)}, {"state": {}}, seeded_state(1, torch.device("cpu")), record)


def test_a_checkpoint_comes_back_as_it_was(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path / "run.pt")
    loaded = load_checkpoint(tmp_path / "run.pt")
    assert torch.equal(loaded.model["weight"], torch.ones(3))
    assert loaded.record == checkpoint.record
    assert torch.equal(loaded.random["torch"], checkpoint.random["torch"])
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files")
@pytest.mark.parametrize("room", [0, 100, 3000])
def test_a_disk_without_room_is_said_and_leaves_the_last_checkpoint(
    checkpoint: Checkpoint, tmp_path: Path, room: int
) -> None:
    import resource

    path = tmp_path / "run.pt"
    save_checkpoint(checkpoint, path)
    before = path.read_bytes()
    assert len(before) > 3000
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(OutputError) as caught:
            save_checkpoint(checkpoint, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == f"cannot write the checkpoint {str(path)!r}: File too large"
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["run.pt"]


def test_a_flipped_bit_is_found_or_makes_no_difference(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    save_checkpoint(checkpoint, path)
    content = path.read_bytes()
    refused = 0
    for at in range(0, len(content), 29):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        try:
            loaded = load_checkpoint(path)
        except RecordError:
            refused += 1
        else:
            # Between the parts of the archive there are bytes that mean nothing.
            assert torch.equal(loaded.model["weight"], torch.ones(3))
            assert loaded.record == checkpoint.record
            assert torch.equal(loaded.random["torch"], checkpoint.random["torch"])
    assert refused > len(content) / 29 / 2


@pytest.mark.parametrize(
    "crafted",
    [
        {"model": [1]},
        {"optimizer": "state"},
        {"random": None},
        {"record": "{}"},
        {"record": 5},
        {"record": lambda record: record.model_copy(update={"history": History(epoch=[1, 2], step=[3])})},
        # What could not be read back once it is in a record's file.
        {"record": lambda record: record.model_copy(update={"extras": {"mine": 10**400}})},
        {"record": lambda record: record.model_copy(update={"extras": {"mine": {"x" * 1001: 1}}})},
        {"record": lambda record: record.model_copy(update={"extras": {"mine": json.loads("[" * 60 + "]" * 60)}})},
    ],
)
def test_a_crafted_checkpoint_is_refused(checkpoint: Checkpoint, tmp_path: Path, crafted: dict[str, Any]) -> None:
    path = tmp_path / "run.pt"
    save_checkpoint(checkpoint, path)
    content = torch.load(path, weights_only=True)
    change = {
        name: value(checkpoint.record).model_dump_json() if callable(value) else value
        for name, value in crafted.items()
    }
    torch.save({**content, **change}, path)
    with pytest.raises(RecordError, match="is corrupt"):
        load_checkpoint(path)


class Trap:
    """Makes a directory where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_loading_executes_nothing(tmp_path: Path) -> None:
    torch.save({"version": 1, "model": Trap(tmp_path / "sprung")}, tmp_path / "run.pt")
    with pytest.raises(RecordError, match="corrupt"):
        load_checkpoint(tmp_path / "run.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "other keys"])
def test_a_damaged_checkpoint_is_named(checkpoint: Checkpoint, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "run.pt"
    save_checkpoint(checkpoint, path)
    content = path.read_bytes()
    damaged = {
        "truncated": content[: len(content) // 2],
        "garbage": bytes(reversed(content)),
        "empty": b"",
        "other keys": pickle.dumps({"a": 1}),
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(RecordError, match=r"the checkpoint '.*run\.pt' is corrupt"):
        load_checkpoint(path)


def test_another_version_and_a_missing_file_are_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    torch.save({"version": 99}, tmp_path / "run.pt")
    with pytest.raises(RecordError, match="has version 99; this version of ngbench reads version 1"):
        load_checkpoint(tmp_path / "run.pt")
    with pytest.raises(RecordError, match="is missing"):
        load_checkpoint(tmp_path / "none.pt")
