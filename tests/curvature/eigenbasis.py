"""A plugin of somebody else: an approximation that is diagonal in the eigenbases of KFAC's factors (as in EKFAC)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ngbench import Range
from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.inverses.damping import Damping
from ngbench.curvature.inverses.diagonalised import DiagonalisedInverse
from ngbench.curvature.kronecker.declaration import PredictedCost, Setting, declares
from ngbench.curvature.kronecker.estimate import ApproximateBlock, Estimate
from ngbench.curvature.linalg.eigen import symmetric_eigen


@dataclass(frozen=True)
class EigenBlock(ApproximateBlock):
    """``(U_A ⊗ U_G) diag(vec(scales)) (U_A ⊗ U_G)ᵀ``, with the factors that the bases are of."""

    a: Tensor
    g: Tensor
    u_a: Tensor
    u_g: Tensor
    scales: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.g), len(self.a)

    def times(self, matrix: Tensor) -> Tensor:
        return self.u_g @ ((self.u_g.T @ matrix @ self.u_a) * self.scales) @ self.u_a.T

    def averaged(self, other: EigenBlock, weight: float) -> EigenBlock:
        a, g = torch.lerp(other.a, self.a, weight), torch.lerp(other.g, self.g, weight)
        u_a, u_g = _basis(a), _basis(g)
        parts = [(u_g.T @ one.u_g).square() @ one.scales @ (one.u_a.T @ u_a).square() for one in (other, self)]
        return EigenBlock(a, g, u_a, u_g, torch.lerp(*parts, weight))

    def inverse(self, damping: Damping) -> DiagonalisedInverse:
        none = torch.zeros((), dtype=torch.int32, device=self.a.device)
        return DiagonalisedInverse(self.u_a, self.u_g, 1 / (self.scales + damping.value), none, none)

    def norm_squared(self) -> Tensor:
        return self.scales.double().square().sum()


def _basis(factor: Tensor) -> Tensor:
    return symmetric_eigen(factor)[1] if factor.isfinite().all() else factor


def _costs(setting: Setting) -> dict[str, PredictedCost]:
    cubes = 2.0 * 9 * (setting.d_in**3 + setting.d_out**3)
    return {"accumulate": PredictedCost("18ℓd³", cubes), "refresh": PredictedCost("ℓd²", setting.d_in * setting.d_out)}


@declares(costs=_costs, damping_by_positions=False)
def eigenbasis(
    block: FisherBlock, previous: EigenBlock | None = None, *, power: Annotated[float, Range(above=0)] = 1.0
) -> Estimate:
    """The diagonal of the Fisher block in the eigenbases of KFAC's factors.

    Args:
        power: of the diagonal.
    """
    a, g = block.kfac_factors()
    u_a, u_g = _basis(a), _basis(g)
    total = sum((u_g.T @ d @ u_a).square().sum(0) for d in block.gradient_chunks())
    return Estimate(EigenBlock(a, g, u_a, u_g, (total / block.examples) ** power))
