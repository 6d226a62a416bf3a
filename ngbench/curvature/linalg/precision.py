"""The floating-point type in which curvature is computed, and states that come from another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["converted", "in_dtype", "statistics_dtype"]


def statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type of the statistics of a layer whose weight has ``dtype``: at least float32."""
    return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype


def in_dtype(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """``tensor.to(dtype)``, without a call of torch's where there is nothing to do."""
    return tensor if tensor.dtype == dtype else tensor.to(dtype)


def converted(state: Any, source: torch.dtype, target: torch.dtype) -> Any:
    """A state of tensors, numbers, texts and containers with its tensors of type ``source`` in type ``target``.

    Tensors of other types, such as what is always kept in float64 or the state of a generator, stay as they are.
    """
    if isinstance(state, Tensor):
        return state.to(target) if state.dtype == source else state
    if isinstance(state, Mapping):
        return {key: converted(value, source, target) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(converted(value, source, target) for value in state)
    return state
