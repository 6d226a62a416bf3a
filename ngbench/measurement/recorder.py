"""The recorder that times a training loop: steps, and the phases inside them.

During a step only marks are taken; they become seconds in :meth:`StepRecorder.collect`, between steps, so that
recording costs one mark and one append for each change of phase. A phase is charged with the time in which it
is the innermost one that is open, so phases add up to at most the step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, Literal, TypeVar

__all__ = ["Collected", "PhaseTotal", "StepKind", "StepRecorder"]

StepKind = Literal["plain", "refresh"]
Mark = TypeVar("Mark")


@dataclass
class PhaseTotal:
    """What a phase took over some steps: ``amount`` in the unit of the marks, and how often it was entered."""

    amount: float = 0
    calls: int = 0


@dataclass
class Collected:
    """What happened since the last clearing.

    Attributes:
        amounts: of each step, in order.
        kinds: of each step.
        phases: for each kind of step, for each phase that occurred in such a step, its total.
        interrupted: for each step, whether the operating system took the processor away in it; ``None`` if unknown.
        undisturbed: for each phase, its total over the steps that were not interrupted.
    """

    amounts: list[float] = field(default_factory=list)
    kinds: list[StepKind] = field(default_factory=list)
    phases: dict[StepKind, dict[str, PhaseTotal]] = field(default_factory=dict)
    interrupted: list[bool] | None = None
    undisturbed: dict[str, PhaseTotal] = field(default_factory=dict)


class _PhaseContext:
    """The context of one phase; one object serves all its calls."""

    __slots__ = ("_name", "_recorder")

    def __init__(self, recorder: StepRecorder[Any], name: str) -> None:
        self._recorder = recorder
        self._name = name

    def __enter__(self) -> None:
        recorder = self._recorder
        recorder._outer.append(recorder._active)
        recorder._active = self._name
        recorder._trace.append((recorder._mark(), self._name, 1))

    def __exit__(self, *exception: object) -> None:
        recorder = self._recorder
        recorder._active = recorder._outer.pop()
        recorder._trace.append((recorder._mark(), recorder._active, 0))


class StepRecorder(Generic[Mark]):
    """Records steps. Calling it with a phase's name gives that phase's context.

    It is generic in what a mark is: seconds of a clock, or counters of operations.

    Args:
        mark: the state of what is measured, now.
        interruptions: counts up whenever the process is interrupted; ``None`` if that is not known.
    """

    def __init__(self, mark: Callable[[], Mark], interruptions: Callable[[], int] | None = None) -> None:
        self._mark = mark
        self._interruptions = interruptions
        self._seen: int | None = None
        self._interrupted: list[bool] = []
        self._phases: dict[str, _PhaseContext] = {}
        self._trace: list[tuple[Mark, str | None, int]] = []
        self._outer: list[str | None] = []
        self._active: str | None = None
        self._steps: list[tuple[StepKind, list[tuple[Mark, str | None, int]]]] = []

    def __call__(self, name: str) -> _PhaseContext:
        phase = self._phases.get(name)
        if phase is None:
            phase = self._phases[name] = _PhaseContext(self, name)
        return phase

    def begin_step(self) -> None:
        """Open a step. What was marked since the last one (in an evaluation, say) is forgotten."""
        self._outer.clear()
        self._active = None
        if self._seen is None and self._interruptions is not None:
            self._seen = self._interruptions()
        self._trace = [(self._mark(), None, 0)]

    def switch(self, name: str | None) -> None:
        """Leave the loop's present phase for ``name`` with one mark; ``None`` for no phase."""
        self._active = name
        self._trace.append((self._mark(), name, 1))

    def end_step(self) -> None:
        """Close the step; it is plain until :meth:`label_step` says otherwise."""
        self._trace.append((self._mark(), None, 0))
        self._steps.append(("plain", self._trace))
        self._trace = []
        if self._interruptions is not None:
            # One look a step: what happened since the last step counts too, which marks a step too many at worst.
            now = self._interruptions()
            self._interrupted.append(now != self._seen)
            self._seen = now

    def label_step(self, kind: StepKind) -> None:
        """Set the kind of the step that was closed last."""
        self._steps[-1] = (kind, self._steps[-1][1])

    def collect(self, difference: Callable[[Mark, Mark], float]) -> Collected:
        """The amounts of the steps that were closed since the last :meth:`clear`.

        Args:
            difference: the amount between an earlier and a later mark.
        """
        known = self._interruptions is not None
        collected = Collected(interrupted=list(self._interrupted) if known else None)
        for at, (kind, trace) in enumerate(self._steps):
            undisturbed = known and not self._interrupted[at]
            collected.amounts.append(difference(trace[0][0], trace[-1][0]))
            collected.kinds.append(kind)
            totals = collected.phases.setdefault(kind, {})
            for (start, name, entered), (end, _, _) in pairwise(trace):
                if name is not None:
                    amount = difference(start, end)
                    _add(totals, name, amount, entered)
                    if undisturbed:
                        _add(collected.undisturbed, name, amount, entered)
        return collected

    @property
    def closed_steps(self) -> int:
        """How many steps were closed since the last :meth:`clear`."""
        return len(self._steps)

    def clear(self) -> None:
        """Forget all steps."""
        self._steps.clear()
        self._interrupted.clear()
        self._seen = None


def _add(totals: dict[str, PhaseTotal], name: str, amount: float, calls: int) -> None:
    total = totals.setdefault(name, PhaseTotal())
    total.amount += amount
    total.calls += calls
