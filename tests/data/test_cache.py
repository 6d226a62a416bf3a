"""Generated arrays on disk: kept whole, and made anew when the bytes are not theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ngbench.data.cache import cached_array

ARRAY = np.arange(200, dtype=np.uint8).reshape(20, 10)


class Maker:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return ARRAY.copy()


def test_made_once(tmp_path: Path) -> None:
    make = Maker()
    path = tmp_path / "below" / "array.npy"
    for _ in range(2):
        np.testing.assert_array_equal(cached_array(path, ARRAY.shape, make), ARRAY)
    assert make.calls == 1
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["array.npy", "array.npy.sha256"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_shape(path: Path) -> None:
    np.save(path, ARRAY.reshape(10, 20))


def other_dtype(path: Path) -> None:
    np.save(path, ARRAY.astype(np.int8))


def pickled(path: Path) -> None:
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)


def archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, ARRAY)


def lose_the_digest(path: Path) -> None:
    path.with_name(path.name + ".sha256").unlink()


def garble_the_digest(path: Path) -> None:
    path.with_name(path.name + ".sha256").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        flip_a_bit,
        empty,
        other_shape,
        other_dtype,
        pickled,
        archive,
        lose_the_digest,
        garble_the_digest,
    ],
)
def test_damaged_file_is_made_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    make = Maker()
    path = tmp_path / "array.npy"
    cached_array(path, ARRAY.shape, make)
    damage(path)
    for _ in range(2):
        np.testing.assert_array_equal(cached_array(path, ARRAY.shape, make), ARRAY)
    assert make.calls == 2


def test_array_is_returned_where_it_cannot_be_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "occupied").touch()
    array = cached_array(tmp_path / "occupied" / "array.npy", ARRAY.shape, Maker())
    np.testing.assert_array_equal(array, ARRAY)
    assert "could not keep" in caplog.text


def test_failed_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    cached_array(tmp_path / "array.npy", ARRAY.shape, Maker())
    assert list(tmp_path.iterdir()) == []
    assert "No space left on device" in caplog.text
