"""What an optimizer holds: an estimate of the curvature that is accumulated, refreshed and applied.

The three steps are the three columns of the thesis' Table 3.1: F̂, F̂⁻¹ and F̂⁻¹∇h.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.bounds import Positive, PositiveShare, Share, checked
from ngbench.curvature.capture.deferred import DeferredGradient
from ngbench.curvature.inverses.inverse import Damping, DampingKind, invert, pack_inverse, unpack_inverse
from ngbench.curvature.inverses.two_term import SecondTerm
from ngbench.curvature.kronecker.approximations import Approximation, Estimate, described
from ngbench.curvature.kronecker.sums import KroneckerInverse, KroneckerSum
from ngbench.curvature.layers import Layer
from ngbench.curvature.linalg.parallel import map_layers
from ngbench.curvature.linalg.precision import in_dtype, statistics_dtype

__all__ = ["Curvature", "KroneckerCurvature"]

# From the unit of rounding to a two-thousandth of a factor's trace.
_MOST_RAISES = 6


class Curvature(ABC):
    """An approximation of the Fisher matrix of the whole network.

    Attributes:
        diagnose: whether :meth:`diagnostics` may cost products that the step has no use for; false by default.
    """

    diagnose = False

    @abstractmethod
    def accumulate(self, blocks: Mapping[Layer, FisherBlock]) -> None:
        """F̂: take in the statistics of a batch.

        Raises:
            FloatingPointError: they contain NaN or infinite values; nothing was taken in.
        """

    @abstractmethod
    def refresh(self) -> None:
        """F̂⁻¹: prepare for :meth:`precondition` from what was accumulated.

        Raises:
            FloatingPointError: the statistics contain NaN or infinite values.
            ArithmeticError: the damped curvature is not positive definite in its precision.
        """

    @abstractmethod
    def precondition(self, gradients: Mapping[Layer, Tensor]) -> dict[Layer, Tensor]:
        """F̂⁻¹∇h.

        Args:
            gradients: the gradient of each layer as a matrix ``(d_out, d_in)``.

        Returns:
            The preconditioned gradients. Layers of which nothing has been accumulated yet are left out.
        """

    def precondition_deferred(self, gradients: Mapping[Layer, DeferredGradient]) -> dict[Layer, list[Tensor]]:
        """:meth:`precondition` of gradients that are not formed.

        Returns:
            For each layer, tensors of the shapes of its parameters, as
            :meth:`~ngbench.curvature.layers.layer.Layer.split` has them.
        """
        directions = self.precondition({layer: gradient.form() for layer, gradient in gradients.items()})
        return {layer: layer.split(matrix) for layer, matrix in directions.items()}

    @property
    def kind(self) -> str:
        """What a state is compared by: a curvature continues from the states of its own kind alone."""
        return type(self).__name__

    def hyperparameters(self) -> dict[str, float]:
        """What a training loop may change between two inversions, by name; nothing by default.

        :class:`~ngbench.optimizers.natural_gradient.NaturalGradient` has them in its parameter groups.
        """
        return {}

    def set_hyperparameters(self, values: Mapping[str, float]) -> None:
        """Take the values of all :meth:`hyperparameters` for the :meth:`refresh` that follows.

        Raises:
            ValueError: one is out of range or unknown; nothing is changed.
        """
        if values:
            raise ValueError(f"{type(self).__name__} has no hyper-parameter {next(iter(values))!r}")

    def held(self) -> dict[str, Any]:
        """What :meth:`put_back` needs to undo what comes after: references, since no tensor that is held is changed."""
        return {name: _held(value) for name, value in vars(self).items()}

    def put_back(self, held: Mapping[str, Any]) -> None:
        """Be as at the time of :meth:`held`."""
        for name, value in held.items():
            current = getattr(self, name)
            if isinstance(current, Curvature):
                current.put_back(value)
            else:
                setattr(self, name, value)

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs to continue, keyed by layer name: tensors and numbers alone."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a :meth:`state_dict` of the same kind and layers.

        What raises leaves the curvature as it was: read all of the state before anything is changed.

        Raises:
            ValueError: the state does not fit the layers.
        """

    def diagnostics(self) -> dict[str, float]:
        """Numbers about the last step that belong in a record; none by default."""
        return {}


