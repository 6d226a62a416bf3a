"""Operation counts: floating-point operations, and bytes that tensor operations read and write.

Floating-point operations (a multiplication and an addition are two) are those of matrix products and
convolutions, by the formulas of ``torch.utils.flop_counter``, and of factorisations and triangular solves, by
the leading terms of Golub and Van Loan, *Matrix Computations*, 4th edition (sections cited below).
Element-wise operations are not among them; they show in the bytes.

Bytes are the sizes of the tensors that each operation reads and writes, as if nothing stayed in a cache.
Views and allocations move none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ngbench.curvature.parallel import one_thread

__all__ = ["OperationCounter", "Operations", "count_operations"]

aten = torch.ops.aten
Shape = Sequence[int]


@dataclass(frozen=True)
class Operations:
    """Counts at one moment: floating-point operations and bytes moved."""

    flops: int = 0
    bytes: int = 0


def _square(shape: Shape) -> tuple[int, int]:
    """Number of matrices in a batch, and their order."""
    return prod(shape[:-2]), shape[-1]


def _cholesky(a: Shape) -> int:
    batch, n = _square(a)
    return batch * n**3 // 3  # section 4.2.5


def _cholesky_inverse(a: Shape) -> int:
    batch, n = _square(a)
    return batch * 2 * n**3 // 3  # inverse of the factor n³/3, product of two triangles n³/3


def _columns(b: Shape, n: int) -> int:
    return prod(b) // max(n, 1)


def _triangular_solve(b: Shape, n: int) -> int:
    return n**2 * _columns(b, n)  # section 3.1


def _lu(a: Shape) -> int:
    batch, n = _square(a)
    return batch * 2 * n**3 // 3  # section 3.2


def _inverse(a: Shape) -> int:
    batch, n = _square(a)
    return batch * 2 * n**3  # LU and n right-hand sides


def _householder(a: Shape) -> int:
    m, n = max(a[-2:]), min(a[-2:])
    return prod(a[:-2]) * (2 * n**2 * m - 2 * n**3 // 3)  # section 5.2.2


def _eigh(a: Shape, vectors: bool) -> int:
    batch, n = _square(a)
    return batch * (9 * n**3 if vectors else 4 * n**3 // 3)  # section 8.3


def _svd(a: Shape, vectors: bool) -> int:
    m, n = max(a[-2:]), min(a[-2:])
    return prod(a[:-2]) * (6 * m * n**2 + 20 * n**3 if vectors else 4 * m * n**2 - 4 * n**3 // 3)  # section 8.6


def _eig(a: Shape, vectors: bool) -> int:
    batch, n = _square(a)
    return batch * (25 * n**3 if vectors else 10 * n**3)  # section 7.5.6


def _solve_with_factor(a: Shape, b: Shape) -> int:
    return 2 * _triangular_solve(b, a[-1])


def _argument(args: Sequence[Any], kwargs: dict[str, Any], at: int, name: str, default: Any) -> Any:
    return args[at] if len(args) > at else kwargs.get(name, default)


Formula = Callable[[Sequence[Any], dict[str, Any]], int]

_FORMULAS: dict[Any, Formula] = {
    aten.mv: lambda a, k: 2 * prod(a[0].shape),
    aten.addmv: lambda a, k: 2 * prod(a[1].shape),
    aten.dot: lambda a, k: 2 * a[0].numel(),
    aten.vdot: lambda a, k: 2 * a[0].numel(),
    aten.addr: lambda a, k: 2 * a[0].numel(),
    aten.addbmm: lambda a, k: 2 * prod(a[1].shape) * a[2].shape[-1],
    aten.cholesky: lambda a, k: _cholesky(a[0].shape),
    aten.linalg_cholesky_ex: lambda a, k: _cholesky(a[0].shape),
    aten.cholesky_inverse: lambda a, k: _cholesky_inverse(a[0].shape),
    aten.cholesky_solve: lambda a, k: _solve_with_factor(a[1].shape, a[0].shape),
    aten.linalg_solve_triangular: lambda a, k: _triangular_solve(a[1].shape, a[0].shape[-1]),
    aten.triangular_solve: lambda a, k: _triangular_solve(a[0].shape, a[1].shape[-1]),
    aten._linalg_eigh: lambda a, k: _eigh(a[0].shape, _argument(a, k, 2, "compute_v", True)),
    aten._linalg_svd: lambda a, k: _svd(a[0].shape, _argument(a, k, 2, "compute_uv", True)),
    aten.linalg_eig: lambda a, k: _eig(a[0].shape, True),
    aten._linalg_eigvals: lambda a, k: _eig(a[0].shape, False),
    aten.linalg_qr: lambda a, k: (1 if _argument(a, k, 1, "mode", "reduced") == "r" else 2) * _householder(a[0].shape),
    aten.geqrf: lambda a, k: _householder(a[0].shape),
    aten.linalg_householder_product: lambda a, k: _householder(a[0].shape),
    aten.linalg_inv_ex: lambda a, k: _inverse(a[0].shape),
    aten.linalg_lu_factor_ex: lambda a, k: _lu(a[0].shape),
    aten.linalg_lu: lambda a, k: _lu(a[0].shape),
    aten.linalg_lu_solve: lambda a, k: _solve_with_factor(a[0].shape, a[2].shape),
    aten._linalg_solve_ex: lambda a, k: _lu(a[0].shape) + 2 * _triangular_solve(a[1].shape, a[0].shape[-1]),
    aten._linalg_det: lambda a, k: _lu(a[0].shape),
    aten._linalg_slogdet: lambda a, k: _lu(a[0].shape),
    aten.linalg_ldl_factor_ex: lambda a, k: _cholesky(a[0].shape),
    aten.linalg_ldl_solve: lambda a, k: _solve_with_factor(a[0].shape, a[2].shape),
}
"""Of what the registry of ``torch.utils.flop_counter`` does not know."""

_ALLOCATIONS = {
    aten.empty,
    aten.empty_like,
    aten.empty_strided,
    aten.new_empty,
    aten.new_empty_strided,
    aten.resize_,
}
_OVERWRITES = {
    aten.copy_,
    aten.fill_,
    aten.zero_,
    aten.normal_,
    aten.uniform_,
    aten.bernoulli_,
    aten.random_,
    aten._foreach_copy_,
    aten._foreach_zero_,
}


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

    def mark(self) -> Operations:
        """The counts so far."""
        return Operations(self._flops, self._bytes)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = getattr(func, "overloadpacket", func)
        known = packet in flop_registry or packet in _FORMULAS
        if not known and isinstance(func, torch._ops.OpOverload):
            # A composite operation counts as the operations that it is made of.
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if packet in _FORMULAS:
            self._flops += _FORMULAS[packet](args, kwargs)
        elif known:
            self._flops += int(flop_registry[packet](*args, **kwargs, out_val=result))
        if isinstance(func, torch._ops.OpOverload) and packet not in _ALLOCATIONS and not func.is_view:
            self._bytes += _moved(func, packet, args, kwargs, result)
        return result


def _moved(func: Any, packet: Any, args: Any, kwargs: Any, result: Any) -> int:
    read = written = 0
    arguments = func._schema.arguments
    overwrites = packet in _OVERWRITES
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
    with torch.compiler.set_stance("force_eager"), one_thread(), OperationCounter() as counter:
        yield counter
