"""Archives of which a few members are read into memory; nothing is unpacked onto the disk."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path

from ngbench.errors import DataError

__all__ = ["read_members"]


def read_members(tarball: Path, names: Collection[str], advice: str) -> dict[str, bytes]:
    """What the archive holds under each of the names; those that it lacks are left out.

    Args:
        tarball: a tar archive, compressed or not.
        names: of its members.
        advice: what to do about a damaged archive, for the message.

    Raises:
        DataError: it cannot be read, or is damaged.
    """
    contents = {}
    try:
        # In the archive's order: going back would unpack it again from its beginning.
        with tarfile.open(tarball) as archive:
            for member in archive:
                if member.name in names and (file := archive.extractfile(member)) is not None:
                    contents[member.name] = file.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError):
        raise DataError(f"{str(tarball)!r} is truncated or corrupt; {advice}") from None
    return contents
