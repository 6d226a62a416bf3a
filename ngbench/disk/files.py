"""The paths that a user names: asked for, listed, read and written so that every refusal is one sentence.

``pathlib`` answers a question about a path that nobody may look at (a directory that may not be searched, a name that
is too long, links that lead in a circle, a file where a directory would have to be) with ``False``, with an empty list
or with an exception, depending on the question and on the version of Python. Here it is always a
:class:`~ngbench.errors.PathError`. A path at which there is simply nothing is no error.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

from ngbench.disk.reading import MEBIBYTE, read_whole
from ngbench.errors import OutputError, ParameterError, PathError, UsageError
from ngbench.streams import write_out

__all__ = [
    "STANDARD_OUTPUT",
    "check_destination",
    "check_directory",
    "entries",
    "exists",
    "files_below",
    "given_destination",
    "given_path",
    "is_directory",
    "is_file",
    "make_directory",
    "read_bytes",
    "read_text",
    "reason",
    "replacing",
    "resolve",
    "write_bytes",
    "write_text",
]

STANDARD_OUTPUT = "-"
"""The destination that is no file."""


def given_path(text: str | os.PathLike[str]) -> Path:
    """The path that a user gave as an option or an argument; there need not be anything.

    Raises:
        ParameterError: it is empty, or no path.
        PathError: it cannot be looked at.
    """
    if not isinstance(text, (str, os.PathLike)):
        raise ParameterError(f"{text!r} is not allowed, it must be a path")
    if not os.fspath(text):
        raise ParameterError("an empty path is not allowed; the current directory is '.'")
    path = Path(text)
    _status(path)
    return path


def given_destination(text: str) -> str:
    """As :func:`given_path`, for a file to write, which may be ``-`` for standard output."""
    return text if text == STANDARD_OUTPUT else str(given_path(text))


def exists(path: Path) -> bool:
    """Whether there is anything at the path.

    Raises:
        PathError: it cannot be looked at.
    """
    return _status(path) is not None


def is_directory(path: Path) -> bool:
    """Whether there is a directory; raises as :func:`exists`."""
    found = _status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def is_file(path: Path) -> bool:
    """Whether there is a regular file; raises as :func:`exists`."""
    found = _status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def resolve(path: Path) -> Path:
    """The absolute path without links in it; raises as :func:`exists`."""
    _status(path)
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        # Until Python 3.13, a circle of links is a RuntimeError.
        raise PathError(f"cannot use {str(path)!r}: {reason(path, error)}") from error


def entries(directory: Path, pattern: str = "*") -> list[Path]:
    """What the directory holds, as far as its name matches the pattern, sorted by name.

    Raises:
        PathError: it cannot be listed.
    """
    try:
        names = sorted(os.listdir(directory))
    except (OSError, ValueError) as error:
        raise PathError(f"cannot list {str(directory)!r}: {reason(directory, error)}") from error
    return [directory / name for name in names if fnmatchcase(name, pattern)]


def files_below(directory: Path, suffix: str) -> list[Path]:
    """The files at any depth below the directory whose name ends in ``suffix``; links to directories are not followed.

    Raises:
        PathError: one of the directories cannot be listed.
    """

    def refuse(error: OSError) -> None:
        path = Path(error.filename)
        raise PathError(f"cannot list {str(path)!r}: {reason(path, error)}") from error

    return sorted(
        Path(parent) / name
        for parent, _, names in os.walk(directory, onerror=refuse)
        for name in names
        if name.endswith(suffix)
    )


def read_bytes(
    path: Path, what: str = "", error: type[UsageError] = PathError, longest: int = 1024 * MEBIBYTE
) -> bytes:
    """The content of a file, or what comes out of a pipe.

    Args:
        path: the file.
        what: what the message calls it, in front of its path.
        error: what is raised if it cannot be read.
        longest: bytes that it may have.
    """
    try:
        return read_whole(path, longest)
    except (OSError, ValueError) as refused:
        raise error(f"cannot read {_named(what, path)}: {reason(path, refused)}") from refused


def read_text(path: Path, what: str = "", error: type[UsageError] = PathError, longest: int = 256 * MEBIBYTE) -> str:
    """The content of a text file, with line breaks as ``\\n``; as :func:`read_bytes`, and it must be in UTF-8."""
    try:
        text = read_bytes(path, what, error, longest).decode("utf-8")
    except UnicodeDecodeError as refused:
        raise error(f"{_named(what, path)} is not a text file in UTF-8") from refused
    return text.replace("\r\n", "\n").replace("\r", "\n")


def make_directory(directory: Path) -> None:
    """Make the directory and those above it, where they do not exist.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot make the directory {str(directory)!r}: {reason(directory, error)}") from error


