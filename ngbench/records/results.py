"""Where results are kept for which no directory was named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from ngbench.arms import file_slug
from ngbench.disk import files
from ngbench.errors import OutputError

__all__ = ["RESULTS", "new_directory"]

RESULTS = "ngbench-results"
"""In the current directory."""
_MOST_AT_ONCE = 1000


@contextmanager
def new_directory(subject: str, otherwise: str) -> Iterator[Path]:
    """An output directory that nobody else has, in ``ngbench-results``; it goes away again if nothing was put into it.

    Its name begins with the local time, so that names sort by it.

    Args:
        subject: what the results are of, as the name says it.
        otherwise: what to do where it cannot be made.

    Raises:
        OutputError: it cannot be made.
    """
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{file_slug(subject)}"
    for more in range(1, _MOST_AT_ONCE):
        directory = Path(RESULTS, name if more == 1 else f"{name}-{more}")
        try:
            directory.mkdir(parents=True)
            break
        except FileExistsError:
            # That of a command that began in the same second.
            continue
        except OSError as error:
            raise OutputError(
                f"cannot make a directory for the results in {RESULTS!r}: {files.reason(directory, error)}; {otherwise}"
            ) from error
    else:
        raise OutputError(f"{str(directory)!r} and all before it exist already; {otherwise}")
    try:
        yield directory
    finally:
        for made in (directory, directory.parent):
            with suppress(OSError):
                made.rmdir()
