"""Natural gradients without an approximation of the Fisher matrix (4.4): of the whole network, or layer by layer.

They are exact for the derivatives that layers recorded. Before a batch normalisation in training mode these are not
per-example derivatives; see :mod:`ngbench.curvature.blocks.block`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch.distributed as dist
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.bounds import Positive, checked
from ngbench.curvature.capture.deferred import DeferredGradient
from ngbench.curvature.capture.jacobian import Jacobian, Matrices
from ngbench.curvature.curvatures.base import Curvature
from ngbench.curvature.inverses.damping import Damping, DampingKind
from ngbench.curvature.inverses.gram import DampedInverse, DenseInverse, GramInverse
from ngbench.curvature.inverses.gram_factored import FactoredDenseInverse, FactoredGramInverse
from ngbench.curvature.layers import Layer
from ngbench.curvature.linalg.parallel import map_layers
from ngbench.curvature.linalg.precision import in_dtype

__all__ = ["BlockDiagonalCurvature", "ExactCurvature", "refuse_workers"]

LARGEST_SYSTEM = 32768
"""Unknowns of the largest system that is solved: 4 GiB in float32."""

_INVERSES: dict[str, type[DampedInverse]] = {
    inverse.__name__: inverse for inverse in (GramInverse, DenseInverse, FactoredGramInverse, FactoredDenseInverse)
}


def refuse_workers(what: str) -> None:
    """Raise where data-parallel training would give each worker a different step.

    Raises:
        NotImplementedError: several workers train together.
    """
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        raise NotImplementedError(f"{what} needs the whole batch in one process, not {dist.get_world_size()} workers")


class _BatchCurvature(Curvature):
    """A curvature that is exact on the last batch, of which it keeps what the layers recorded.

    There is no running average: the matrices of several batches have no common low-rank form that does not grow.

    Args:
        layers: the layers, in the order of the model.
        damping: what is added to the Fisher matrix.
        empirical: the gradient may be the mean column of J, as it is under the empirical Fisher matrix of the whole
            batch; where that is found to hold, the form of the solution that does not cancel is used.

    Attributes:
        inverses: of the last refresh.
    """

    def __init__(self, layers: Mapping[Any, Layer], *, damping: Damping, empirical: bool = False) -> None:
        self.layers = {layer.name: layer for layer in layers.values()}
        self.damping = damping
        self.empirical = empirical
        self.inverses: list[DampedInverse] = []
        self._batch: Jacobian | None = None
        self._fresh = False

    @abstractmethod
    def _groups(self, batch: Jacobian) -> list[tuple[str, Jacobian]]:
        """The rows of J that are inverted together, and what to call them in errors."""

    def accumulate(self, blocks: Mapping[Layer, FisherBlock]) -> None:
        refuse_workers("an exact natural gradient")
        self.layers.update({layer.name: layer for layer in blocks})
        self._batch = Jacobian(blocks)

    def refresh(self) -> None:
        if self._batch is None:
            return
        groups = self._groups(self._batch)
        for _, jacobian in groups:
            _check_size(jacobian)
        self.inverses = map_layers(
            lambda group: self._invert(group[1], group[0]),
            groups,
            device=self._batch.device,
            size=lambda group: min(group[1].columns, group[1].parameters) ** 3,
        )
        self._fresh = True
        self._batch = None

    def _invert(self, jacobian: Jacobian, what: str) -> DampedInverse:
        dense = jacobian.parameters < jacobian.columns
        if self.damping.kind == "factored":
            factored: type[DampedInverse] = FactoredDenseInverse if dense else FactoredGramInverse
            return factored.build(jacobian, self.damping, what)
        return (DenseInverse if dense else GramInverse).build(jacobian, self.damping, what)

    def precondition(self, gradients: Mapping[Layer, Tensor]) -> dict[Layer, Tensor]:
        directions: dict[Layer, Tensor] = {}
        if not self.inverses:
            return directions
        for inverse in self.inverses:
            directions.update(self._direction(inverse, gradients))
        self._fresh = False
        return directions

    def precondition_deferred(self, gradients: Mapping[Layer, DeferredGradient]) -> dict[Layer, list[Tensor]]:
        directions: dict[Layer, list[Tensor]] = {}
        for inverse in self.inverses:
            inverse.jacobian.check_unchanged()
            known = {layer: gradients[layer] for layer in inverse.jacobian.blocks if layer in gradients}
            directions.update(inverse.times_deferred(known))
        self._fresh = False
        return {layer: [in_dtype(part, layer.weight.dtype) for part in parts] for layer, parts in directions.items()}

    def _direction(self, inverse: DampedInverse, gradients: Mapping[Layer, Tensor]) -> Matrices:
        jacobian = inverse.jacobian
        jacobian.check_unchanged()
        solution = self._solve(inverse, jacobian.fill(gradients))
        return {layer: solution[layer].to(gradients[layer].dtype) for layer in jacobian.blocks if layer in gradients}

    def _solve(self, inverse: DampedInverse, matrices: Matrices) -> Matrices:
        # Only the batch that the gradient was taken on can have it as its mean column.
        if self.empirical and self._fresh and isinstance(inverse, GramInverse):
            factor = inverse.jacobian.mean_column_factor(matrices)
            if factor is not None:
                return inverse.times_mean_column(factor)
        return inverse.times(matrices)

    def diagnostics(self) -> dict[str, float]:
        """``clamped_eigenvalues``: of the systems, set to zero because rounding had made them indefinite."""
        return {"clamped_eigenvalues": float(sum(inverse.factor.clamped for inverse in self.inverses))}

    def hyperparameters(self) -> dict[str, float]:
        return {"damping": self.damping.value}

    def set_hyperparameters(self, values: Mapping[str, float]) -> None:
        self.damping = replace(self.damping, value=values["damping"])

    def state_dict(self) -> dict[str, Any]:
        return {
            "hyperparameters": self.hyperparameters(),
            "batch": None if self._batch is None else self._batch.state_dict(),
            "inverses": [
                {
                    "kind": type(inverse).__name__,
                    "jacobian": inverse.jacobian.state_dict(),
                    **inverse.state_dict(),
                }
                for inverse in self.inverses
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        damping = replace(self.damping, value=state["hyperparameters"]["damping"])
        batch = None if state["batch"] is None else Jacobian.from_state(state["batch"], self.layers)
        inverses = [
            _INVERSES[saved["kind"]].from_state(Jacobian.from_state(saved["jacobian"], self.layers), damping, saved)
            for saved in state["inverses"]
        ]
        self.damping, self._batch, self.inverses, self._fresh = damping, batch, inverses, False


class ExactCurvature(_BatchCurvature):
    """``(λI + (1/m) J Jᵀ)⁻¹`` of the whole network (4.50), with the blocks between layers.

    Args:
        layers: the layers, in the order of the model.
        damping: λ > 0.
        empirical: see :class:`BlockDiagonalCurvature`.
    """

    @checked
    def __init__(self, layers: Mapping[Any, Layer], *, damping: Positive, empirical: bool = False) -> None:
        super().__init__(layers, damping=Damping(damping, "normal"), empirical=empirical)

    def _groups(self, batch: Jacobian) -> list[tuple[str, Jacobian]]:
        return [("the curvature of the network", batch)]


class BlockDiagonalCurvature(_BatchCurvature):
    """``(λI + (1/m) J_i J_iᵀ)⁻¹`` of each layer i on its own (4.52).

    Args:
        layers: the layers, in the order of the model.
        damping: λ > 0.
        damping_kind: ``"normal"`` adds λI to a block, in convolutions too; ``"factored"`` adds what KFAC's damping
            (4.53) adds to its approximation of the block, ``π√λ I ⊗ G + π⁻¹√λ A ⊗ I + λI`` with λ divided by the number
            of positions.
        use_pi: with ``"factored"``, balance the damping of the factors (3.1.2); otherwise π = 1.
        empirical: the gradient may be the mean of the per-example gradients; where that is found to hold, the form
            of the solution that does not cancel is used.
    """

    @checked
    def __init__(
        self,
        layers: Mapping[Any, Layer],
        *,
        damping: Positive,
        damping_kind: DampingKind = "normal",
        use_pi: bool = False,
        empirical: bool = False,
    ) -> None:
        super().__init__(layers, damping=Damping(damping, damping_kind, use_pi), empirical=empirical)

    def _groups(self, batch: Jacobian) -> list[tuple[str, Jacobian]]:
        return [(f"the curvature of layer {layer.name!r}", batch.only(layer)) for layer in batch.blocks]


def _check_size(jacobian: Jacobian) -> None:
    """Refuse a system that is too large in both of its forms.

    Raises:
        ValueError: it has too many unknowns.
    """
    unknowns = min(jacobian.columns, jacobian.parameters)
    if unknowns > LARGEST_SYSTEM:
        raise ValueError(
            f"an exact natural gradient would solve for {unknowns} unknowns"
            f" ({jacobian.columns} per-example gradients of {jacobian.parameters} parameters), of which at most"
            f" {LARGEST_SYSTEM} are allowed; fisher=sampled or a smaller curvature_fraction needs fewer"
        )
