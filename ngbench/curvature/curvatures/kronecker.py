"""A curvature whose layers each have an approximation of their Fisher block, such as a sum of Kronecker products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.bounds import Positive, PositiveShare, Share, checked
from ngbench.curvature.curvatures.base import Curvature
from ngbench.curvature.inverses.damping import Damping, DampingKind, SecondTerm
from ngbench.curvature.inverses.factored import BlockInverse
from ngbench.curvature.kronecker.declaration import PredictedCost, Setting, declaration_of, described, options_of
from ngbench.curvature.kronecker.estimate import ApproximateBlock, Approximation, Estimate
from ngbench.curvature.layers import Layer
from ngbench.curvature.linalg.packing import copies_on, unpack
from ngbench.curvature.linalg.parallel import map_layers
from ngbench.curvature.linalg.precision import in_dtype, statistics_dtype

__all__ = ["KroneckerCurvature"]

# From the unit of rounding to a two-thousandth of a factor's trace.
_MOST_RAISES = 6


class KroneckerCurvature(Curvature):
    """Layer by layer, a running average of an approximation of the Fisher block, inverted under damping.

    Kronecker products are averaged factor by factor, each new one with the sign of its factors that is nearer to the
    average.
    Iterative approximations start where the previous batch's iteration ended, not at the running average, which is the
    solution for no batch. Each worker of data-parallel training approximates the block of its own examples; the
    factors are averaged over the workers.

    Args:
        layers: the layers, in the order of the model.
        approximation: from the Fisher block of a layer on one batch to its approximation, a sum of Kronecker products
            or any other :class:`~ngbench.curvature.kronecker.estimate.ApproximateBlock`.
        damping: λ > 0; divided by the number of positions of a layer that has several, unless the approximation
            declares that it is not.
        damping_kind: ``"factored"`` or ``"normal"``; see :class:`~ngbench.curvature.inverses.damping.Damping`.
        use_pi: balance factored damping by the ratio of the average eigenvalues of the factors; else π = 1.
        second_term: ``"clamp"`` or ``"absolute"``, for sums of two products.
        floor: of ``second_term="clamp"``.
        decay: γ of the running average with weight ρ = min(1 − 1/k, γ), k counting the updates (3.1.2).

    Attributes:
        factors: the running averages.
        starts: of the layers whose next estimate wants one, what the last batch gave.
        inverses: of the damped averages at the last refresh.

    Raises:
        ValueError: a value is not allowed.
    """

    @checked
    def __init__(
        self,
        layers: Mapping[Any, Layer],
        approximation: Approximation,
        *,
        damping: Positive,
        damping_kind: DampingKind = "factored",
        use_pi: bool = True,
        second_term: SecondTerm = "clamp",
        floor: PositiveShare = 0.1,
        decay: Share = 0.95,
    ) -> None:
        self.layers = {layer.name: layer for layer in layers.values()}
        self.approximation = approximation
        self.declaration = declaration_of(approximation)
        self.damping = Damping(damping, damping_kind, use_pi, second_term, floor)
        self.decay = decay
        self.factors: dict[str, ApproximateBlock] = {}
        self.starts: dict[str, ApproximateBlock] = {}
        self.inverses: dict[str, BlockInverse] = {}
        self.updates: dict[str, int] = {}
        self.positions: dict[str, int] = {}
        self._searches: dict[str, float] = {}
        self._refreshed = False
        self._raised: set[str] = set()
        self._told: tuple[dict[str, float], bool] = ({}, False)

    def accumulate(self, blocks: Mapping[Layer, FisherBlock]) -> None:
        for layer in blocks:
            if self.layers.get(layer.name) is not layer:
                self._begin(layer)
            for known in (self.factors, self.starts):
                if layer.name in known:
                    # The model may have become one of another type since.
                    known[layer.name] = known[layer.name].in_dtype(statistics_dtype(layer.weight.dtype))
        estimates = {layer: self.approximation(block, self.starts.get(layer.name)) for layer, block in blocks.items()}
        self._check_finite({layer.name: estimate.value for layer, estimate in estimates.items()})
        for layer, estimate in estimates.items():
            self._average(layer.name, estimate)
            self.positions[layer.name] = blocks[layer].positions
        self._searches = _searches(estimates)

    def _begin(self, layer: Layer) -> None:
        """Know a layer that is new, or that another one of its name, perhaps of another shape, was before."""
        self.layers[layer.name] = layer
        for known in (self.factors, self.starts, self.inverses, self.updates, self.positions):
            known.pop(layer.name, None)

    def _check_finite(self, values: Mapping[str, ApproximateBlock]) -> None:
        if not values or torch.stack([value.probe() for value in values.values()]).isfinite().all():
            return
        name = next(name for name, value in values.items() if not value.probe().isfinite())
        raise FloatingPointError(f"the curvature of layer {name!r} contains NaN or infinite values")

    def _average(self, name: str, estimate: Estimate) -> None:
        if estimate.start is None:
            self.starts.pop(name, None)
        else:
            self.starts[name] = estimate.start
        value, average = estimate.value, self.factors.get(name)
        if _workers() > 1:
            value = value.aligned_with(value.mapped(_of_first_worker) if average is None else average)
            value = value.reduced(_mean_over_workers)
        count = self.updates.get(name, 0) + 1
        self.updates[name] = count
        self.factors[name] = value if average is None else average.averaged(value, min(1 - 1 / count, self.decay))

    def refresh(self) -> None:
        items = list(self.factors.items())
        if not items:
            return
        inverses = map_layers(
            lambda item: item[1].inverse(self.damping_of(item[0])),
            items,
            device=self.layers[items[0][0]].weight.device,
            size=lambda item: sum(width**3 for width in item[1].shape),
        )
        self.inverses = {name: inverse for (name, _), inverse in zip(items, inverses, strict=True)}
        self._raised = set()
        if torch.stack([inverse.info for inverse in inverses]).any():
            for name in [name for name, inverse in self.inverses.items() if inverse.info]:
                self.inverses[name] = self._invert_raised(name)
                self._raised.add(name)
        self._refreshed = True

    def damping_of(self, name: str) -> Damping:
        """What the block of a layer is damped with."""
        positions = self.positions[name] if self.declaration.damping_by_positions else 1
        return replace(self.damping, value=self.damping.value / positions)

    def _invert_raised(self, name: str) -> BlockInverse:
        """The inverse of a layer whose damped factors are not positive definite in their precision."""
        if not all(torch.isfinite(tensor).all() for tensor in self.factors[name].tensors()):
            raise FloatingPointError(f"the curvature of layer {name!r} contains NaN or infinite values")
        for raised in range(1, _MOST_RAISES + 1):
            inverse = self.factors[name].inverse(replace(self.damping_of(name), raised=raised))
            if not inverse.info:
                return inverse
        raise ArithmeticError(
            f"the curvature of layer {name!r} is not positive definite in its precision with damping"
            f" {self.damping.value:g}; a larger damping or a wider dtype makes it so"
        )

    def precondition(self, gradients: Mapping[Layer, Tensor]) -> dict[Layer, Tensor]:
        directions = {
            layer: self._direction(layer.name, matrix)
            for layer, matrix in gradients.items()
            if layer.name in self.inverses and self.layers[layer.name] is layer
        }
        if directions:
            self._report()
        return directions

    def _direction(self, name: str, matrix: Tensor) -> Tensor:
        # A correction between layers has one type for all of them.
        own = self.factors[name].dtype
        return in_dtype(self.inverses[name].times(in_dtype(matrix, own)), matrix.dtype)

    def _report(self) -> None:
        """Keep what the estimates, the inversions and the solutions of this step have to tell."""
        self._told = (self._searches, self._refreshed)
        self._searches, self._refreshed = {}, False

    def diagnostics(self) -> dict[str, float]:
        """What the last step iterated and clamped, layer by layer.

        ``iterations/LAYER/TERM`` and ``residual/LAYER/TERM`` of an estimate, ``unconverged`` (how many layers missed
        the precision), ``clamped/LAYER`` after an inversion, ``raised_damping/LAYER`` = 1 where it took more damping
        than asked for to be positive definite in the precision of the factors, and of solutions by iteration
        ``solve_iterations/LAYER``, ``solve_residual/LAYER`` and ``negative_curvature/LAYER``.
        """
        searches, refreshed = self._told
        numbers = dict(searches)
        for name, inverse in self.inverses.items():
            # A solution by iteration has news at every step, an inverse only when it is made.
            if refreshed or inverse.iterates:
                numbers.update({f"{key}/{name}": value for key, value in inverse.diagnostics().items()})
        if refreshed:
            numbers.update({f"raised_damping/{name}": 1.0 for name in sorted(self._raised)})
        return numbers

    def predicted(self, layer: Layer, block: FisherBlock) -> Mapping[str, PredictedCost]:
        sizes = layer.d_in, layer.d_out, block.positions, block.examples
        return self.declaration.costs(Setting(*sizes, options_of(self.approximation)))

    @property
    def kind(self) -> str:
        return f"{type(self).__name__} of {described(self.approximation)}"

    def hyperparameters(self) -> dict[str, float]:
        return {"damping": self.damping.value}

    def set_hyperparameters(self, values: Mapping[str, float]) -> None:
        self.damping = replace(self.damping, value=values["damping"])

    def state_dict(self) -> dict[str, Any]:
        return {
            "hyperparameters": self.hyperparameters(),
            "updates": dict(self.updates),
            "positions": dict(self.positions),
            "factors": {name: value.pack() for name, value in self.factors.items()},
            "starts": {name: value.pack() for name, value in self.starts.items()},
            "inverses": {name: value.pack() for name, value in self.inverses.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        def unpacked(part: str) -> dict[str, Any]:
            devices = {name: self.layers[name].weight.device for name in state[part]}
            return {name: unpack(packed, copies_on(devices[name])) for name, packed in state[part].items()}

        damping = replace(self.damping, value=state["hyperparameters"]["damping"])
        factors, starts, inverses = unpacked("factors"), unpacked("starts"), unpacked("inverses")
        for name, value in [*factors.items(), *starts.items()]:
            if not value.fits(self.layers[name].d_out, self.layers[name].d_in):
                raise ValueError(f"the state has factors of another shape for layer {name!r}")
        updates, positions = dict(state["updates"]), dict(state["positions"])
        for counts in (updates, positions):
            if counts.keys() != factors.keys() or any(type(n) is not int or n < 1 for n in counts.values()):
                raise ValueError("the state does not count the updates and positions of its factors")
        self.damping, self.updates, self.positions = damping, updates, positions
        self.factors, self.starts, self.inverses = factors, starts, inverses
        self._searches, self._refreshed, self._raised, self._told = {}, False, set(), ({}, False)


def _searches(estimates: Mapping[Layer, Estimate]) -> dict[str, float]:
    """What the estimates of a batch have to tell."""
    numbers: dict[str, float] = {}
    for layer, estimate in estimates.items():
        numbers.update({f"iterations/{layer.name}/{term}": float(k) for term, k in estimate.iterations.items()})
        numbers.update({f"residual/{layer.name}/{term}": r for term, r in estimate.residuals.items()})
    if any(estimate.iterations for estimate in estimates.values()):
        numbers["unconverged"] = float(sum(not estimate.converged for estimate in estimates.values()))
    return numbers


def _workers() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _of_first_worker(tensor: Tensor) -> Tensor:
    """The tensor of the first worker, whose signs all others take."""
    first = tensor.clone()
    dist.broadcast(first, 0)
    return first


def _mean_over_workers(tensor: Tensor) -> Tensor:
    """The mean over the processes of data-parallel training, so that all of them step alike."""
    mean = tensor.clone()
    dist.all_reduce(mean)
    return mean.div_(_workers())
