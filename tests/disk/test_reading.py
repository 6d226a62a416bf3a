"""Whatever stands at a path, reading it ends, and says why it could not be read."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ngbench.data.image_folder import FolderImages
from ngbench.disk import reading
from ngbench.disk.located_yaml import load_yaml
from ngbench.disk.reading import open_regular, read_whole
from ngbench.errors import DataError, NgbenchError, ParameterError, RecordError
from ngbench.frechet.network import inception_network
from ngbench.records.documents import load_document
from ngbench.records.sources import load_records
from ngbench.running.checkpoint import load_checkpoint

pytestmark = pytest.mark.skipif(os.name == "nt", reason="has neither named pipes nor /dev/zero")


@pytest.fixture
def odd_paths(tmp_path: Path) -> dict[str, Path]:
    """What is no file, by kind."""
    os.mkfifo(tmp_path / "pipe-seed0.json")
    listening = socket.socket(socket.AF_UNIX)
    # A socket's path has at most a hundred characters or so.
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        listening.bind("socket")
    finally:
        os.chdir(before)
        listening.close()
    (tmp_path / "link").symlink_to("/dev/zero")
    return {
        "pipe": tmp_path / "pipe-seed0.json",
        "socket": tmp_path / "socket",
        "zero": Path("/dev/zero"),
        "link": tmp_path / "link",
        "directory": tmp_path,
    }


@pytest.fixture(autouse=True)
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SILENCE", 0.2)


def _read_image(path: Path) -> None:
    FolderImages([str(path)], 4, 4, (), ())._decode(str(path))


READERS: dict[str, tuple[Callable[[Path], object], type[NgbenchError]]] = {
    "record": (load_document, RecordError),
    "checkpoint": (load_checkpoint, RecordError),
    "settings": (load_yaml, ParameterError),
    "weights": (inception_network, DataError),
    "image": (_read_image, DataError),
}


@pytest.mark.parametrize("kind", ["pipe", "socket", "zero", "link", "directory"])
@pytest.mark.parametrize("reader", list(READERS))
def test_every_reader_refuses_what_is_no_file_by_name(odd_paths: dict[str, Path], kind: str, reader: str) -> None:
    read, expected = READERS[reader]
    path = odd_paths[kind]
    with pytest.raises(expected) as raised:
        read(path)
    assert str(path) in str(raised.value)


def test_a_pipe_among_the_records_of_a_directory_does_not_keep_the_reader(odd_paths: dict[str, Path]) -> None:
    with pytest.raises(RecordError, match=r"pipe-seed0\.json.*nothing came out of this pipe for 0.2 s"):
        load_records(odd_paths["directory"])


@pytest.mark.parametrize("length", [0, 5, 20_000])
def test_what_somebody_wrote_into_a_pipe_is_read(length: int) -> None:
    content = os.urandom(length)
    reading, writing = os.pipe()
    try:
        os.write(writing, content)
        os.close(writing)
        # As a shell names what it substitutes for a command.
        path = Path(f"/dev/fd/{reading}")
        if length <= 5:
            assert read_whole(path, 5) == content
        else:
            with pytest.raises(OSError, match="longer than"):
                read_whole(path, 5)
    finally:
        os.close(reading)


def test_a_file_longer_than_allowed_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "sparse.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="longer than the 1 MiB that are allowed"):
        read_whole(path, reading.MEBIBYTE)


def test_an_open_file_is_a_regular_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    descriptor = open_regular(tmp_path / "a")
    try:
        assert stat.S_ISREG(os.fstat(descriptor).st_mode)
        assert os.read(descriptor, 10) == b"abc"
    finally:
        os.close(descriptor)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "b")
