"""CURVES: the calibration of the generator, and the official file where it is present."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

import ngbench.data.choice
import ngbench.data.curves
from ngbench.data.curves import curves, generate_curves
from ngbench.errors import DataError


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return generate_curves(3000).astype(np.float64) / 255


def cross_entropy(targets: np.ndarray, predictions: np.ndarray) -> float:
    p = np.clip(predictions, 1e-12, 1 - 1e-12)
    return float(-(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean())


def test_best_constant_prediction_scores_as_calibrated(images: np.ndarray) -> None:
    assert cross_entropy(images, images.mean(0)) == pytest.approx(0.156, abs=0.002)


def test_perfect_reconstruction_scores_as_calibrated(images: np.ndarray) -> None:
    assert cross_entropy(images, images) == pytest.approx(0.067, abs=0.001)


def test_grey_levels_reach_the_peak_and_the_border_stays_dark(images: np.ndarray) -> None:
    assert images.max() == pytest.approx(0.9, abs=1 / 255)
    assert images.min() == 0
    border = images.reshape(-1, 28, 28)[:, [0, -1]]
    assert border.max() < 0.01


def test_profile_of_the_pen_is_gaussian_with_standard_deviation_1_2(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # With all control points at one place the curve is a point.
    monkeypatch.setattr(ngbench.data.curves, "LOW", 14.0)
    monkeypatch.setattr(ngbench.data.curves, "HIGH", 14.0)
    image = generate_curves(1).reshape(28, 28)
    distance = np.abs(np.arange(28) - 14.0)
    expected = np.rint(255 * 0.9 * np.exp(-(distance**2) / (2 * 1.2**2)))
    np.testing.assert_array_equal(image[14], expected)
    np.testing.assert_array_equal(image[:, 14], expected)


def test_curve_ends_at_its_outer_control_points() -> None:
    count, seed = 20, 7
    control = np.random.default_rng(seed).uniform(5, 23, (count, 3, 2))
    drawn = generate_curves(count, seed).reshape(count, 28, 28)
    for image, points in zip(drawn, control, strict=True):
        for x, y in np.rint(points[[0, 2]]).astype(int):
            # At most √½ pixel from the end: 0.9 exp(−0.5 / 2.88) = 0.756.
            assert image[y, x] >= 255 * 0.75


def test_seed_decides_and_more_images_begin_with_the_same_ones() -> None:
    np.testing.assert_array_equal(generate_curves(40), generate_curves(100)[:40])
    assert not np.array_equal(generate_curves(5, seed=1), generate_curves(5, seed=2))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngbench.data.curves, "TRAIN", 16)
    monkeypatch.setattr(ngbench.data.curves, "VALIDATION", 4)


@pytest.mark.usefixtures("small")
def test_generated_data_are_split_and_named(tmp_path: Path) -> None:
    data = curves(tmp_path)
    assert data.source.origin == "generated"
    assert "20 quadratic Bézier curves" in data.source.description
    expected = generate_curves(20).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(data.train, expected[:16])
    np.testing.assert_array_equal(data.validation, expected[16:])


@pytest.mark.usefixtures("small")
def test_second_run_reads_what_the_first_one_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = curves(tmp_path)
    monkeypatch.setattr(ngbench.data.curves, "generate_curves", lambda count: pytest.fail("generated again"))
    assert curves(tmp_path).source == first.source


def official(folder: Path, train: int = 20, test: int = 10, pixels: int = 784) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    path = folder / "digs3pts_1.mat"
    matrices = {"bdata": generator.random((train, pixels)), "bdatatest": generator.random((test, pixels))}
    scipy.io.savemat(path, matrices, do_compression=True)
    return path


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("folder", [".", "CURVES", "curves"])
@pytest.mark.parametrize("choice", ["auto", "official"])
def test_official_file_is_preferred_where_it_is_present(tmp_path: Path, folder: str, choice: str) -> None:
    path = official(tmp_path / folder)
    data = curves(tmp_path, choice)
    expected = scipy.io.loadmat(path)["bdata"].astype(np.float32)
    assert data.source.origin == "original"
    np.testing.assert_array_equal(data.train, expected[:16])
    np.testing.assert_array_equal(data.validation, expected[16:20])


@pytest.mark.usefixtures("small")
def test_stand_in_may_be_asked_for_beside_the_official_file(tmp_path: Path) -> None:
    official(tmp_path)
    assert curves(tmp_path, "stand-in").source.origin == "generated"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"pixels": 783}, r"'bdata' in .* has shape \(20, 783\)"), ({"train": 3, "test": 2}, "has 5 images, 20")],
)
def test_official_file_of_another_shape_is_refused(tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    official(tmp_path, **arguments)
    with pytest.raises(DataError, match=message):
        curves(tmp_path)


@pytest.mark.usefixtures("small")
def test_grey_levels_out_of_range_are_refused(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "digs3pts_1.mat", {"bdata": np.full((20, 784), 2.0), "bdatatest": np.zeros((1, 784))})
    with pytest.raises(DataError, match=r"grey levels outside \[0, 1\]"):
        curves(tmp_path)


@pytest.mark.usefixtures("small")
def test_official_is_downloaded_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def fetch(file: object, directory: Path) -> Path:
        asked.append(directory)
        return official(directory)

    monkeypatch.setattr(ngbench.data.choice, "download", fetch)
    assert curves(tmp_path / "a", "auto").source.origin == "generated"
    assert asked == []
    assert curves(tmp_path / "b", "official").source.origin == "original"
    assert asked == [tmp_path / "b" / "CURVES"]
