"""Tasks and optimizers that a program holds itself, under names, for as long as it uses them.

They are known in this process alone: runs of them cannot have processes of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["held", "holding"]

_held: dict[tuple[str, str], Any] = {}


@contextmanager
def holding(objects: Mapping[tuple[str, str], Any]) -> Iterator[None]:
    """Within this, these objects are meant by their kind and name, before any plugin of that name."""
    before = dict(_held)
    _held.update(objects)
    try:
        yield
    finally:
        _held.clear()
        _held.update(before)


def held(kind: str, name: str) -> Any:
    """The object that is meant by the name, if the program holds one, else ``None``."""
    return _held.get((kind, name))
