"""FACES: the stand-in that is made from other faces, and the official file where it is present."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import skimage.data

import ngbench.data.faces
from ngbench.data.faces import faces, generate_faces
from ngbench.errors import DataError


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngbench.data.faces, "TRAIN", 240)
    monkeypatch.setattr(ngbench.data.faces, "VALIDATION", 60)


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws that leave each photograph as it is."""
    monkeypatch.setattr(ngbench.data.faces, "MAX_ROTATION", 0.0)
    monkeypatch.setattr(ngbench.data.faces, "MAX_ZOOM", 1.0)
    monkeypatch.setattr(ngbench.data.faces, "MAX_SHIFT", 0.0)
    monkeypatch.setattr(ngbench.data.faces, "CONTRAST", (1.0, 1.0))


PHOTOGRAPHS = np.rint(255 * skimage.data.lfw_subset()[:100])


@pytest.mark.usefixtures("unchanged")
def test_without_changes_the_photographs_come_back() -> None:
    patches = generate_faces(2).reshape(100, 2, 25, 25)
    np.testing.assert_allclose(patches[:, 0].astype(float), PHOTOGRAPHS, atol=1)
    np.testing.assert_array_equal(patches[:, 0], patches[:, 1])


@pytest.mark.usefixtures("unchanged")
def test_rotation_by_a_right_angle(monkeypatch: pytest.MonkeyPatch) -> None:
    class Right:
        def uniform(self, low: float, high: float, size: object) -> np.ndarray:
            return np.full(size, high)

    monkeypatch.setattr(ngbench.data.faces, "MAX_ROTATION", np.pi / 2)
    monkeypatch.setattr(np.random, "default_rng", lambda seed: Right())
    patches = generate_faces(1).reshape(100, 25, 25)
    np.testing.assert_allclose(patches.astype(float), np.rot90(PHOTOGRAPHS, axes=(1, 2)), atol=1)


@pytest.mark.usefixtures("unchanged")
def test_contrast_scales_the_deviation_from_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngbench.data.faces, "CONTRAST", (0.5, 0.5))
    patches = generate_faces(1)
    np.testing.assert_allclose(patches.std(1), PHOTOGRAPHS.reshape(100, -1).std(1) / 2, atol=0.5)
    np.testing.assert_allclose(patches.mean(1), PHOTOGRAPHS.reshape(100, -1).mean(1), atol=0.5)


def test_every_patch_is_another_one_and_the_seed_decides() -> None:
    patches = generate_faces(3)
    assert len(np.unique(patches, axis=0)) == 300
    np.testing.assert_array_equal(patches, generate_faces(3))
    assert not np.array_equal(patches, generate_faces(3, seed=1))


@pytest.mark.usefixtures("small")
def test_stand_in_is_standardized_and_named(tmp_path: Path) -> None:
    data = faces(tmp_path, "stand-in")
    assert data.source.origin == "stand-in"
    assert "240 of 80 faces to train on and 60 of the others" in data.source.description
    everything = np.concatenate([data.train, data.validation]).astype(np.float64)
    np.testing.assert_allclose(everything.mean(0), 0, atol=1e-6)
    assert everything.var(0).mean() == pytest.approx(1, abs=1e-6)


@pytest.mark.usefixtures("small", "unchanged")
def test_no_photograph_is_in_both_parts(tmp_path: Path) -> None:
    data = faces(tmp_path, "stand-in")
    train, validation = (set(map(bytes, part)) for part in (data.train, data.validation))
    assert len(train) == 80
    assert len(validation) == 20
    assert not train & validation


@pytest.mark.usefixtures("small")
def test_second_run_reads_what_the_first_one_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = faces(tmp_path, "stand-in")
    monkeypatch.setattr(ngbench.data.faces, "generate_faces", lambda count: pytest.fail("generated again"))
    assert faces(tmp_path, "stand-in").source == first.source


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("folder", [".", "FACES", "faces"])
def test_official_file_is_read_column_by_column(tmp_path: Path, folder: str) -> None:
    matrix = np.random.default_rng(0).standard_normal((625, 320)).astype(np.float32)
    (tmp_path / folder).mkdir(exist_ok=True)
    scipy.io.savemat(tmp_path / folder / "newfaces_rot_single.mat", {"newfaces_single": matrix})
    data = faces(tmp_path)
    assert data.source.origin == "original"
    np.testing.assert_array_equal(data.train, matrix.T[:240])
    np.testing.assert_array_equal(data.validation, matrix.T[240:300])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((320, 625)), r"has shape \(320, 625\), \(625, 165600\) expected"),
        (np.zeros((625, 299)), r"has shape \(625, 299\)"),
        (np.full((625, 300), np.nan), "pixels that are not finite"),
    ],
)
def test_official_file_of_another_shape_is_refused(tmp_path: Path, matrix: np.ndarray, message: str) -> None:
    scipy.io.savemat(tmp_path / "newfaces_rot_single.mat", {"newfaces_single": matrix})
    with pytest.raises(DataError, match=message):
        faces(tmp_path)