class KroneckerCurvature(Curvature):
    """Layer by layer, a running average of a Kronecker approximation, inverted under damping.

    Products are averaged factor by factor, each new one with the sign of its factors that is nearer to the average.
    Iterative approximations start where the previous batch's iteration ended, not at the running average, which is the
    solution for no batch. Each worker of data-parallel training approximates the block of its own examples; the
    factors are averaged over the workers.

    Args:
        layers: the layers, in the order of the model.
        approximation: from the Fisher block of a layer on one batch to Kronecker factors.
        damping: λ > 0; divided by the number of positions of a layer that has several.
        damping_kind: ``"factored"`` or ``"normal"``; see :class:`~ngbench.curvature.inverses.inverse.Damping`.
        use_pi: balance factored damping by the ratio of the average eigenvalues of the factors; else π = 1.
        second_term: ``"clamp"`` or ``"absolute"``, for sums of two products.
        floor: of ``second_term="clamp"``.
        decay: γ of the running average with weight ρ = min(1 − 1/k, γ), k counting the updates (3.1.2).

    Attributes:
        factors: the running averages.
        starts: of the layers whose next estimate wants one, the products that the last batch gave.
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
        self.damping = Damping(damping, damping_kind, use_pi, second_term, floor)
        self.decay = decay
        self.factors: dict[str, KroneckerSum] = {}
        self.starts: dict[str, KroneckerSum] = {}
        self.inverses: dict[str, KroneckerInverse] = {}
        self.updates: dict[str, int] = {}
        self.positions: dict[str, int] = {}
        self._estimates: dict[str, Estimate] = {}
        self._refreshed = False
        self._raised: set[str] = set()
        self._told: tuple[dict[str, Estimate], bool] = ({}, False)

    def accumulate(self, blocks: Mapping[Layer, FisherBlock]) -> None:
        for layer in blocks:
            if self.layers.get(layer.name) is not layer:
                self._begin(layer)
            for sums in (self.factors, self.starts):
                if layer.name in sums:
                    # The model may have become one of another type since.
                    sums[layer.name] = sums[layer.name].in_dtype(statistics_dtype(layer.weight.dtype))
        estimates = {layer: self.approximation(block, self.starts.get(layer.name)) for layer, block in blocks.items()}
        self._check_finite({layer.name: estimate.value for layer, estimate in estimates.items()})
        for layer, estimate in estimates.items():
            self._average(layer.name, estimate)
            self.positions[layer.name] = blocks[layer].positions
            # The products themselves are as large as the average, and of no more use.
            self._estimates[layer.name] = replace(estimate, value=KroneckerSum(()), start=None)

    def _begin(self, layer: Layer) -> None:
        """Know a layer that is new, or that another one of its name, perhaps of another shape, was before."""
        self.layers[layer.name] = layer
        for known in (self.factors, self.starts, self.inverses, self.updates, self.positions):
            known.pop(layer.name, None)

    def _check_finite(self, values: Mapping[str, KroneckerSum]) -> None:
        # A number that is not finite makes the sum along a diagonal so: second moments have it there, and products
        # found by iteration have it everywhere.
        sums = {
            name: [factor.diagonal().sum(dtype=torch.float64) for term in value.terms for factor in term]
            for name, value in values.items()
        }
        flat = [one for parts in sums.values() for one in parts]
        if not flat or torch.stack(flat).isfinite().all():
            return
        name = next(name for name, parts in sums.items() if not torch.stack(parts).isfinite().all())
        raise FloatingPointError(f"the curvature of layer {name!r} contains NaN or infinite values")

    def _average(self, name: str, estimate: Estimate) -> None:
        if estimate.start is None:
            self.starts.pop(name, None)
        else:
            self.starts[name] = estimate.start
        value, average = estimate.value, self.factors.get(name)
        if _workers() > 1:
            value = value.aligned_with(_of_first_worker(value) if average is None else average)
        value = _average_over_workers(value)
        count = self.updates.get(name, 0) + 1
        self.updates[name] = count
        self.factors[name] = value if average is None else average.averaged(value, min(1 - 1 / count, self.decay))

    def refresh(self) -> None:
        items = list(self.factors.items())
        if not items:
            return
        inverses = map_layers(
            lambda item: invert(item[1], self.damping, self.positions[item[0]]),
            items,
            device=self.layers[items[0][0]].weight.device,
            size=lambda item: sum(len(factor) ** 3 for factor in item[1].terms[0]),
        )
        self.inverses = {name: inverse for (name, _), inverse in zip(items, inverses, strict=True)}
        self._raised = set()
        if torch.stack([inverse.info for inverse in inverses]).any():
            for name in [name for name, inverse in self.inverses.items() if inverse.info]:
                self.inverses[name] = self._invert_raised(name)
                self._raised.add(name)
        self._refreshed = True

    def _invert_raised(self, name: str) -> KroneckerInverse:
        """The inverse of a layer whose damped factors are not positive definite in their precision."""
        if not all(torch.isfinite(factor).all() for term in self.factors[name].terms for factor in term):
            raise FloatingPointError(f"the curvature of layer {name!r} contains NaN or infinite values")
        for raised in range(1, _MOST_RAISES + 1):
            inverse = invert(self.factors[name], replace(self.damping, raised=raised), self.positions[name])
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
        own = self.factors[name].terms[0][0].dtype
        return in_dtype(self.inverses[name].times(in_dtype(matrix, own)), matrix.dtype)

    def _report(self) -> None:
        """Keep what the estimates, the inversions and the solutions of this step have to tell."""
        self._told = (self._estimates, self._refreshed)
        self._estimates, self._refreshed = {}, False

    def diagnostics(self) -> dict[str, float]:
        """What the last step iterated and clamped, layer by layer.

        ``iterations/LAYER/TERM`` and ``residual/LAYER/TERM`` of an estimate, ``unconverged`` (how many layers missed
        the precision), ``clamped/LAYER`` after an inversion, ``raised_damping/LAYER`` = 1 where it took more damping
        than asked for to be positive definite in the precision of the factors, and of solutions by iteration
        ``solve_iterations/LAYER``, ``solve_residual/LAYER`` and ``negative_curvature/LAYER``.
        """
        estimates, refreshed = self._told
        numbers: dict[str, float] = {}
        for name, estimate in estimates.items():
            numbers.update({f"iterations/{name}/{term}": float(k) for term, k in estimate.iterations.items()})
            numbers.update({f"residual/{name}/{term}": r for term, r in estimate.residuals.items()})
        if any(estimate.iterations for estimate in estimates.values()):
            numbers["unconverged"] = float(sum(not estimate.converged for estimate in estimates.values()))
        for name, inverse in self.inverses.items():
            # A solution by iteration has news at every step, an inverse only when it is made.
            if refreshed or inverse.iterates:
                numbers.update({f"{key}/{name}": value for key, value in inverse.diagnostics().items()})
        if refreshed:
            numbers.update({f"raised_damping/{name}": 1.0 for name in sorted(self._raised)})
        return numbers

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
            "factors": {name: _pack(value) for name, value in self.factors.items()},
            "starts": {name: _pack(value) for name, value in self.starts.items()},
            "inverses": {name: pack_inverse(value) for name, value in self.inverses.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        def place(name: str) -> Callable[[Tensor], Tensor]:
            return lambda tensor: tensor.to(self.layers[name].weight.device, copy=True)

        def unpack(sums: Mapping[str, Any]) -> dict[str, KroneckerSum]:
            return {
                name: KroneckerSum(tuple((place(name)(a), place(name)(g)) for a, g in terms))
                for name, terms in sums.items()
            }

        damping = replace(self.damping, value=state["hyperparameters"]["damping"])
        factors, starts = unpack(state["factors"]), unpack(state["starts"])
        inverses = {name: unpack_inverse(packed, place(name)) for name, packed in state["inverses"].items()}
        for name, value in [*factors.items(), *starts.items()]:
            layer = self.layers[name]
            if not value.terms or any(len(a) != layer.d_in or len(g) != layer.d_out for a, g in value.terms):
                raise ValueError(f"the state has factors of another shape for layer {name!r}")
        updates, positions = dict(state["updates"]), dict(state["positions"])
        for counts in (updates, positions):
            if counts.keys() != factors.keys() or any(type(n) is not int or n < 1 for n in counts.values()):
                raise ValueError("the state does not count the updates and positions of its factors")
        self.damping, self.updates, self.positions = damping, updates, positions
        self.factors, self.starts, self.inverses = factors, starts, inverses
        self._estimates, self._refreshed, self._raised, self._told = {}, False, set(), ({}, False)


def _held(value: Any) -> Any:
    if isinstance(value, Curvature):
        return value.held()
    return copy(value) if isinstance(value, dict | list | set) else value


def _pack(value: KroneckerSum) -> list[list[Tensor]]:
    return [list(term) for term in value.terms]


def _workers() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _of_first_worker(value: KroneckerSum) -> KroneckerSum:
    """The products of the first worker, whose signs all others take."""
    terms = tuple((a.clone(), g.clone()) for a, g in value.terms)
    for term in terms[1:]:
        for factor in term:
            dist.broadcast(factor, 0)
    return KroneckerSum(terms)


def _average_over_workers(value: KroneckerSum) -> KroneckerSum:
    """The mean over the processes of data-parallel training, so that all of them step alike."""
    if _workers() == 1:
        return value
    terms = tuple((a.clone(), g.clone()) for a, g in value.terms)
    for term in terms:
        for factor in term:
            dist.all_reduce(factor)
            factor.div_(_workers())
    return KroneckerSum(terms)
