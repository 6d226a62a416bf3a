"""The network whose features a Fréchet distance compares: Inception from the user's file, or a small classifier.

Published scores are those of Inception. Its weights are never downloaded here. Without them a classifier is
trained once on the data set itself and kept in the data directory; its features tell the classes of that data set
apart, but a distance between them is not on the scale of Inception's, so it has another name wherever it is shown.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ngbench.curvature.linalg.parallel import torch_threads
from ngbench.disk import files
from ngbench.disk.archives import load_archive, save_archive
from ngbench.errors import DataError
from ngbench.frechet.inception import SIDE, InceptionTrunk
from ngbench.spelling import argument

__all__ = ["FeatureNetwork", "classifier_network", "inception_network"]

logger = logging.getLogger(__name__)

METRICS: dict[str, str] = {"inception": "fid", "classifier": "classifier_fid"}
"""What the distance is called in records and tables, for each kind of feature network."""

CLASSIFIER_FEATURES = 64
VERSION = 1
SEED = 0
BATCH = 128
STEPS = 600
LEARNING_RATE = 4e-3
_POSITIONS = 5


@dataclass(frozen=True)
class FeatureNetwork:
    """A network with what is known of it.

    Attributes:
        network: from images ``(m, c, h, w)`` in [0, 1] to features ``(m, d)``, in evaluation mode.
        kind: ``"inception"`` or ``"classifier"``.
        features: d.
        description: one sentence that says what it is.
        digest: hexadecimal SHA-256 of its weights.
        accuracy: share of the validation examples that the classifier gets right; ``None`` for Inception.
    """

    network: nn.Module
    kind: Literal["inception", "classifier"]
    features: int
    description: str
    digest: str
    accuracy: float | None = None

    @property
    def metric(self) -> str:
        """What the distance is called."""
        return METRICS[self.kind]


class _Inception(nn.Module):
    """Inception on images of any size, one channel or three, in [0, 1]."""

    def __init__(self, trunk: InceptionTrunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Tensor:
        # The network was trained on bytes, and published scores are of images rounded to them.
        levels = (images.clamp(0, 1) * 255).round().expand(-1, 3, -1, -1)
        resized = F.interpolate(levels, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        features: Tensor = self.trunk((resized - 128) / 128)
        return features


class _Classifier(nn.Module):
    """Two convolutions and two linear layers; the features are those between the linear layers."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 5, stride=2, padding=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(_POSITIONS),
            nn.Flatten(),
            nn.Linear(32 * _POSITIONS**2, CLASSIFIER_FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(CLASSIFIER_FEATURES, classes)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.body(images)
        return features

    def logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images))
        return logits


def inception_network(path: Path, features: int = 2048) -> FeatureNetwork:
    """Inception with the weights of a file.

    Args:
        path: a ``state_dict`` saved by ``torch.save`` with the names of torchvision's Inception, as in
            ``pt_inception-2015-12-05-6726825d.pth`` of pytorch-fid or
            ``weights-inception-2015-12-05-6726825d.pth`` of torch-fidelity. It is read with
            ``weights_only=True``, so that loading it executes nothing; a TorchScript file is refused, because it
            would.
        features: 64, 192, 768 or 2048, the channels of the layer to use.

    Raises:
        DataError: the file cannot be read or does not hold these weights.
    """
    content = files.read_bytes(path, "the weights", DataError)
    try:
        weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        # torch.load raises whatever the bytes lead to.
        raise DataError(
            f"{str(path)!r} does not hold a state_dict that can be loaded without executing code "
            f"({type(error).__name__}); give Inception's weights as pytorch-fid or torch-fidelity publish them"
        ) from None
    with torch.random.fork_rng(devices=[]):
        trunk = InceptionTrunk(features)
    _load_trunk(trunk, weights, path)
    return FeatureNetwork(
        network=_Inception(trunk).eval(),
        kind="inception",
        features=features,
        description=f"Inception, {features} features, weights from {path.name}",
        digest=hashlib.sha256(content).hexdigest(),
    )


