"""The Fréchet distance and the networks whose features it compares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ngbench.errors import DataError
from ngbench.frechet import network as feature_network
from ngbench.frechet.distance import FrechetDistance
from ngbench.frechet.inception import InceptionTrunk
from ngbench.frechet.network import FeatureNetwork, classifier_network, inception_network

CPU = torch.device("cpu")


def stripes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images with a bright row of one of four heights, and which."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    images = 0.3 * torch.rand(count, 1, 16, 16, generator=generator)
    for offset in range(3):
        images[torch.arange(count), 0, 4 * labels + offset] += 0.6
    return images.clamp(0, 1), labels


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureNetwork]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_network, "STEPS", 60)
        yield train(tmp_path_factory.mktemp("data"))


def train(directory: Path, digest: str = "abc") -> FeatureNetwork:
    return classifier_network(
        *stripes(400, 0), *stripes(200, 1), name="Some Stripes", digest=digest, directory=directory
    )


def distance(network: FeatureNetwork) -> FrechetDistance:
    return FrechetDistance(network, stripes(600, 2)[0].split(100), CPU)


def test_images_of_the_same_kind_are_near_and_the_same_images_are_at_zero(network: FeatureNetwork) -> None:
    score = distance(network)
    same = score.score(stripes(600, 2)[0].split(250))
    kind = score.score(stripes(600, 3)[0].split(250))
    other = score.score(torch.rand(600, 1, 16, 16).split(250))
    assert 0 <= same < 1e-6
    assert 0 < kind < 0.02 * other


@pytest.mark.parametrize("count", [2, 5, 64])
def test_the_distance_of_images_from_themselves_is_not_negative(count: int) -> None:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16))
    network = FeatureNetwork(features, "classifier", 16, "random features", "0" * 64)
    for seed in range(5):
        images = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
        assert 0 <= FrechetDistance(network, [images], CPU).score([images]) < 1e-6


def test_what_is_no_number_is_no_distance_of_zero() -> None:
    features = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16))
    distance = FrechetDistance(
        FeatureNetwork(features, "classifier", 16, "random features", "0" * 64), [torch.rand(8, 3, 8, 8)], CPU
    )
    assert not distance.score([torch.full((8, 3, 8, 8), torch.nan)]) >= 0


def test_score_grows_with_noise_and_repeats(network: FeatureNetwork) -> None:
    images = stripes(600, 4)[0]
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(5))
    noisy = [(images + level * noise).clamp(0, 1) for level in (0.0, 0.1, 0.2, 0.4, 0.8)]
    scores = [distance(network).score(batch.split(200)) for batch in noisy]
    assert scores == sorted(scores)
    assert scores[-1] > 10 * scores[0]
    assert [distance(network).score(batch.split(200)) for batch in noisy] == scores
    # The cut into batches adds up in another order, no more.
    assert distance(network).score(noisy[2].split(77)) == pytest.approx(scores[2], rel=1e-6)


def test_it_is_the_formula_of_the_moments(network: FeatureNetwork) -> None:
    real, fake = stripes(600, 2)[0], torch.rand(300, 1, 16, 16, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        x, y = (network.network(images).double() for images in (real, fake))
    mean = (x.mean(0) - y.mean(0)).square().sum()
    sx, sy = x.T.cov(), y.T.cov()
    root = torch.linalg.eigvals(sx @ sy).sqrt().real.sum()
    expected = float(mean + sx.trace() + sy.trace() - 2 * root)
    assert distance(network).score([fake]) == pytest.approx(expected, rel=1e-5)


def flat_network(features: int) -> FeatureNetwork:
    """The pixels are the features."""
    return FeatureNetwork(nn.Flatten(), "classifier", features, "pixels", "0" * 64)


def images_of(values: Tensor) -> Tensor:
    return values[:, :, None, None].float()


def test_it_is_the_closed_form_of_covariances_that_commute() -> None:
    torch.manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    signs = torch.cat([torch.eye(5), -torch.eye(5)]).double()
    spreads = torch.tensor([[3.0, 2.0, 1.0, 0.5, 0.0], [1.0, 4.0, 0.0, 0.25, 2.0]]).double()
    means = torch.randn(2, 5, dtype=torch.float64)
    real, fake = (images_of(mean + (signs * spread) @ basis.T) for mean, spread in zip(means, spreads, strict=True))
    # The covariance of each side is diagonal in the basis, with 2 s²/(10 - 1).
    expected = (means[0] - means[1]).square().sum() + 2 / 9 * (spreads[0] - spreads[1]).square().sum()
    assert FrechetDistance(flat_network(5), [real], CPU).score([fake]) == pytest.approx(float(expected), rel=1e-6)


def test_it_does_not_matter_which_side_is_the_real_one() -> None:
    torch.manual_seed(0)
    x, y = (images_of(torch.randn(20, 8) @ torch.randn(8, 8)) for _ in range(2))
    network = flat_network(8)
    there = FrechetDistance(network, [x], CPU).score([y])
    assert there > 1
    assert FrechetDistance(network, [y], CPU).score([x]) == pytest.approx(there, rel=1e-12)


def test_fewer_images_than_features_are_at_zero_from_themselves() -> None:
    images = images_of(torch.rand(50, 300, generator=torch.Generator().manual_seed(0)))
    assert FrechetDistance(flat_network(300), [images], CPU).score([images]) < 1e-12


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_have_no_distance(count: int) -> None:
    two = torch.rand(2, 4, 1, 1)
    with pytest.raises(ValueError, match=f"{count} images are not enough"):
        FrechetDistance(flat_network(4), [two[:count]], CPU)
    with pytest.raises(ValueError, match=f"{count} images are not enough"):
        FrechetDistance(flat_network(4), [two], CPU).score([two[:count]])


def test_a_classifier_is_named_as_one_and_its_accuracy_is_known(network: FeatureNetwork) -> None:
    assert network.metric == "classifier_fid"
    assert network.accuracy is not None
    assert network.accuracy > 0.95
    assert "not comparable with Inception's" in network.description
    assert f"{100 * network.accuracy:.1f} %" in network.description


def test_the_classifier_is_trained_once_for_each_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_network, "STEPS", 5)
    first = train(tmp_path)
    monkeypatch.setattr(feature_network, "_train", _refuse)
    again = train(tmp_path)
    assert again.digest == first.digest
    assert again.accuracy == first.accuracy
    with pytest.raises(AssertionError, match="trained again"):
        train(tmp_path, digest="other")


def test_training_repeats_and_leaves_random_numbers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_network, "STEPS", 5)
    before = torch.get_rng_state()
    first = train(tmp_path / "a")
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(99)
    assert train(tmp_path / "b").digest == first.digest


def test_a_damaged_file_costs_another_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feature_network, "STEPS", 5)
    digest = train(tmp_path).digest
    (path,) = (tmp_path / "feature-networks").iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    assert train(tmp_path).digest == digest
    assert "is damaged and is trained again" in caplog.text


def test_targets_that_are_no_classes_need_inception(tmp_path: Path) -> None:
    images, _ = stripes(8, 0)
    with pytest.raises(DataError, match=r"has no class labels .* `fid_weights`"):
        classifier_network(images, images, images, images, name="Noise", digest="0", directory=tmp_path)


def _refuse(*arguments: object) -> float:
    raise AssertionError("trained again")


def test_inception_has_the_parameters_of_its_architecture() -> None:
    # torchvision's inception_v3 has 27,161,264, of which 3,326,696 are auxiliary and 2,049,000 are the classifier's.
    assert sum(parameter.numel() for parameter in InceptionTrunk().parameters()) == 21_785_568


@pytest.mark.parametrize(("features", "side"), [(64, 75), (192, 75), (768, 80), (2048, 80)])
def test_inception_gives_so_many_features(features: int, side: int) -> None:
    trunk = InceptionTrunk(features).eval()
    with torch.no_grad():
        assert trunk(torch.zeros(2, 3, side, side)).shape == (2, features)


def test_weights_of_a_file_are_used_for_grey_and_coloured_images(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    state = InceptionTrunk(192).state_dict()
    # Files in circulation lack the counters of batch norm and have the classifier's weights.
    kept = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save({**kept, "fc.weight": torch.zeros(1008, 2048)}, path)
    found = inception_network(path, 64)
    assert (found.metric, found.features, found.accuracy) == ("fid", 64, None)
    assert found.description == "Inception, 64 features, weights from weights.pth"
    grey = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        features = found.network(grey)
        torch.testing.assert_close(features, found.network(grey.expand(2, 3, 8, 8)))
        levels = (grey * 255).round().expand(2, 3, 8, 8)
        resized = nn.functional.interpolate(levels, size=(299, 299), mode="bilinear", antialias=True)
        trunk = InceptionTrunk(64).eval()
        trunk.load_state_dict({name: state[name] for name in trunk.state_dict()})
        torch.testing.assert_close(features, trunk((resized - 128) / 128))


def _script(path: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(str(path))


def _code(path: Path) -> None:
    torch.save({"weights": Path("anything")}, path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "cannot read the weights"),
        (lambda path: path.write_bytes(b"nonsense"), "without executing code"),
        (_code, "without executing code"),
        (_script, "without executing code"),
        (lambda path: torch.save([1, 2], path), "holds list, not a state_dict"),
        (lambda path: torch.save({"a": torch.zeros(3)}, path), "Conv2d_1a_3x3.conv.weight is missing"),
        (
            lambda path: torch.save({"Conv2d_1a_3x3.conv.weight": torch.zeros(3)}, path),
            r"is \(3,\), \(32, 3, 3, 3\) expected",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*TorchScript archive")
def test_another_file_is_no_weights_of_inception(tmp_path: Path, write: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(DataError, match=message):
        inception_network(path, 64)
