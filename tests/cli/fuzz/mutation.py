"""Files with faults: values that nobody expects, in the place of good ones, and bytes that are lost or changed."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

__all__ = ["HOSTILE", "mutate_bytes", "mutate_value", "places"]


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: tuple[Any, ...] = (
    None,
    True,
    0,
    1,
    -1,
    2**31,
    2**63 - 1,
    2**63,
    10**400,
    -(10**400),
    0.0,
    -0.5,
    5e-324,
    1e-200,
    1e12,
    1e60,
    1e61,
    1.7e308,
    float("inf"),
    float("nan"),
    "",
    " ",
    "adam",
    "k\n::error::x",
    "[/] \x1b[31m <b> | `",
    "$x^$",
    "½" * 2000,
    "x" * 200_000,
    "\x00",
    "../../etc",
    [],
    [None],
    [[1, 2], [1, 2]],
    {},
    {"": 1},
    {"x" * 3000: 1},
    _nested(60),
)


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """The paths of all values within the value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*path, key)
        yield from places(part, *path, key)


def mutate_value(content: Any, chance: random.Random, *, most: int = 3) -> Any:
    """A copy in which up to so many values are others, are gone, stand twice, or have a strange key beside them."""
    changed = copy.deepcopy(content)
    for _ in range(chance.randint(1, most)):
        found = list(places(changed))
        if not found:
            return chance.choice(HOSTILE)
        # As likely near the top as deep down, where most values are.
        depth = chance.randint(1, max(map(len, found)))
        *path, key = chance.choice([place for place in found if len(place) <= depth])
        holder = changed
        for step in path:
            holder = holder[step]
        how = chance.random()
        if how < 0.6:
            holder[key] = copy.deepcopy(chance.choice(HOSTILE))
        elif how < 0.75:
            del holder[key]
        elif how < 0.9 and isinstance(holder, list):
            holder.insert(chance.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
        elif isinstance(holder, dict):
            holder[str(chance.choice(HOSTILE))[:2000]] = holder.pop(key)
        else:
            chance.shuffle(holder)
    return changed


def mutate_bytes(content: bytes, chance: random.Random) -> bytes:
    """The content with bits flipped, cut, or with a part of it twice, missing or replaced."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(changed) + 1)
        stop = min(len(changed), start + chance.choice((1, 2, 8, 64)))
        how = chance.randrange(6)
        if how == 0 and start < len(changed):
            changed[start] ^= 1 << chance.randrange(8)
        elif how == 1:
            del changed[start:]
        elif how == 2:
            del changed[start:stop]
        elif how == 3:
            changed[start:start] = changed[start:stop]
        elif how == 4:
            changed[start:stop] = chance.randbytes(stop - start)
        else:
            changed[start:start] = chance.choice((b"\x00", b"\xff\xfe", b"\n", b"[" * 3000, b"1e999", b"-", b'"'))
    return bytes(changed)