def _load_trunk(trunk: InceptionTrunk, weights: Any, path: Path) -> None:
    expected = trunk.state_dict()
    if not isinstance(weights, Mapping):
        raise DataError(f"{str(path)!r} holds {type(weights).__name__}, not a state_dict of Inception")
    for name, tensor in expected.items():
        found = weights.get(name)
        if name.endswith("num_batches_tracked") and found is None:
            continue
        shape = tuple(found.shape) if isinstance(found, Tensor) else "missing"
        if shape != tuple(tensor.shape):
            raise DataError(
                f"{str(path)!r} does not hold the weights of Inception: {name} is {shape}, "
                f"{tuple(tensor.shape)} expected"
            )
    trunk.load_state_dict({name: weights.get(name, tensor) for name, tensor in expected.items()})


def classifier_network(
    images: Tensor,
    labels: Tensor,
    validation_images: Tensor,
    validation_labels: Tensor,
    *,
    name: str,
    digest: str,
    directory: Path,
) -> FeatureNetwork:
    """A classifier trained on the data set, or the one that was trained on it before.

    It is trained on the CPU with fixed seeds, whatever the device of the runs, and kept under
    ``feature-networks/`` of the data directory, so that all runs on these data are measured by the same network.
    A file that is damaged or cannot be written costs another training, and a warning.

    Args:
        images: ``(n, c, h, w)`` in [0, 1].
        labels: ``(n,)``, classes.
        validation_images: of the accuracy.
        validation_labels: of the accuracy.
        name: of the data set.
        digest: of the data set; another one gets another network.
        directory: the data directory.

    Raises:
        DataError: the labels are no classes.
    """
    if labels.ndim != 1 or labels.is_floating_point():
        raise DataError(
            f"{name} has no class labels to train a feature network on; give Inception's weights with "
            f"{argument('fid_weights')}"
        )
    classes = int(labels.max()) + 1
    path = directory / "feature-networks" / f"{_slug(name)}-{digest[:16]}.pt"
    with torch.random.fork_rng(devices=[]):
        network = _Classifier(images.shape[1], classes)
    accuracy = _restore(network, path)
    if accuracy is None:
        accuracy = _train(network, images, labels, validation_images, validation_labels)
        _keep(network, accuracy, path)
    return FeatureNetwork(
        network=network.eval(),
        kind="classifier",
        features=CLASSIFIER_FEATURES,
        description=(
            f"a classifier of {name} trained for this purpose, {CLASSIFIER_FEATURES} features, "
            f"{100 * accuracy:.1f} % right on the validation images; not comparable with Inception's"
        ),
        digest=_digest(network),
        accuracy=accuracy,
    )


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower())


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _train(network: _Classifier, images: Tensor, labels: Tensor, held_out: Tensor, held_out_labels: Tensor) -> float:
    # One thread: sums come in the same order whatever the number of cores, and so do the weights.
    with torch.random.fork_rng(devices=[]), torch_threads(1):
        torch.manual_seed(SEED)
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.BatchNorm2d):
                module.reset_parameters()
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS)
        network.train()
        for _ in range(STEPS):
            index = torch.randint(len(images), (min(BATCH, len(images)),))
            optimizer.zero_grad()
            loss = F.cross_entropy(network.logits(images[index]), labels[index])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return _accuracy(network, held_out, held_out_labels)


@torch.no_grad()
def _accuracy(network: _Classifier, images: Tensor, labels: Tensor) -> float:
    network.eval()
    right = sum(
        int((network.logits(part).argmax(1) == truth).sum())
        for part, truth in zip(torch.split(images, 500), torch.split(labels, 500), strict=True)
    )
    return right / len(labels) if len(labels) else 0.0


def _restore(network: _Classifier, path: Path) -> float | None:
    """Load the weights and return the accuracy; ``None`` if there is no such file or it is damaged."""
    try:
        content = load_archive(path)
        if content["version"] != VERSION:
            return None
        network.load_state_dict(content["weights"])
        return float(content["accuracy"])
    except FileNotFoundError:
        return None
    except Exception as error:
        logger.warning("the feature network %s is damaged and is trained again (%s)", path, type(error).__name__)
        return None


def _keep(network: _Classifier, accuracy: float, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_archive({"version": VERSION, "weights": network.state_dict(), "accuracy": accuracy}, path)
    except OSError as error:
        logger.warning("could not keep the feature network %s: %s", path, error.strerror or error)
