"""What an optimizer may tell whoever measures it, and be told: :class:`Measured`, the one list of these names.

A plain ``torch.optim.Optimizer`` needs none of them. Whoever runs an optimizer asks :func:`measured` for a view of it,
in which what the optimizer does not have is absent: never a number that stands for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from pydantic import ValidationError

from ngbench.errors import PluginError
from ngbench.measurement.phases import PhaseContext
from ngbench.plugins.optimizer_classes import step_needs_closure
from ngbench.records.part import LONGEST_NAME
from ngbench.records.record import LayerRecord
from ngbench.values import LARGEST_NUMBER, is_encodable

if TYPE_CHECKING:
    import torch

__all__ = ["LayerShape", "Measured", "MeasuredOptimizer", "measured"]


class _Shape(TypedDict):
    name: str
    d_in: int
    d_out: int
    positions: int


class LayerShape(_Shape, total=False):
    """A layer that an optimizer has a curvature of.

    Attributes:
        name: the module's in the model, as ``named_modules`` has it.
        d_in: columns of its weight matrix, that of the bias included: inputs of a linear layer, numbers of a patch.
        d_out: rows: outputs of a linear layer, channels of a convolution.
        positions: T ≥ 1, the places at which one example uses the weight: 1 for a linear layer on vectors, the pixels
            of the output for a convolution, the sum over its calls for a layer that is called several times.
        predicted: what each phase is predicted to cost, where the method knows: by phase the ``order``, the
            ``operations`` of a call, and those ``per_iteration`` of its estimate.
    """

    predicted: Mapping[str, Mapping[str, Any]]


class Measured(Protocol):
    """An optimizer that tells more than ``torch.optim.Optimizer`` does. Each name may be missing.

    Attributes:
        phase: a function from a phase's name, one of :data:`~ngbench.measurement.phases.PHASES`, to the context in
            which its work is done. A clock is put there; without the attribute, a step is timed as a whole.
        refreshed: after each step, whether it was of the expensive kind.
        can_defer: whether the optimizer can do without ``grad`` between ``backward`` and ``step``. Where nobody reads
            gradients there, it finds ``defer_gradients = True``.
        diagnose: set to true where diagnostics were asked for, that may cost products which no step needs.
        needs_closure: whether ``step`` is given a function that evaluates loss and gradient again, beside the gradient
            that is there. A ``step`` whose closure has no default gets it without having to tell, and no gradient.
        needs_graph: whether ``step`` differentiates the gradient, which therefore keeps its graph.
    """

    phase: PhaseContext
    refreshed: bool
    can_defer: bool
    defer_gradients: bool
    diagnose: bool
    needs_closure: bool
    needs_graph: bool

    def train(self) -> None:
        """Put the weights to train on in place; with ``eval``, as schedule-free optimizers have them."""

    def eval(self) -> None:
        """Put the weights to judge by in place."""

    def diagnostics(self) -> Mapping[str, float | None]:
        """Numbers about the last step, by name (at most 1000 characters); none where there is nothing to say."""

    def layers(self) -> Sequence[LayerShape]:
        """The layers that the optimizer has estimated a curvature of, in the order of the model."""


class MeasuredOptimizer:
    """What one optimizer tells.

    Args:
        optimizer: any.

    Attributes:
        names_phases: whether the optimizer times its phases itself.
        parts: what else it tells: ``refreshed``, ``diagnostics``, ``layers``.
        has_modes: whether it has weights to judge by beside those to train on.
        evaluates_alone: whether a step makes all evaluations of the loss, by a closure that it cannot do without.
        needs_closure: whether a step is given a closure.
        needs_graph: whether the gradient keeps its graph.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer: Any = optimizer
        self.names_phases = hasattr(optimizer, "phase")
        self.parts = tuple(name for name in ("refreshed", "diagnostics", "layers") if hasattr(optimizer, name))
        self._labels_steps = "refreshed" in self.parts
        self.has_modes = all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))
        self.evaluates_alone = step_needs_closure(type(optimizer))
        self.needs_closure = self.evaluates_alone or bool(getattr(optimizer, "needs_closure", False))
        self.needs_graph = bool(getattr(optimizer, "needs_graph", False))

    def report_to(self, phase: PhaseContext) -> None:
        """Have the optimizer enter ``phase`` around its work, if it names phases."""
        if self.names_phases:
            self._optimizer.phase = phase

    def leave_gradients_unread(self) -> None:
        """Tell the optimizer that nobody reads or changes a gradient between ``backward`` and ``step``."""
        if getattr(self._optimizer, "can_defer", False):
            self._optimizer.defer_gradients = True

    def diagnose(self) -> None:
        """Ask for all diagnostics, those that cost products of their own too."""
        if hasattr(self._optimizer, "diagnose"):
            self._optimizer.diagnose = True

    def train(self) -> None:
        """Have the weights to train on in place, where the optimizer has others to judge by."""
        if self.has_modes:
            self._optimizer.train()

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Within this, the weights to judge by are in place."""
        if self.has_modes:
            self._optimizer.eval()
        try:
            yield
        finally:
            self.train()

    @property
    def refreshed(self) -> bool:
        """Whether the last step was of the expensive kind; false for an optimizer that does not say.

        Raises:
            PluginError: it says anything but true or false.
        """
        if not self._labels_steps:
            return False
        refreshed = self._optimizer.refreshed
        if not isinstance(refreshed, bool):
            raise PluginError(f"refreshed is {refreshed!r:.40}, it must be True or False after each step")
        return refreshed

    def diagnostics(self, prefix: str = "") -> dict[str, float | None]:
        """Numbers about the last step, their names after ``prefix``; ``None`` where one is not finite or too large.

        Raises:
            PluginError: a record could not hold them.
        """
        if "diagnostics" not in self.parts:
            return {}
        numbers: dict[str, float | None] = {}
        for name, value in self._optimizer.diagnostics().items():
            if not isinstance(name, str) or not is_encodable(name) or len(prefix + name) > LONGEST_NAME:
                raise PluginError(
                    f"diagnostics() names a number {name!r:.40}; "
                    f"a name is a text of at most {LONGEST_NAME - len(prefix)} characters"
                )
            numbers[prefix + name] = _plain(name, value)
        return numbers

    def layers(self) -> list[LayerRecord]:
        """The layers with a curvature, as a record holds them; none for an optimizer that does not say.

        Raises:
            PluginError: one has other keys than those of :class:`LayerShape`, or no counts.
        """
        if "layers" not in self.parts:
            return []
        return [_layer(shape) for shape in self._optimizer.layers()]


def measured(optimizer: torch.optim.Optimizer) -> MeasuredOptimizer:
    """The view of an optimizer as :class:`Measured`: the only place that asks it for these names."""
    return MeasuredOptimizer(optimizer)


def _plain(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        if isinstance(value, str):
            raise TypeError
        number = float(value)
    except OverflowError:
        return None
    except (TypeError, ValueError, RuntimeError):
        raise PluginError(f"diagnostics() gives {name}={value!r:.40}, it must be a number or none") from None
    return number if abs(number) <= LARGEST_NUMBER else None


def _layer(shape: Any) -> LayerRecord:
    keys = LayerShape.__required_keys__
    if not isinstance(shape, Mapping) or set(shape) - LayerShape.__optional_keys__ != keys:
        raise PluginError(f"layers() gives {shape!r:.80}, it must be a mapping with the keys {', '.join(sorted(keys))}")
    try:
        return LayerRecord.model_validate(dict(shape))
    except ValidationError as error:
        first = error.errors()[0]
        raise PluginError(f"layers() gives {first['loc'][0]}={first['input']!r:.40}: {first['msg']}") from None
