"""Downloads that are resumed where they stopped and become visible only when they are whole and genuine."""

from __future__ import annotations

import hashlib
import http.client
import os
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ngbench.data.watching import download_watched
from ngbench.disk import files
from ngbench.disk.locks import PATIENCE, locked
from ngbench.disk.reading import open_regular
from ngbench.errors import DataError, OutputError
from ngbench.units import format_bytes

__all__ = ["DownloadError", "RemoteFile", "checksum_matches", "download"]

# Seconds without a byte, connecting included, before a mirror is given up.
TIMEOUT = 10.0
# A mirror that breaks off is asked again for the rest, as long as it sends something.
ATTEMPTS = 3
CHUNK = 1 << 18


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded.

    Attributes:
        name: its name on disk.
        urls: where it can be had; tried in order.
        checksum: ``"sha256:HEX"`` or ``"md5:HEX"``; None where none is published.
        read: reads the file at a path and raises a ``DataError`` if it is something else, such as the page of a
            network that asks for a password; for a file without a checksum.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str | None
    read: Callable[[Path], object] | None = None

    def __post_init__(self) -> None:
        if self.checksum is None and self.read is None:
            raise ValueError(f"there is nothing by which {self.name} could be told from another file")

    def is_genuine(self, path: Path) -> bool:
        """Whether the file at the path is this one, as far as can be known."""
        if self.checksum is not None:
            return checksum_matches(path, self.checksum)
        assert self.read is not None
        try:
            self.read(path)
        except DataError:
            return False
        return True


class DownloadError(DataError):
    """No mirror delivered the file."""


class _MirrorError(Exception):
    """Why one mirror did not deliver."""


class _BrokenOff(_MirrorError):
    """The connection ended early; what has arrived is kept in the partial file."""


def checksum_matches(path: Path, checksum: str) -> bool:
    """Whether the file has the checksum ``"ALGORITHM:HEX"``."""
    algorithm, _, expected = checksum.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(open_regular(path), "rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest() == expected


def download(file: RemoteFile, directory: Path, timeout: float = TIMEOUT) -> Path:
    """Download a file into a directory, which is created where it is missing.

    Bytes are collected in ``NAME.part``; an earlier partial file is continued with an HTTP range request. It is
    renamed to ``NAME`` only when its length is right and it is the file that was meant; else it is deleted. One process
    downloads, and others that want the same file wait as long as bytes keep arriving.

    Args:
        file: what to download.
        directory: where to put it.
        timeout: seconds without a byte before a mirror is given up.

    Returns:
        The path of the whole file; nothing is downloaded if it exists already.

    Raises:
        DownloadError: no mirror delivered the file.
        DataError: the file cannot be written, or a process that downloads it hangs.
    """
    target = directory / file.name
    if files.exists(target):
        return target
    partial = _partial(target)
    failures = []
    made = [folder for folder in (directory, *directory.parents) if not files.exists(folder)]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with locked(partial.with_name(f"{partial.name}.lock"), _while_it_grows(partial), remove=True):
            if files.exists(target):
                return target
            _remove_what_is_no_file(partial)
            for url in file.urls:
                try:
                    _download_from(url, file, target, timeout)
                except _MirrorError as error:
                    failures.append(f"{urlsplit(url).netloc} {error}")
                else:
                    return target
    except OSError as error:
        raise DataError(f"cannot write {str(target)!r}: {error.strerror or error}") from None
    except OutputError as error:
        raise DataError(str(error)) from None
    finally:
        # Those that hold something by now stay.
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
    raise DownloadError(
        f"could not download {file.name}: {', '.join(failures)}; "
        f"try again later, or get the file by hand and put it at {str(target)!r}"
    )


def _partial(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _while_it_grows(partial: Path) -> Callable[[], float]:
    """The patience of one who waits for another process that writes the file."""
    begun = time.monotonic()
    seen, when = -1, begun

    def patience() -> float:
        nonlocal seen, when
        size = partial.stat().st_size if partial.exists() else 0
        if size != seen:
            seen, when = size, time.monotonic()
        return when - begun + PATIENCE

    return patience


def _remove_what_is_no_file(partial: Path) -> None:
    """In a directory that others may write to, a link leads to a file of ours, and a pipe keeps us waiting."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(partial.lstat().st_mode):
            partial.unlink()


def _download_from(url: str, file: RemoteFile, target: Path, timeout: float) -> None:
    partial = _partial(target)
    resumed = partial.exists()
    attempts = ATTEMPTS
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            _fetch(url, partial, timeout)
        except _BrokenOff:
            attempts -= 1
            if attempts == 0 or partial.stat().st_size <= before:
                raise
            continue
        if file.is_genuine(partial):
            os.replace(partial, target)
            return
        partial.unlink()
        if not resumed:
            raise _MirrorError(
                "sent a file with a wrong checksum" if file.checksum is not None else "sent something else"
            )
        # What an earlier run had left may have been at fault: once more from the beginning.
        resumed = False


def _fetch(url: str, partial: Path, timeout: float) -> None:
    """Append to the partial file what is missing of it, or write it from the beginning."""
    offset = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", "User-Agent": "ngbench"})
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 416 or not offset:
                raise _MirrorError(f"answered {error.code} {error.reason}") from None
            # No such range: the partial file is whole already, or is no part of this file.
            whole = error.headers.get("Content-Range") == f"bytes */{offset}"
        if not whole:
            partial.unlink()
            _fetch(url, partial, timeout)
        return
    except http.client.HTTPException as error:
        raise _MirrorError(f"sent an invalid answer ({_reason(error)})") from None
    except OSError as error:
        raise _MirrorError(f"is unreachable ({_reason(getattr(error, 'reason', error))})") from None
    with response:
        _receive(response, partial, offset)


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _receive(response: http.client.HTTPResponse, partial: Path, offset: int) -> None:
    continued = response.status == 206
    if continued and not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        raise _MirrorError("sent another range than it was asked for")
    start = offset if continued else 0
    total = None if response.length is None else start + response.length
    received = start
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("ab" if continued else "wb") as file, download_watched(partial.stem, start, total) as advance:
        while block := _read(response):
            file.write(block)
            received += len(block)
            advance(len(block))
    if total is not None and received < total:
        raise _BrokenOff(f"broke off after {format_bytes(received)} of {format_bytes(total)}")


def _read(response: http.client.HTTPResponse) -> bytes:
    # An OSError of the connection must not be taken for one of the disk.
    try:
        return response.read(CHUNK)
    except (http.client.HTTPException, OSError) as error:
        raise _BrokenOff(f"broke off ({_reason(error)})") from None
