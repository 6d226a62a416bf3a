"""States of natural-gradient optimizers: where torch's own form of a state has room for a curvature, and what fits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ngbench.curvature.layers import Layer
from ngbench.curvature.linalg.precision import converted, statistics_dtype
from ngbench.optimizers.groups import check_group

__all__ = ["VERSION", "check_curvature", "check_parameters", "described", "in_types_of", "joined", "separated", "whole"]

VERSION = 3
"""Of the form of a state; the first had a key of its own beside torch's, the second held only Kronecker products."""

_KEY = "curvature"


def joined(plain: dict[str, Any], position: int, own: dict[str, Any]) -> dict[str, Any]:
    """``own`` beside the state of the parameter at ``position``: a state has no other place that tools of torch copy.

    In a tuple, which :mod:`torch.distributed.checkpoint` writes and reads as one value whatever it holds. The tensors
    in a dictionary it would look for one by one among those of a new optimizer, which has none yet.
    """
    parts = plain["state"]
    return {**plain, "state": {**parts, position: {**parts.get(position, {}), _KEY: (own,)}}}


def separated(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inverse of :func:`joined`, for a state by positions or by names.

    Raises:
        ValueError: the state is not one of this form.
    """
    if not isinstance(state, Mapping) or not isinstance(state.get("state"), Mapping):
        raise ValueError("the state is not that of an optimizer")
    if "natural_gradient" in state:
        raise ValueError("the state of the curvature is of an older version of ngbench, which this one does not read")
    found: list[Any] = []
    parts = {}
    for key, part in state["state"].items():
        if not isinstance(part, Mapping):
            raise ValueError("the state is not that of an optimizer")
        parts[key] = {name: value for name, value in part.items() if name != _KEY}
        if _KEY in part:
            found.append(part[_KEY])
    if len(found) != 1 or not isinstance(found[0], tuple | list) or not isinstance(found[0][0], Mapping):
        raise ValueError("the state is not that of a natural-gradient optimizer: it has no curvature")
    return {**state, "state": parts}, dict(found[0][0])


def described(layer: Layer) -> list[Any]:
    """What a layer of a state must have in common with the one that takes it, and its type."""
    return [layer.d_out, layer.d_in, str(layer.weight.dtype).removeprefix("torch.")]


@contextmanager
def whole() -> Iterator[None]:
    """Have every refusal of a state say so, and call it damaged where its parts are not even of the right type.

    Raises:
        ValueError: in place of what looking raised.
    """
    try:
        yield
    except ValueError as error:
        if "the state" in str(error):
            raise
        raise ValueError(f"the state does not fit: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, RuntimeError) as error:
        raise ValueError(f"the state is damaged: {type(error).__name__}: {error}") from error


def check_parameters(
    plain: Mapping[str, Any], groups: Sequence[Mapping[str, Any]], hyperparameters: Iterable[str]
) -> None:
    """Refuse the state of other parameter groups.

    Args:
        plain: the state, without the curvature.
        groups: that are to take it.
        hyperparameters: that each group must have; a scheduler may have added further ones.

    Raises:
        ValueError: the groups differ in number, size or hyper-parameters, or tensors in their shape, or a
            hyper-parameter is out of range.
    """
    saved = plain.get("param_groups")
    if not isinstance(saved, list | tuple) or len(saved) != len(groups):
        raise ValueError(f"the state lacks the {len(groups)} parameter groups of this optimizer")
    for theirs, ours in zip(saved, groups, strict=True):
        if not isinstance(theirs, Mapping) or len(theirs.get("params", ())) != len(ours["params"]):
            raise ValueError(f"the state lacks the {len(ours['params'])} parameters of a group of this optimizer")
        if missing := sorted(set(hyperparameters) - set(theirs)):
            raise ValueError(f"the state has no hyper-parameter {missing[0]!r} in its parameter groups")
        check_group(theirs)
        for key, parameter in zip(theirs["params"], ours["params"], strict=True):
            if not isinstance(key, int | str):
                raise ValueError("the state is damaged: its parameters have neither positions nor names")
            for name, value in plain["state"].get(key, {}).items():
                shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                if shape != tuple(parameter.shape):
                    raise ValueError(
                        f"the state has {name} of shape {shape} for a parameter of shape {tuple(parameter.shape)}"
                    )


def check_curvature(own: Mapping[str, Any], kind: str, layers: Sequence[Layer], capture: Mapping[str, Any]) -> None:
    """Refuse the curvature of another kind or of other layers.

    Args:
        own: of the state.
        kind: of the curvature that is to take it.
        layers: of the model.
        capture: a state of what records the batches, for its entries.

    Raises:
        ValueError: it names what differs.
    """
    names = ("version", "steps", "kind", "layers", "curvature", "capture", "named")
    if missing := [name for name in names if name not in own]:
        raise ValueError(f"the state of the curvature is damaged: it has no {missing[0]!r}")
    if own["version"] != VERSION:
        raise ValueError(
            f"the state of the curvature is of version {own['version']!r}, this version of ngbench reads {VERSION}"
        )
    if own["kind"] != kind:
        raise ValueError(f"the state is that of the curvature {own['kind']!r}, this optimizer has {kind!r}")
    if not isinstance(own["steps"], int) or own["steps"] < 0 or not isinstance(own["layers"], Mapping):
        raise ValueError("the state of the curvature is damaged: it counts no steps or names no layers")
    if not isinstance(own["named"], list) or not all(isinstance(name, str) for name in own["named"]):
        raise ValueError("the state of the curvature is damaged: it does not name what goes without")
    theirs, ours = own["layers"], {layer.name: described(layer) for layer in layers}
    for name in [*ours, *theirs]:
        if name not in theirs or name not in ours:
            whose = "this model has" if name in ours else "the state has"
            raise ValueError(f"the state is that of another model: only {whose} a layer {name!r}")
        if list(theirs[name][:2]) != ours[name][:2]:
            raise ValueError(
                f"the state is that of another model: its layer {name!r} has a weight of shape"
                f" {tuple(theirs[name][:2])}, this one's has {tuple(ours[name][:2])} (with the column of the bias)"
            )
    draws = own["capture"]
    if (
        not isinstance(draws, Mapping)
        or set(draws) != set(capture)
        or any(not _alike(draws[name], capture[name]) for name in capture)
    ):
        raise ValueError("the state of the curvature is damaged: it does not say how targets are drawn")


def _alike(theirs: Any, ours: Any) -> bool:
    return type(theirs) is type(ours)


def in_types_of(layers: Sequence[Layer], own: Mapping[str, Any]) -> Any:
    """The curvature of a state, in the types that the statistics of ``layers`` have.

    Raises:
        ValueError: layers of several types have become others.
    """
    pairs = set()
    for layer in layers:
        saved = getattr(torch, own["layers"][layer.name][2], None)
        if not isinstance(saved, torch.dtype):
            raise ValueError("the state of the curvature is damaged: it does not name the types of its layers")
        pairs.add((statistics_dtype(saved), statistics_dtype(layer.weight.dtype)))
    if all(source == target for source, target in pairs):
        return own["curvature"]
    if len(pairs) > 1:
        raise ValueError("the state has layers of other types than this model: only layers of one type become another")
    ((source, target),) = pairs
    return converted(own["curvature"], source, target)
