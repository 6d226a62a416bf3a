"""The IDX reader: what it returns, and one sentence for every kind of damage."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ngbench.data.idx import read_idx
from ngbench.errors import DataError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def encode(array: npt.NDArray[Any]) -> bytes:
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@given(
    array=st.sampled_from(sorted(CODES)).flatmap(
        lambda code: hnp.arrays(code, hnp.array_shapes(max_dims=4, min_side=0, max_side=5))
    ),
    compressed=st.booleans(),
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(tmp_path: Path, array: npt.NDArray[Any], compressed: bool) -> None:
    content = encode(array)
    path = tmp_path / "array"
    path.write_bytes(gzip.compress(content, mtime=0) if compressed else content)
    read, digest = read_idx(path)
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)
    assert digest == hashlib.sha256(content).hexdigest()


IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an IDX file: it begins with nothing"),
        (b"<htm", "is not an IDX file: it begins with 3c68746d"),
        (b"\0\0\x07\x01\0\0\0\0", "is not an IDX file"),
        (encode(IMAGES)[:10], "is truncated in its header"),
        (encode(IMAGES)[:-1], r"holds 39 bytes where its header \(2, 3, 4\) asks for 40"),
        (encode(IMAGES) + b"\0", "holds 41 bytes"),
        (gzip.compress(encode(IMAGES), mtime=0)[:-9], "is truncated or corrupt"),
        (gzip.compress(encode(IMAGES), mtime=0)[:-8] + b"12345678", "is truncated or corrupt"),
        (gzip.compress(encode(IMAGES), mtime=0)[:12] + b"\xff" * 20, "is truncated or corrupt"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "holds 16 bytes"),
    ],
)
def test_damage_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_directory_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_idx(tmp_path)
