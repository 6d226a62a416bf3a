"""Fisher errors in two documents, approximation by approximation."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ngbench.errors import RecordError
from ngbench.records.comparability import Pair, Problem
from ngbench.records.metrics import NotApplicable, Outcome
from ngbench.records.quantities import ANY, Quantity
from ngbench.records.record import Document
from ngbench.records.verdict import Change

__all__ = ["holds_fisher_errors", "measure_fisher_errors"]

_KEY = "fisher_error"


def holds_fisher_errors(document: Document) -> bool:
    """Whether the document has Fisher errors."""
    return any(_KEY in (extra or {}) for extra in (document.model_extra, *(run.model_extra for run in document.runs)))


def measure_fisher_errors(
    metric: Quantity, baseline: Document, current: Document, pairs: Sequence[Pair]
) -> Iterator[tuple[Quantity, str, Outcome]]:
    """For each measured layer and approximation that the metric names: metric, layer in words, and the change.

    They are those of the documents and those of the runs that can be compared. The number is the mean of Error 1
    over the measured iterations; seeds fix the samples, so it is compared as it is. A layer is comparable if
    everything but the approximations was the same.

    Raises:
        RecordError: a document's Fisher errors do not have their shape.
    """
    before, now = _layers("", baseline.model_extra), _layers("", current.model_extra)
    for pair in pairs:
        for old, new in zip(pair.baseline, pair.current, strict=True):
            prefix = f"{pair.label}, " if len(pair.current) == 1 else f"{pair.label}, seed {new.seed}, "
            before |= _layers(prefix, old.model_extra)
            now |= _layers(prefix, new.model_extra)
    for layer in before:
        yield from _measure_layer(metric, layer, before[layer], now.get(layer))


def _measure_layer(
    metric: Quantity, layer: str, before: dict[str, Any], now: dict[str, Any] | None
) -> Iterator[tuple[Quantity, str, Outcome]]:
    subject = f"{metric} of {layer}"
    if now is None:
        yield metric, layer, Problem(subject, "the layer has vanished, the baseline has it")
        return
    differing = [key for key in _conditions(before) | _conditions(now) if before.get(key) != now.get(key)]
    if differing:
        yield metric, layer, Problem(subject, f"{', '.join(sorted(differing))} changed")
        return
    old, new = before["approximations"], now["approximations"]
    for name in dict.fromkeys([*old, *new]) if metric.name == ANY else [metric.name]:
        named = replace(metric, name=name)
        yield named, layer, _change(f"{named} of {layer}", name, old, new)


def _layers(prefix: str, extra: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    value = (extra or {}).get(_KEY, [])
    found = {}
    for part in value if isinstance(value, list) else [value]:
        if not isinstance(part, dict) or not isinstance(part.get("approximations"), dict):
            raise RecordError(f"a record is invalid at {_KEY}: it must hold approximations")
        found[f"{prefix}layer {part.get('layer', '?')}"] = part
    return found


def _conditions(part: dict[str, Any]) -> set[str]:
    return {key for key in part if key != "approximations" and "seconds" not in key}


def _change(subject: str, name: str, before: dict[str, Any], now: dict[str, Any]) -> Outcome:
    if name not in before and name not in now:
        return NotApplicable(f"the approximation {name} was not measured")
    if name not in before:
        return NotApplicable(f"the approximation {name} is new, the baseline does not have it", new=True)
    if name not in now:
        return Problem(subject, f"the approximation {name} has vanished, the baseline has it")
    old, new = (_errors(name, side[name]) for side in (before, now))
    if len(old) != len(new):
        return Problem(subject, f"{len(old)} iterations were measured in the baseline and {len(new)} now")
    if any(b is not None and n is None for b, n in zip(old, new, strict=True)):
        return Change(_mean(old), None, None, None, len(old), note="an error is no number any more")
    both = [(b, n) for b, n in zip(old, new, strict=True) if b is not None and n is not None]
    if not both:
        return Problem(subject, "it is no number in the baseline nor now")
    baseline, current = (math.fsum(side) / len(both) for side in zip(*both, strict=True))
    return Change(baseline, current, current - baseline, current - baseline, len(both))


def _errors(name: str, part: Any) -> list[float | None]:
    errors = part.get("error_1") if isinstance(part, dict) else None
    if not isinstance(errors, list) or not all(e is None or isinstance(e, int | float) for e in errors):
        raise RecordError(f"a record is invalid at {_KEY}.approximations.{name}.error_1: {json.dumps(errors)}")
    return errors


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known)
