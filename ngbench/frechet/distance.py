"""The Fréchet inception distance (5.33) between real and generated images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ngbench.frechet.network import FeatureNetwork

__all__ = ["FrechetDistance"]


class FrechetDistance:
    """Scores generated images against real ones: ``‖μ_G − μ_r‖² + tr(Σ_G + Σ_r − 2 (Σ_G Σ_r)^½)``.

    The mean and the covariance of either side are those of the features of all its images, in float64. The covariance
    is the unbiased one, with 1/(m − 1), as in the published implementations of the distance; (5.34) writes 1/m.

    Args:
        network: gives the features.
        real: batches of real images ``(m, c, h, w)`` in [0, 1]; at least two images.
        device: where features are computed.

    Raises:
        ValueError: fewer than two images, here or in :meth:`score`.
    """

    def __init__(self, network: FeatureNetwork, real: Iterable[Tensor], device: torch.device) -> None:
        self._network = network.network.to(device)
        self._device = device
        self._real = _moments(self._network, real, device)

    def score(self, generated: Iterable[Tensor]) -> float:
        """The distance of batches of generated images, as the real ones; lower is better.

        It is at least 0, and 0 for the same moments up to rounding.
        """
        real, fake = self._real, _moments(self._network, generated, self._device)
        if not (torch.isfinite(real.root).all() and torch.isfinite(fake.root).all()):
            return float("nan")
        # With symmetric roots R_r and R_G of the covariances, (Σ_G Σ_r)^½ has the trace of (R_r Σ_G R_r)^½: the sum of
        # the singular values of R_r R_G. These need no root of a rounding error, which would be as large as 1e-8.
        shared = torch.linalg.svdvals(real.root @ fake.root).sum()
        distance = (real.mean - fake.mean).square().sum() + real.trace + fake.trace - 2 * shared
        return max(float(distance), 0.0)


@dataclass(frozen=True)
class _Moments:
    """The mean ``(d,)`` of features, the trace of their covariance, and its symmetric root ``(d, d)``."""

    mean: Tensor
    trace: Tensor
    root: Tensor


@torch.no_grad()
def _moments(network: nn.Module, batches: Iterable[Tensor], device: torch.device) -> _Moments:
    count, total, products = 0, torch.zeros(()), torch.zeros(())
    for images in batches:
        features = network(images.to(device, torch.float32)).double()
        count += len(features)
        total = total.to(features) + features.sum(0)
        products = products.to(features) + features.T @ features
    if count < 2:
        raise ValueError(f"{count} images are not enough for a Fréchet distance, it must be 2 or more")
    mean = total / count
    covariance = (products - count * torch.outer(mean, mean)) / (count - 1)
    return _Moments(mean, covariance.trace(), _symmetric_root(covariance))


def _symmetric_root(covariance: Tensor) -> Tensor:
    if not torch.isfinite(covariance).all():
        return torch.full_like(covariance, torch.nan)
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
