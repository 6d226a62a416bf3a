"""Matrices of MATLAB files, and one sentence for every kind of damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from ngbench.data.matlab import read_arrays, read_matrices
from ngbench.errors import DataError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data.mat"
    matrix = np.random.default_rng(0).random((40, 30))
    scipy.io.savemat(path, {"bdata": matrix, "other": np.eye(2), "word": "text"}, do_compression=True)
    return path


def test_named_matrices_come_as_float32(path: Path) -> None:
    matrices = read_matrices(path, ["bdata"])
    assert list(matrices) == ["bdata"]
    assert matrices["bdata"].dtype == np.float32
    np.testing.assert_array_equal(matrices["bdata"], np.random.default_rng(0).random((40, 30)).astype(np.float32))


@pytest.mark.parametrize("kept", [0, 5, 100, 127, 130, 200, 1000, -1])
def test_truncation_anywhere_is_named(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"data\.mat' (is truncated or corrupt|has no matrix 'word')"):
        read_matrices(path, ["word" if kept == -1 else "bdata"])


@pytest.mark.parametrize("seed", range(20))
def test_damage_anywhere_is_one_sentence_or_harmless(path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    for place in generator.integers(124, len(content), 4):
        content[place] ^= 0x5A
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_matrices(path, ["bdata", "other"])


def test_missing_matrix_is_named(path: Path) -> None:
    with pytest.raises(DataError, match="has no matrix 'newfaces_single'"):
        read_matrices(path, ["newfaces_single"])


def test_text_is_no_matrix(path: Path) -> None:
    with pytest.raises(DataError, match=r"'word' in .* is not a matrix of real numbers"):
        read_matrices(path, ["word"])


def test_version_7_3_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new.mat"
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    path.write_bytes(header.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DataError, match=r"MATLAB 7\.3 file, which is not supported"):
        read_matrices(path, ["bdata"])


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_matrices(tmp_path, ["bdata"])


def test_arrays_keep_their_type_and_dimensions(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    scipy.io.savemat(tmp_path / "data.mat", {"X": array})
    read = read_arrays(tmp_path / "data.mat", ["X"])["X"]
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)
    with pytest.raises(DataError, match=r"'X' in .* is not a matrix of real numbers"):
        read_matrices(tmp_path / "data.mat", ["X"])
