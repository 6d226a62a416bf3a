"""Fisher errors in two documents, approximation by approximation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ngbench.records.comparability import Obstacle, Pair
from ngbench.records.metric_changes import NotApplicable, Outcome
from ngbench.records.quantities import ANY, Quantity
from ngbench.records.record import Document, FisherCurve, FisherErrorRecord
from ngbench.records.verdict import Change

__all__ = ["holds_fisher_errors", "measure_fisher_errors"]

_CONDITIONS = ("fisher", "layer", "layer_name", "steps", "task")
"""What must be equal for the errors of a layer to be two measurements of the same thing."""


def holds_fisher_errors(document: Document) -> bool:
    """Whether the document has Fisher errors."""
    return bool(document.fisher_errors) or any(run.fisher_errors for run in document.runs)


def measure_fisher_errors(
    metric: Quantity, baseline: Document, current: Document, pairs: Sequence[Pair]
) -> Iterator[tuple[Quantity, str, Outcome]]:
    """For each measured layer and approximation that the metric names: metric, layer in words, and the change.

    They are those of the documents and those of the runs that can be compared. The number is the mean of Error 1
    over the measured iterations; seeds fix the samples, so it is compared as it is. A layer is comparable if
    everything but the approximations was the same.
    """
    before, now = _layers("", baseline.fisher_errors), _layers("", current.fisher_errors)
    for pair in pairs:
        for old, new in zip(pair.baseline, pair.current, strict=True):
            prefix = f"{pair.label}, " if len(pair.current) == 1 else f"{pair.label}, seed {new.seed}, "
            before |= _layers(prefix, old.fisher_errors)
            now |= _layers(prefix, new.fisher_errors)
    for layer in before:
        yield from _measure_layer(metric, layer, before[layer], now.get(layer))


def _measure_layer(
    metric: Quantity, layer: str, before: FisherErrorRecord, now: FisherErrorRecord | None
) -> Iterator[tuple[Quantity, str, Outcome]]:
    subject = f"{metric} of {layer}"
    if now is None:
        yield metric, layer, Obstacle(subject, "the layer has vanished, the baseline has it")
        return
    differing = [key for key in _CONDITIONS if getattr(before, key) != getattr(now, key)]
    if differing:
        yield metric, layer, Obstacle(subject, f"{', '.join(differing)} changed")
        return
    old, new = before.approximations, now.approximations
    for name in dict.fromkeys([*old, *new]) if metric.name == ANY else [metric.name]:
        named = replace(metric, name=name)
        yield named, layer, _change(f"{named} of {layer}", name, old, new)


def _layers(prefix: str, errors: Sequence[FisherErrorRecord]) -> dict[str, FisherErrorRecord]:
    return {f"{prefix}layer {error.layer}": error for error in errors}


def _change(subject: str, name: str, before: Mapping[str, FisherCurve], now: Mapping[str, FisherCurve]) -> Outcome:
    if name not in before and name not in now:
        return NotApplicable(f"the approximation {name} was not measured")
    if name not in before:
        return NotApplicable(f"the approximation {name} is new, the baseline does not have it", new=True)
    if name not in now:
        return Obstacle(subject, f"the approximation {name} has vanished, the baseline has it")
    old, new = before[name].error_1, now[name].error_1
    if any(b is not None and n is None for b, n in zip(old, new, strict=True)):
        return Change(_mean(old), None, None, None, len(old), note="an error is no number any more")
    both = [(b, n) for b, n in zip(old, new, strict=True) if b is not None and n is not None]
    if not both:
        return Obstacle(subject, "it is no number in the baseline nor now")
    baseline, current = (math.fsum(side) / len(both) for side in zip(*both, strict=True))
    return Change(baseline, current, current - baseline, current - baseline, len(both))


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known)
