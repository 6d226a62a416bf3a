"""The additive two-level correction of Tselepidis, Kohler and Orvieto (arXiv:2011.00573), the thesis' (4.19)-(4.20).

``ζ = ζ₁ + R₀ᵀβ`` with ``β = F_coarse⁻¹ R₀ ∇h`` (4.47), ones as the coarse space, and a coarse operator from Kronecker
factors: ``1ᵀE[ā_i ā_jᵀ]1 · 1ᵀE[g_i g_jᵀ]1`` between layers i and j, and ``1ᵀ[F•KFAC]ᵢᵢ1`` on the diagonal. It acts on
the gradient and not on the residual, so it is no minimiser: nothing keeps its energy gap from being positive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.bounds import Positive, checked
from ngbench.curvature.capture.jacobian import Jacobian
from ngbench.curvature.curvatures.base import Curvature
from ngbench.curvature.curvatures.coarse import CoarseContext, nicolaides
from ngbench.curvature.curvatures.coarse_operator import CoarseOperator, PseudoInverse
from ngbench.curvature.curvatures.corrected import CorrectedCurvature
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.inverses.damping import shifts_of
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.layers import Layer
from ngbench.curvature.linalg.packing import copies_on, unpack
from ngbench.curvature.linalg.precision import statistics_dtype

__all__ = ["AdditiveTwoLevelCurvature"]


class AdditiveTwoLevelCurvature(CorrectedCurvature):
    """A Kronecker curvature with the additive coarse correction.

    The factors between layers are averaged with the decay of the fine level, as its own are. Where layers have
    different numbers T of positions, ``E[ā_i ā_jᵀ]`` and ``E[g_i g_jᵀ]`` are those of the sums over positions divided
    by ``√T`` and by T, which agrees with (3.29) for activations that are alike at all positions and keeps the operator
    positive definite (the published code resampled the flattened positions of one layer to those of the other).

    Args:
        layers: the layers, in the order of the model.
        fine: the Kronecker curvature of the same layers that is corrected.
        damping: λ of F• in ``energy_gap``; None follows the damping of the fine level.

    Attributes:
        diagnose: whether to measure ``energy_gap``. The correction itself has no use for the products with J that
            it takes. To be set before the first batch.

    Raises:
        TypeError: the fine level does not consist of Kronecker products.
    """

    @checked
    def __init__(self, layers: Mapping[Any, Layer], fine: Curvature, *, damping: Positive | None = None) -> None:
        if not isinstance(fine, KroneckerCurvature):
            raise TypeError(f"coarse_space='previous' needs Kronecker factors, which {type(fine).__name__} lacks")
        super().__init__(layers, fine, damping)
        self.fine: KroneckerCurvature = fine
        self._names: list[str] = []
        self._moments: tuple[Tensor, Tensor] | None = None
        self._updates = 0
        self._inverse: PseudoInverse | None = None
        self._waiting: Jacobian | None = None
        self._operator: CoarseOperator | None = None
        self._gap: Tensor | None = None

    def accumulate(self, blocks: Mapping[Layer, FisherBlock]) -> None:
        super().accumulate(blocks)
        if self.diagnose:
            self._waiting = Jacobian(blocks)
        sums = [block.cross_layer_sums() for block in blocks.values()]
        examples = len(sums[0][0])
        inputs, derivatives = (torch.stack([part.double() for part in parts], 1) for parts in zip(*sums, strict=True))
        moments = inputs.T @ inputs / examples, derivatives.T @ derivatives / examples
        names = [layer.name for layer in blocks]
        self._updates += 1
        if self._moments is not None and names == self._names:
            weight = min(1 - 1 / self._updates, self.fine.decay)
            moments = torch.lerp(moments[0], self._moments[0], weight), torch.lerp(moments[1], self._moments[1], weight)
        self._names, self._moments = names, moments

    def refresh(self) -> None:
        self.fine.refresh()
        if self._moments is None:
            return
        self._invert(self._moments)
        if self._waiting is not None:
            self._operator = self._measured(self._waiting, self.damping)
            self._waiting = None

    def _measured(self, batch: Jacobian, damping: float) -> CoarseOperator:
        context = CoarseContext(batch, self.fine, damping)
        return CoarseOperator.build(context, nicolaides(context))

    def _invert(self, moments: tuple[Tensor, Tensor]) -> None:
        matrix = moments[0] * moments[1]
        matrix.diagonal().copy_(torch.stack([self._damped_sum(name) for name in self._names]))
        # Statistics are of at least float32, and as exact as the least exact of them.
        types = {statistics_dtype(self.layers[name].weight.dtype) for name in self._names}
        self._inverse = PseudoInverse.of(matrix, max(torch.finfo(dtype).eps for dtype in types))

    def _damped_sum(self, name: str) -> Tensor:
        """``1ᵀ[F•]ᵢᵢ1`` of the fine level (4.20b)."""
        value, damping = self.fine.factors[name], self.fine.damping_of(name)
        if not isinstance(value, KroneckerSum):
            raise TypeError(f"coarse_space='previous' needs Kronecker products, which {type(value).__name__} lacks")
        a, g = value.terms[0]
        sums = [a.sum().double() * g.sum().double() for a, g in value.terms]
        if damping.kind == "normal":
            return torch.stack(sums).sum() + damping.value * len(a) * len(g)
        for_a, for_g = (shift.double() for shift in shifts_of(a, g, damping))
        first = (a.sum().double() + for_a * len(a)) * (g.sum().double() + for_g * len(g))
        return torch.stack([first, *sums[1:]]).sum()

    def precondition(self, gradients: Mapping[Layer, Tensor]) -> dict[Layer, Tensor]:
        directions = self.fine.precondition(gradients)
        self._gap = None
        if self._inverse is None or not directions:
            return directions
        by_name = {layer.name: matrix for layer, matrix in gradients.items()}
        zero = torch.zeros((), dtype=torch.float64, device=next(iter(directions.values())).device)
        restricted = torch.stack([by_name[name].sum().double() if name in by_name else zero for name in self._names])
        coefficients = self._inverse.times(restricted)
        if self._operator is not None:
            batch = self._operator.batch
            batch.check_unchanged()
            residual = self._operator.restricted_residual(batch.fill(gradients), batch.fill(directions))
            self._gap = self._operator.energy_gap(coefficients, residual)
        for name, coefficient in zip(self._names, coefficients, strict=True):
            if self.layers[name] in directions:
                direction = directions[self.layers[name]]
                direction.add_(coefficient.to(direction.dtype))
        return directions

    def diagnostics(self) -> dict[str, float]:
        """Of the last step.

        ``coarse_dimension`` and ``coarse_dropped`` as for
        :class:`~ngbench.curvature.curvatures.two_level.TwoLevelCurvature`, ``energy_gap`` if
        :attr:`diagnose` is set, and what the
        fine level has to tell.
        """
        numbers = self.fine.diagnostics()
        if self._gap is not None:
            numbers["energy_gap"] = float(self._gap)
        if self._inverse is not None:
            numbers["coarse_dimension"] = float(len(self._names))
            numbers["coarse_dropped"] = float(self._inverse.dropped)
        return numbers

    def state_dict(self) -> dict[str, Any]:
        return {
            "hyperparameters": self.hyperparameters(),
            "fine": self.fine.state_dict(),
            "names": list(self._names),
            "moments": None if self._moments is None else list(self._moments),
            "updates": self._updates,
            "inverse": None if self._inverse is None else self._inverse.pack(),
            "waiting": None if self._waiting is None else self._waiting.state_dict(),
            "batch": None if self._operator is None else self._operator.batch.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        device = next(iter(self.layers.values())).weight.device
        damping = self._damping_of(state["hyperparameters"])
        names, updates, moments = list(state["names"]), state["updates"], state["moments"]
        placed = None if moments is None else (moments[0].to(device, copy=True), moments[1].to(device, copy=True))
        inverse = None if state["inverse"] is None else unpack(state["inverse"], copies_on(device))
        waiting, batch = (
            None if state[key] is None else Jacobian.from_state(state[key], self.layers) for key in ("waiting", "batch")
        )
        operator = None if batch is None else self._measured(batch, damping)
        # The fine level takes its state whole or not at all, and after it nothing here can fail.
        self.fine.load_state_dict(state["fine"])
        self._take_damping(damping)
        self._names, self._updates, self._moments = names, updates, placed
        self._inverse, self._waiting, self._operator, self._gap = inverse, waiting, operator, None
