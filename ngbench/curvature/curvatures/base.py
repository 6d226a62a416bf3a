"""What an optimizer holds: an estimate of the curvature that is accumulated, refreshed and applied.

The three steps are the three columns of the thesis' Table 3.1: F̂, F̂⁻¹ and F̂⁻¹∇h.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from typing import Any

from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.capture.deferred import DeferredGradient
from ngbench.curvature.kronecker.declaration import PredictedCost
from ngbench.curvature.layers import Layer

__all__ = ["Curvature"]


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

    def predicted(self, layer: Layer, block: FisherBlock) -> Mapping[str, PredictedCost]:
        """What the phases of a step are predicted to cost for a layer, by name; of all, some or no phases."""
        return {}

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


def _held(value: Any) -> Any:
    if isinstance(value, Curvature):
        return value.held()
    return copy(value) if isinstance(value, dict | list | set) else value
