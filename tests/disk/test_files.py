"""Paths that a user names: what the system refuses is one sentence."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ngbench.disk import files
from ngbench.errors import OutputError, ParameterError, PathError, RecordError


def circle(directory: Path) -> Path:
    (directory / "left").symlink_to("right")
    (directory / "right").symlink_to("left")
    return directory / "left"


def below_a_file(directory: Path) -> Path:
    (directory / "file").touch()
    return directory / "file" / "below"


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a name of 300 letters": (lambda directory: directory / ("x" * 300), "File name too long"),
    "a path of 5,000 letters": (lambda directory: directory.joinpath(*["x" * 99] * 50), "File name too long"),
    "links in a circle": (circle, "its links lead in a circle"),
    "below a circle": (lambda directory: circle(directory) / "x", "its links lead in a circle"),
    "below a file": (below_a_file, "file' is not a directory"),
    "a zero byte": (lambda directory: directory / "a\0b", "no file can have this name"),
    "half a surrogate pair": (lambda directory: directory / "a\ud800b", "no file can have this name"),
}
QUESTIONS: dict[str, Callable[[Path], object]] = {
    "exists": files.exists,
    "is_directory": files.is_directory,
    "is_file": files.is_file,
    "resolve": files.resolve,
    "entries": files.entries,
    "read_bytes": files.read_bytes,
    "read_text": files.read_text,
    "given_path": files.given_path,
    "check_destination": files.check_destination,
    "check_directory": files.check_directory,
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("bad", BAD)
def test_a_path_that_cannot_be_looked_at_is_one_sentence(tmp_path: Path, bad: str, question: str) -> None:
    make, said = BAD[bad]
    path = make(tmp_path)
    if question == "check_directory" and bad == "below a file":
        # There the directory above is looked at, which is one sentence more to the point.
        said = "is not a directory"
    with pytest.raises(PathError) as caught:
        QUESTIONS[question](path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("question", [name for name in QUESTIONS if name not in ("check_destination", "given_path")])
def test_a_directory_that_may_not_be_searched_is_said(
    tmp_path: Path, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object, *arguments: object, **settings: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    # In the place of a directory of another user, whom root would not notice.
    for name in ("stat", "listdir", "open"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr("io.open", refuse)
    with pytest.raises(PathError, match="Permission denied"):
        QUESTIONS[question](tmp_path / "x")


def test_nothing_at_a_path_is_no_error(tmp_path: Path) -> None:
    nothing = tmp_path / "none" / "x"
    assert not files.exists(nothing)
    assert not files.is_file(nothing)
    assert not files.is_directory(nothing)
    assert files.given_path(str(nothing)) == nothing
    assert files.resolve(nothing) == nothing.resolve()


@pytest.mark.parametrize("given", [files.given_path, files.given_destination])
def test_an_empty_path_is_no_path(given: Callable[[str], object]) -> None:
    with pytest.raises(ParameterError, match="an empty path is not allowed; the current directory is '\\.'"):
        given("")


def test_standard_output_is_a_destination() -> None:
    assert files.given_destination("-") == "-"


def test_directories_are_listed_in_order_and_by_pattern(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", "c.txt", "B.JSON"):
        (tmp_path / name).touch()
    assert files.entries(tmp_path, "*.json") == [tmp_path / "a.json", tmp_path / "b.json"]
    assert len(files.entries(tmp_path)) == 4


def test_files_are_found_at_any_depth_but_not_behind_links(tmp_path: Path) -> None:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "deep" / "deeper" / "a.json").touch()
    (tmp_path / "b.json").touch()
    (tmp_path / "up").symlink_to(tmp_path)
    assert files.files_below(tmp_path, ".json") == [tmp_path / "b.json", tmp_path / "deep" / "deeper" / "a.json"]


def test_a_directory_within_that_cannot_be_listed_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PathError, match=r"cannot list '.*locked': Permission denied"):
        files.files_below(tmp_path, ".json")


def test_reading_says_what_it_was_after_and_raises_as_asked(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"^cannot read the record '.*none': No such file or directory$"):
        files.read_text(tmp_path / "none", "the record", RecordError)
    (tmp_path / "latin").write_bytes("Bézier".encode("latin-1"))
    with pytest.raises(RecordError, match=r"^the record '.*latin' is not a text file in UTF-8$"):
        files.read_text(tmp_path / "latin", "the record", RecordError)


def test_line_breaks_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a\r\nb\rc\n")
    assert files.read_text(tmp_path / "text") == "a\nb\nc\n"


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")

    def full(self: Path, content: bytes) -> None:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        files.write_text("new", path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_name_as_long_as_names_may_be_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    files.write_text("new", path)
    assert path.read_text() == "new"


def test_text_that_has_no_bytes_is_written_all_the_same(tmp_path: Path) -> None:
    files.write_text("Bézier \udcff", tmp_path / "out.md")
    assert (tmp_path / "out.md").read_bytes() == "Bézier \\udcff".encode()


def test_a_device_is_written_to_and_not_replaced() -> None:
    files.write_text("x", os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    with pytest.raises(OutputError, match="No space left on device"):
        files.write_text("x", "/dev/full")


def test_destinations_that_cannot_be_written_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a directory"):
        files.check_destination(tmp_path)
    with pytest.raises(OutputError, match=r"there is no directory '.*none'"):
        files.check_destination(tmp_path / "none" / "out.json")
    files.check_destination(tmp_path / "out.json")
    files.check_destination("-")
    assert os.listdir(tmp_path) == []


def test_below_a_directory_that_is_to_be_made_a_file_may_lie_and_its_directory_is_made_with_it(tmp_path: Path) -> None:
    output, out = tmp_path / "to" / "out", tmp_path / "to" / "out" / "tables" / "all.csv"
    files.check_destination(out, within=output)
    with pytest.raises(OutputError, match="there is no directory"):
        files.check_destination(output / ".." / ".." / "none" / "all.csv", within=output)
    with pytest.raises(OutputError, match="there is no directory"):
        files.check_destination(tmp_path / "to" / "out2" / "all.csv", within=output)
    assert os.listdir(tmp_path) == []
    files.write_text("x", out)
    assert out.read_text() == "x"


def test_directories_that_cannot_be_made_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PathError, match="is not a directory"):
        files.check_directory(tmp_path / "file" / "figures")
    with pytest.raises(OutputError, match="is not a directory"):
        files.check_directory(tmp_path / "file")
    with pytest.raises(OutputError, match="file' is not a directory"):
        files.make_directory(tmp_path / "file")
    files.check_directory(tmp_path / "new" / "figures")
    assert os.listdir(tmp_path) == ["file"]


def test_missing_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(OutputError, match="no permission"):
        files.check_destination(tmp_path / "out.json")
    with pytest.raises(OutputError, match="no permission"):
        files.check_directory(tmp_path / "figures")
