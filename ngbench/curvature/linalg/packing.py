"""Values made of tensors: saved as plain containers, made again, and mapped tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Packed", "copies_on", "unpack"]

_KINDS: dict[str, type[Packed]] = {}


class Packed:
    """A dataclass of tensors, numbers, texts, None, tuples of these, and other such dataclasses.

    Every subclass is known by its name when a state is read, wherever it is defined.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _KINDS[_name(cls)] = cls

    def pack(self) -> dict[str, Any]:
        """Tensors, numbers, texts and containers from which :func:`unpack` makes the value again."""
        return {"kind": _name(type(self)), **{name: _packed(value) for name, value in _parts(self).items()}}

    def tensors(self) -> list[Tensor]:
        """All tensors of the value, in the order of its fields."""
        return list(_tensors_of(_parts(self)))

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same value with ``change`` of each of its tensors."""
        return type(self)(**{name: _mapped(value, change) for name, value in _parts(self).items()})


def unpack(state: Mapping[str, Any], place: Callable[[Tensor], Tensor]) -> Any:
    """The value that was packed, its tensors put through ``place``.

    Raises:
        ValueError: no class of its kind is known.
    """
    if state["kind"] not in _KINDS:
        raise ValueError(f"the state holds a {state['kind']}, which nothing that was imported defines")
    return _KINDS[state["kind"]](**{name: _unpacked(value, place) for name, value in state.items() if name != "kind"})


def copies_on(device: torch.device) -> Callable[[Tensor], Tensor]:
    """Where :func:`unpack` puts tensors that a state must not share."""
    return lambda tensor: tensor.to(device, copy=True)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _parts(value: Any) -> dict[str, Any]:
    return {entry.name: getattr(value, entry.name) for entry in fields(value)}


def _tensors_of(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Packed):
        yield from _tensors_of(_parts(value))
    elif isinstance(value, dict | tuple | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors_of(part)


def _packed(value: Any) -> Any:
    if isinstance(value, Packed):
        return value.pack()
    return [_packed(part) for part in value] if isinstance(value, tuple | list) else value


def _unpacked(value: Any, place: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return place(value)
    if isinstance(value, Mapping):
        return unpack(value, place)
    return tuple(_unpacked(part, place) for part in value) if isinstance(value, list | tuple) else value


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Packed):
        return value.mapped(change)
    return tuple(_mapped(part, change) for part in value) if isinstance(value, tuple | list) else value
