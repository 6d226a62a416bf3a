"""Operation counts: floating-point operations, and bytes that tensor operations read and write.

Floating-point operations (a multiplication and an addition are two) are those of matrix products and
convolutions, by the formulas of ``torch.utils.flop_counter``, and of factorisations and triangular solves, see
:mod:`ngbench.measurement.formulas`. Element-wise operations are not among them; they show in the bytes. An operator
that may take products and has no formula is counted as unknown, by its name.

Bytes are the sizes of the tensors that each operation reads and writes, as if nothing stayed in a cache.
Views and allocations move none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ngbench.curvature.linalg.parallel import torch_threads
from ngbench.measurement.formulas import flops_of, is_counted, is_known

__all__ = ["Operations", "count_operations"]


@dataclass(frozen=True)
class Operations:
    """Counts at one moment: floating-point operations, bytes moved, and calls of operators without a formula."""

    flops: int = 0
    bytes: int = 0
    unknown: int = 0


_ALLOCATIONS = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_"})
_OVERWRITES = frozenset(
    {"copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_", "random_", "_foreach_copy_", "_foreach_zero_"}
)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _size(tensors: Iterator[Tensor]) -> int:
    """Bytes of the distinct elements of ``tensors``; an expanded dimension is read once."""
    total = 0
    for tensor in tensors:
        if tensor.layout is not torch.strided:
            total += sum(_size(iter([part])) for part in (tensor._indices(), tensor._values()))
            continue
        distinct = prod(n for n, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
        total += distinct * tensor.element_size()
    return total


class OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that counts the operations dispatched while it is active, backward passes included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._flops = 0
        self._bytes = 0
        self._unknown: Counter[str] = Counter()

    def mark(self) -> Operations:
        """The counts so far."""
        return Operations(self._flops, self._bytes, self._unknown.total())

    @property
    def unknown_names(self) -> list[str]:
        """The operators without a formula that were called so far, in alphabetical order."""
        return sorted(self._unknown)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not isinstance(func, torch._ops.OpOverload):
            # A higher-order operator, whose parts are not seen from here.
            self._unknown[str(func)] += 1
            return func(*args, **kwargs)
        if not is_counted(func):
            # A composite operation counts as the operations that it is made of.
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        flops = flops_of(func, args, kwargs, result) if is_counted(func) else 0
        if flops is None or not is_known(func):
            self._unknown[str(func.overloadpacket)] += 1
        self._flops += flops or 0
        name = func.overloadpacket.__name__
        if name not in _ALLOCATIONS and not func.is_view:
            self._bytes += _moved(func, args, kwargs, result, overwrites=name in _OVERWRITES)
        return result


def _moved(func: Any, args: Any, kwargs: Any, result: Any, *, overwrites: bool) -> int:
    read = written = 0
    arguments = func._schema.arguments
    mutates = False
    for at, argument in enumerate(arguments):
        value = args[at] if at < len(args) else kwargs.get(argument.name)
        size = _size(_tensors(value))
        if argument.alias_info is not None and argument.alias_info.is_write:
            mutates = True
            written += size
            if not (overwrites or argument.is_out):
                read += size
        else:
            read += size
    if not mutates:
        written += _size(_tensors(result))
    return read + written


@contextmanager
def count_operations() -> Iterator[OperationCounter]:
    """Count the operations of the block; what would be spread over threads, or compiled, runs as it is written."""
    # A compiled kernel would be one unknown operation, and torch.compile refuses to compile while it is counted.
    # The arms of a comparison count at the same time, each in a process of its own.
    with torch.compiler.set_stance("force_eager"), torch_threads(1), OperationCounter() as counter:
        yield counter
