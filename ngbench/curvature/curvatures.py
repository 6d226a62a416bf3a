"""What an optimizer holds: an estimate of the curvature that is accumulated, refreshed and applied.

The three steps are the three columns of the thesis' Table 3.1: F̂, F̂⁻¹ and F̂⁻¹∇h.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ngbench.curvature.approximations import Approximation
from ngbench.curvature.fisher import FisherBlock
from ngbench.curvature.kronecker import FactoredInverse, KroneckerSum, invert_factored
from ngbench.curvature.layers import Layer
from ngbench.curvature.parallel import map_layers

__all__ = ["Curvature", "KroneckerCurvature"]


class Curvature(ABC):
    """An approximation of the Fisher matrix of the whole network."""

    @abstractmethod
    def accumulate(self, blocks: Mapping[Layer, FisherBlock]) -> None:
        """F̂: take in the statistics of a batch."""

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

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs to continue, keyed by layer name: tensors and numbers alone."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""

    def diagnostics(self) -> dict[str, float]:
        """Numbers about the last step that belong in a record; none by default."""
        return {}


class KroneckerCurvature(Curvature):
    """Layer by layer, a running average of a Kronecker approximation, inverted under factored damping.

    Args:
        layers: the layers, in the order of the model.
        approximation: from the Fisher block of a layer on one batch to Kronecker factors.
        damping: λ > 0.
        use_pi: balance the damping of the two factors by the ratio of their average eigenvalues; else π = 1.
        decay: γ of the running average with weight ρ = min(1 − 1/k, γ), k counting the updates (3.1.2).
    """

    def __init__(
        self,
        layers: Mapping[Any, Layer],
        approximation: Approximation,
        *,
        damping: float,
        use_pi: bool = True,
        decay: float = 0.95,
    ) -> None:
        self.layers = {layer.name: layer for layer in layers.values()}
        self.approximation = approximation
        self.damping = damping
        self.use_pi = use_pi
        self.decay = decay
        self.factors: dict[str, KroneckerSum] = {}
        self.inverses: dict[str, FactoredInverse] = {}
        self.updates: dict[str, int] = {}

    def accumulate(self, blocks: Mapping[Layer, FisherBlock]) -> None:
        items = list(blocks.items())
        estimates = map_layers(
            lambda item: self.approximation(item[1]),
            items,
            device=_device(blocks),
            size=lambda item: item[1].d_in ** 2 + item[1].d_out ** 2,
        )
        for (layer, _), estimate in zip(items, estimates, strict=True):
            estimate = _average_over_workers(estimate)
            count = self.updates.get(layer.name, 0) + 1
            self.updates[layer.name] = count
            if count > 1:
                estimate = self.factors[layer.name].average(estimate, min(1 - 1 / count, self.decay))
            self.factors[layer.name] = estimate

    def refresh(self) -> None:
        items = list(self.factors.items())
        if not items:
            return
        inverses = map_layers(
            lambda item: invert_factored(item[1], self.damping, use_pi=self.use_pi),
            items,
            device=self.layers[items[0][0]].weight.device,
            size=lambda item: sum(len(factor) ** 3 for factor in item[1].terms[0]),
        )
        if torch.stack([inverse.info for inverse in inverses]).any():
            self._explain([name for (name, _), inverse in zip(items, inverses, strict=True) if inverse.info])
        self.inverses = {name: inverse for (name, _), inverse in zip(items, inverses, strict=True)}

    def _explain(self, failed: list[str]) -> None:
        for name in failed:
            if not all(torch.isfinite(factor).all() for term in self.factors[name].terms for factor in term):
                raise FloatingPointError(f"the curvature of layer {name!r} contains NaN or infinite values")
        raise ArithmeticError(
            f"the curvature of layer {failed[0]!r} is not positive definite in its precision with damping"
            f" {self.damping:g}; a larger damping or --dtype float64 makes it so"
        )

    def precondition(self, gradients: Mapping[Layer, Tensor]) -> dict[Layer, Tensor]:
        known = [(layer, matrix) for layer, matrix in gradients.items() if layer.name in self.inverses]
        if not known:
            return {}
        directions = map_layers(
            lambda item: self.inverses[item[0].name].times(item[1]),
            known,
            device=known[0][1].device,
            size=lambda item: item[1].numel() * sum(item[1].shape),
        )
        return {layer: direction for (layer, _), direction in zip(known, directions, strict=True)}

    def state_dict(self) -> dict[str, Any]:
        return {
            "updates": dict(self.updates),
            "factors": {name: [list(term) for term in value.terms] for name, value in self.factors.items()},
            "inverses": {name: [value.a, value.g, value.info] for name, value in self.inverses.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        def place(tensor: Tensor, name: str) -> Tensor:
            return tensor.to(self.layers[name].weight.device, copy=True)

        self.updates = dict(state["updates"])
        self.factors = {
            name: KroneckerSum(tuple((place(a, name), place(g, name)) for a, g in terms))
            for name, terms in state["factors"].items()
        }
        self.inverses = {
            name: FactoredInverse(*(place(tensor, name) for tensor in tensors))
            for name, tensors in state["inverses"].items()
        }


def _device(blocks: Mapping[Layer, FisherBlock]) -> torch.device:
    return next((layer.weight.device for layer in blocks), torch.device("cpu"))


def _average_over_workers(estimate: KroneckerSum) -> KroneckerSum:
    """The mean over the processes of data-parallel training, so that all of them step alike."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        for term in estimate.terms:
            for factor in term:
                dist.all_reduce(factor)
                factor.div_(dist.get_world_size())
    return estimate
