"""The Fréchet inception distance (5.33) between real and generated images, by torchmetrics."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

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
    """

    def __init__(self, network: FeatureNetwork, real: Iterable[Tensor], device: torch.device) -> None:
        # Imported here because it takes a second, which only what measures should pay.
        from torchmetrics.image.fid import FrechetInceptionDistance

        self._device = device
        self._metric = FrechetInceptionDistance(network.network, reset_real_features=False, normalize=True).to(device)
        self._update(real, real=True)

    def score(self, generated: Iterable[Tensor]) -> float:
        """The distance of batches of generated images, as the real ones; lower is better.

        It is at least 0, and 0 for the same moments up to rounding.
        """
        self._metric.reset()
        self._update(generated, real=False)
        # A square root of rounding errors may come out above the traces. A NaN stays one.
        return float(self._metric.compute().clamp(min=0))

    @torch.no_grad()
    def _update(self, batches: Iterable[Tensor], *, real: bool) -> None:
        for images in batches:
            self._metric.update(images.to(self._device, torch.float32), real=real)
