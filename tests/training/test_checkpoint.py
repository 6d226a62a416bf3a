from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ngbench.errors import RecordError
from ngbench.results.record import RunRecord
from ngbench.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ngbench.training.config import RunConfig
from ngbench.training.randomness import seeded_state

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


def test_a_write_that_fails_leaves_the_last_checkpoint(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.pt"
    save_checkpoint(checkpoint, path)
    before = path.read_bytes()

    def full(content: Any, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(checkpoint, path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["run.pt"]


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
