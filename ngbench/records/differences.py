"""What differs between two runs, or two nested dictionaries, in sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ngbench.records.record import RunRecord

__all__ = ["differences", "differing_fields"]

SIDES = ("there", "here")
"""What the two sides are called."""
_ABSENT = object()


def differences(left: Any, right: Any, name: str = "", *, sides: tuple[str, str] = SIDES) -> Iterator[str]:
    """A sentence for each value that differs, at any depth.

    >>> list(differences({"lr": 0.1, "decay": {"rate": 1}}, {"lr": 0.2, "decay": {}}, "sgd"))
    ['sgd.lr is 0.1 there and 0.2 here', 'sgd.decay.rate is 1 there and absent here']

    Args:
        left: plain values, as JSON has them.
        right: likewise.
        name: of both.
        sides: what the two are called, in words that go after the value.
    """
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in dict.fromkeys([*left, *right]):
            path = f"{name}.{key}" if name else key
            yield from differences(left.get(key, _ABSENT), right.get(key, _ABSENT), path, sides=sides)
    elif left != right:
        yield f"{name} is {_shown(left)} {sides[0]} and {_shown(right)} {sides[1]}"


def differing_fields(
    left: RunRecord, right: RunRecord, paths: Sequence[str], *, sides: tuple[str, str] = SIDES
) -> Iterator[str]:
    """A sentence for each of the runs' fields in which they differ; a path is dotted, as in ``data.digest``."""
    fields = {path.partition(".")[0] for path in paths}
    # Through JSON, because a tuple of one may be a list of the other.
    both = [json.loads(run.model_dump_json(include=fields)) for run in (left, right)]
    for path in paths:
        one, other = (_value(run, path) for run in both)
        yield from differences(one, other, path, sides=sides)


def _value(record: Mapping[str, Any], path: str) -> Any:
    value: Any = record
    for key in path.split("."):
        value = None if value is None else value.get(key)
    return value


def _shown(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value)