def check_destination(destination: str | Path, within: Path | None = None) -> None:
    """Refuse, before anything runs, a file that could not be written.

    Args:
        destination: the file.
        within: a directory that there need not be yet: what lies below it is made with the file.

    Raises:
        OutputError: it is a directory, its directory does not exist, or either is not writable.
        PathError: it cannot be looked at.
    """
    path = Path(destination)
    if str(destination) == STANDARD_OUTPUT:
        return
    there = exists(path)
    if there and is_directory(path):
        raise OutputError(f"cannot write to {str(path)!r}: it is a directory; name a file in it")
    if not is_directory(path.parent):
        if within is not None and Path(os.path.abspath(path)).is_relative_to(os.path.abspath(within)):
            check_directory(path.parent)
            return
        raise OutputError(f"cannot write to {str(path)!r}: there is no directory {str(path.parent)!r}")
    written = path if there and not is_file(path) else path.parent
    if not os.access(written, os.W_OK) or (there and not os.access(path, os.W_OK)):
        raise OutputError(f"cannot write to {str(path)!r}: no permission to write there")


def check_directory(directory: str | Path) -> None:
    """Refuse, before anything runs, a directory in which nothing could be written or that could not be made.

    Raises:
        OutputError: it, or the nearest directory above it that exists, is no directory or not writable.
        PathError: it cannot be looked at.
    """
    path = Path(directory)
    existing = next(parent for parent in (path, *path.absolute().parents) if exists(parent))
    if not is_directory(existing):
        raise OutputError(f"cannot write to {str(path)!r}: {str(existing)!r} is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {str(path)!r}: no permission to write in {str(existing)!r}")


def write_text(text: str, destination: str | Path) -> None:
    """Write the text to the destination in UTF-8, whole or not at all; what UTF-8 has no bytes for is escaped.

    Raises:
        OutputError: the destination cannot be written.
    """
    if str(destination) == STANDARD_OUTPUT:
        write_out(text)
    else:
        write_bytes(text.encode("utf-8", errors="backslashreplace"), Path(destination))


def write_bytes(content: bytes, path: Path) -> None:
    """Write the file, whole or not at all, and the directories above it; raises as :func:`write_text`."""
    make_directory(path.parent)
    check_destination(path)
    try:
        if exists(path) and not is_file(path):
            # A device or a pipe is written to, not replaced.
            path.write_bytes(content)
            return
        with replacing(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise OutputError(f"cannot write to {str(path)!r}: {reason(path, error)}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file of the same directory that becomes ``path`` if nothing goes wrong, so that ``path`` is never half a file.

    Its name does not hold that of ``path``, which may be as long as names may be.

    Raises:
        OSError: the file cannot be put in its place.
    """
    # Others that write it at the same time may be on other machines: no number of a process tells them apart.
    partial = path.with_name(f".{os.urandom(8).hex()}.part")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        # A disk that does not take the file may not give it up either.
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def reason(path: Path, error: Exception) -> str:
    """Why the system refuses the path, in words."""
    number = getattr(error, "errno", None)
    if number == errno.ELOOP or isinstance(error, RuntimeError):
        return "its links lead in a circle"
    if number in (errno.ENOTDIR, errno.EEXIST):
        there = next((part for part in (path, *path.parents) if os.path.lexists(part)), path)
        return f"{str(there)!r} is not a directory"
    if isinstance(error, ValueError):
        return "no file can have this name"
    return getattr(error, "strerror", None) or str(error)


def _status(path: Path) -> os.stat_result | None:
    """What the system says of the path, behind links; ``None`` if there is nothing."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise PathError(f"cannot use {str(path)!r}: {reason(path, error)}") from error


def _named(what: str, path: Path) -> str:
    return f"{what} {str(path)!r}".lstrip()
