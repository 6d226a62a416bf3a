"""Two-level corrections: what a block-diagonal curvature misses between layers, put back on a small coarse space (4.2).

``ζ = ζ₁ + R₀ᵀβ*`` with ``β* = F_coarse⁻¹ R₀ (∇h − F• ζ₁)`` (4.13), where ζ₁ is the step of the fine level, is the best
correction in the coarse space: it minimises ``‖ζ − F•⁻¹∇h‖`` in the norm of ``F• = F + λI`` (4.12). F is that of the
whole network on the batch of the last refresh, which is kept: between refreshes the gradient is new and F• is not, as
for any curvature that is refreshed now and then.

``F•`` has the λ of (4.2) in every layer, while Kronecker curvatures divide theirs by the number T of positions of a
convolution. So in a network with convolutions the correction also makes up for that difference of damping.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.bounds import Count, Fraction, Positive, Range, checked
from ngbench.curvature.capture.jacobian import Jacobian, Matrices
from ngbench.curvature.curvatures.base import Curvature
from ngbench.curvature.curvatures.coarse import (
    FIXED_SPACES,
    RESIDUAL_SPACES,
    CoarseContext,
    CoarseSpace,
    Column,
    pack_columns,
    taylor,
    unpack_columns,
)
from ngbench.curvature.curvatures.coarse_operator import CoarseOperator, PseudoInverse
from ngbench.curvature.curvatures.corrected import CorrectedCurvature
from ngbench.curvature.layers import Layer
from ngbench.curvature.linalg.packing import copies_on, unpack
from ngbench.curvature.linalg.precision import in_dtype

__all__ = ["TwoLevelCurvature"]


class TwoLevelCurvature(CorrectedCurvature):
    """A block-diagonal curvature with a multiplicative coarse correction (4.17).

    Args:
        layers: the layers, in the order of the model.
        fine: the curvature of the same layers that is corrected, any that preconditions layer by layer.
        coarse_space: ``nicolaides``, ``spectral``, ``krylov-nicolaides``, which change at a refresh alone, or
            ``residual``, ``krylov-residual``, ``taylor``, which follow the gradient.
        damping: λ of ``F• = F + λI``; None follows the damping of the fine level.
        order: of the Taylor space, ≥ 1.
        decay: γ of a running average of ``F_coarse`` with weight ρ = min(1 − 1/k, γ), k counting the refreshes, for
            spaces that change at a refresh alone. With 0, ``F_coarse`` is that of the batch and the correction is
            optimal; an average takes it from several batches and the residual from the last one, so that
            ``energy_gap``, which is always that of the last batch, may be positive.
        lifetime: the steps from one refresh to the next, infinite if there is but one. The correction is the same;
            what is worth preparing for it at a refresh depends on it.

    Raises:
        ValueError: an argument is out of range, or a running average is asked of a space that follows the gradient.
    """

    @checked
    def __init__(
        self,
        layers: Mapping[Any, Layer],
        fine: Curvature,
        *,
        coarse_space: str,
        damping: Positive | None = None,
        order: Count = 2,
        decay: Fraction = 0.0,
        lifetime: Annotated[float, Range(above=0, infinite=True)] = 1,
    ) -> None:
        spaces: dict[str, CoarseSpace] = {**FIXED_SPACES, **RESIDUAL_SPACES, "taylor": partial(taylor, order=order)}
        if coarse_space not in spaces:
            raise ValueError(f"coarse_space={coarse_space!r} is not allowed, it must be one of {', '.join(spaces)}")
        self._follows_residual = coarse_space not in FIXED_SPACES
        if decay and self._follows_residual:
            raise ValueError(
                f"decay={decay!r} is not allowed with coarse_space={coarse_space!r}, whose columns are new at every"
                " step: 0 only"
            )
        super().__init__(layers, fine, damping)
        self._space_in_words = f" with the {coarse_space} space"
        self.decay = decay
        self.lifetime = lifetime
        self._space = spaces[coarse_space]
        self._waiting: Jacobian | None = None
        self._batch: Jacobian | None = None
        self._operator: CoarseOperator | None = None
        self._average: Tensor | None = None
        self._inverse: PseudoInverse | None = None
        self._refreshes = 0
        self._report = _Report()

    def accumulate(self, blocks: Mapping[Layer, FisherBlock]) -> None:
        super().accumulate(blocks)
        self._waiting = Jacobian(blocks)

    def refresh(self) -> None:
        self.fine.refresh()
        if self._waiting is not None:
            self._batch, self._waiting = self._waiting, None
        if self._batch is None or self._follows_residual:
            return
        self._refreshes += 1
        context = CoarseContext(self._batch, self.fine, self.damping)
        self._operator = CoarseOperator.build(context, self._space(context), self.lifetime)
        self._average = self._averaged(self._operator.matrix)
        self._inverse = PseudoInverse.of(self._average, torch.finfo(self._batch.dtype).eps)
        self._report.refreshed(self.fine, context.diagnostics)

    def _averaged(self, matrix: Tensor) -> Tensor:
        if self._average is None or self._average.shape != matrix.shape:
            return matrix
        return torch.lerp(matrix, self._average, min(1 - 1 / self._refreshes, self.decay))

    def precondition(self, gradients: Mapping[Layer, Tensor]) -> dict[Layer, Tensor]:
        directions = self.fine.precondition(gradients)
        self._report.step(self.fine, several_products=self._follows_residual)
        if self._batch is None or not directions:
            return directions
        self._batch.check_unchanged()
        known, solution = self._batch.fill(gradients), self._batch.fill(directions)
        if self._follows_residual:
            operator, inverse, restricted = self._follow(known, solution)
        else:
            assert self._operator is not None
            assert self._inverse is not None
            operator, inverse = self._operator, self._inverse
            restricted = operator.restricted_residual(known, solution)
        coefficients = inverse.times(restricted)
        operator.add_correction({layer: solution[layer] for layer in solution if layer in directions}, coefficients)
        self._report.correction(operator.energy_gap(coefficients, restricted), coefficients, inverse.dropped)
        return {
            layer: in_dtype(solution[layer], matrix.dtype) if layer in solution else matrix
            for layer, matrix in directions.items()
        }

    def _follow(self, gradients: Matrices, directions: Matrices) -> tuple[CoarseOperator, PseudoInverse, Tensor]:
        """The operator of a space that depends on the residual, its inverse, and ``R₀ r``."""
        batch = self._batch
        assert batch is not None
        images = batch.weighted_sum(batch.transpose_times(directions).div_(batch.examples))
        residual = {
            layer: image.add_(directions[layer], alpha=self.damping).neg_().add_(gradients[layer])
            for layer, image in images.items()
        }
        context = CoarseContext(batch, self.fine, self.damping, residual)
        operator = CoarseOperator.build(context, self._space(context))
        return operator, PseudoInverse.of(operator.matrix, torch.finfo(batch.dtype).eps), operator.restrict(residual)

    def diagnostics(self) -> dict[str, float]:
        """Of the last step.

        ``energy_gap``: ``𝔈(β*) − 𝔈(0)`` (4.46), how much nearer the step is to the exact natural gradient, ≤ 0.
        ``coarse_dimension`` and ``coarse_dropped``: columns of the space, and how many directions of it were left out
        because ``F_coarse`` is singular there. And what the fine level has to tell.
        """
        return self._report.numbers(self.fine)

    def state_dict(self) -> dict[str, Any]:
        operator = self._operator
        return {
            "hyperparameters": self.hyperparameters(),
            "fine": self.fine.state_dict(),
            "waiting": None if self._waiting is None else self._waiting.state_dict(),
            "batch": None if self._batch is None else self._batch.state_dict(),
            "columns": None if operator is None else pack_columns(operator.columns),
            "products": None if operator is None else operator.products,
            "average": self._average,
            "inverse": None if self._inverse is None else self._inverse.pack(),
            "refreshes": self._refreshes,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        def jacobian(saved: Mapping[str, Any] | None) -> Jacobian | None:
            return None if saved is None else Jacobian.from_state(saved, self.layers)

        waiting, batch = jacobian(state["waiting"]), jacobian(state["batch"])
        operator = average = inverse = None
        damping = self._damping_of(state["hyperparameters"])
        if batch is not None and state["columns"] is not None:
            columns: list[Column] = unpack_columns(state["columns"], self.layers)
            products = state["products"].to(batch.device, copy=True)
            operator = CoarseOperator(batch, columns, products, damping, self.lifetime)
            average = state["average"].to(batch.device, copy=True)
            inverse = unpack(state["inverse"], copies_on(batch.device))
        refreshes = state["refreshes"]
        # The fine level takes its state whole or not at all, and after it nothing here can fail.
        self.fine.load_state_dict(state["fine"])
        self._take_damping(damping)
        self._waiting, self._batch, self._refreshes = waiting, batch, refreshes
        self._operator, self._average, self._inverse = operator, average, inverse
        self._report = _Report()


class _Report:
    """What a step has to tell, kept on the device until somebody asks."""

    def __init__(self) -> None:
        self._values: dict[str, Tensor] = {}
        self._fine: dict[str, float] = {}
        self._space: dict[str, float] = {}
        self._coming: dict[str, float] | None = None

    def refreshed(self, fine: Curvature, space: Mapping[str, float]) -> None:
        """A refresh: making the space may have used the fine level, whose report the next product replaces."""
        self._coming = {**fine.diagnostics(), **space}

    def step(self, fine: Curvature, *, several_products: bool) -> None:
        """The fine level has made its step."""
        self._values = {}
        self._space, self._coming = self._coming or {}, None
        self._fine = fine.diagnostics() if several_products else {}

    def correction(self, gap: Tensor, coefficients: Tensor, dropped: Tensor) -> None:
        """The step was corrected."""
        self._values = {
            "energy_gap": gap,
            "coarse_dimension": torch.tensor(len(coefficients)),
            "coarse_dropped": dropped,
        }

    def numbers(self, fine: Curvature) -> dict[str, float]:
        """All of it."""
        values = {key: float(value) for key, value in self._values.items()}
        return {**self._space, **(self._fine or fine.diagnostics()), **values}
