"""How many floating-point operations an operator of torch takes, where that is known.

Operators are asked for by name: which of them there are, and for which torch itself has a formula, differs from version
to version. One that is in no table here is unknown, which does not mean that it computes nothing: see :func:`is_known`.

The formulas of factorisations and triangular solves are the leading terms of Golub and Van Loan, *Matrix Computations*,
4th edition (sections cited below).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

__all__ = ["flops_of", "is_counted", "is_known"]

Shape = Sequence[int]


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


def _attention(tensors: Sequence[Any], of_scores: int, of_values: int) -> int:
    """So many products as large as those of queries with keys, and as those of scores with values."""
    query, key, value = ([int(n) for n in tensor.shape] for tensor in tensors)
    return 2 * prod(query[:-1]) * key[-2] * (of_scores * query[-1] + of_values * value[-1])


def _argument(args: Sequence[Any], kwargs: dict[str, Any], at: int, name: str, default: Any) -> Any:
    return args[at] if len(args) > at else kwargs.get(name, default)


Formula = Callable[[Sequence[Any], dict[str, Any]], int]

_FORMULAS: dict[str, Formula] = {
    "mv": lambda a, k: 2 * prod(a[0].shape),
    "addmv": lambda a, k: 2 * prod(a[1].shape),
    "dot": lambda a, k: 2 * a[0].numel(),
    "vdot": lambda a, k: 2 * a[0].numel(),
    "addr": lambda a, k: 2 * a[0].numel(),
    "addbmm": lambda a, k: 2 * prod(a[1].shape) * a[2].shape[-1],
    "cholesky": lambda a, k: _cholesky(a[0].shape),
    "linalg_cholesky_ex": lambda a, k: _cholesky(a[0].shape),
    "cholesky_inverse": lambda a, k: _cholesky_inverse(a[0].shape),
    "cholesky_solve": lambda a, k: _solve_with_factor(a[1].shape, a[0].shape),
    "linalg_solve_triangular": lambda a, k: _triangular_solve(a[1].shape, a[0].shape[-1]),
    "triangular_solve": lambda a, k: _triangular_solve(a[0].shape, a[1].shape[-1]),
    "_linalg_eigh": lambda a, k: _eigh(a[0].shape, _argument(a, k, 2, "compute_v", True)),
    "_linalg_svd": lambda a, k: _svd(a[0].shape, _argument(a, k, 2, "compute_uv", True)),
    "linalg_eig": lambda a, k: _eig(a[0].shape, True),
    "_linalg_eigvals": lambda a, k: _eig(a[0].shape, False),
    "linalg_qr": lambda a, k: (1 if _argument(a, k, 1, "mode", "reduced") == "r" else 2) * _householder(a[0].shape),
    "geqrf": lambda a, k: _householder(a[0].shape),
    "linalg_householder_product": lambda a, k: _householder(a[0].shape),
    "linalg_inv_ex": lambda a, k: _inverse(a[0].shape),
    "linalg_lu_factor_ex": lambda a, k: _lu(a[0].shape),
    "linalg_lu": lambda a, k: _lu(a[0].shape),
    "linalg_lu_solve": lambda a, k: _solve_with_factor(a[0].shape, a[2].shape),
    "_linalg_solve_ex": lambda a, k: _lu(a[0].shape) + 2 * _triangular_solve(a[1].shape, a[0].shape[-1]),
    "_linalg_det": lambda a, k: _lu(a[0].shape),
    "_linalg_slogdet": lambda a, k: _lu(a[0].shape),
    "linalg_ldl_factor_ex": lambda a, k: _cholesky(a[0].shape),
    "linalg_ldl_solve": lambda a, k: _solve_with_factor(a[0].shape, a[2].shape),
    "_scaled_dot_product_flash_attention_for_cpu": lambda a, k: _attention(a[:3], 1, 1),
    # The scores once more, and the derivatives of queries, keys and scores, and of values.
    "_scaled_dot_product_flash_attention_for_cpu_backward": lambda a, k: _attention(a[1:4], 3, 2),
}
"""By the name of the operator, of what the registry of ``torch.utils.flop_counter`` does not know."""

_WITHOUT_PRODUCTS = """
_assert_async _assert_tensor_metadata _conj_physical _copy_from _linalg_check_errors _local_scalar_dense
_logcumsumexp _pin_memory _prelu_kernel _reshape_alias _to_copy _unique _unique2 _unsafe_view all allclose amax amin
aminmax any arange argmax argmin argsort as_strided bernoulli bincount bucketize cat channel_shuffle clone col2im
complex copy count_nonzero cross ctc_loss cudnn_batch_norm cummax cummin cumprod cumsum detach diag_embed diagonal
diagonal_scatter dist dropout embedding embedding_dense equal exponential eye fill flip full full_like gather
geometric glu histc im2col isin kthvalue lift lift_fresh lift_fresh_copy linalg_vector_norm linspace log_sigmoid
log_softmax logcumsumexp logspace logsumexp masked_fill masked_scatter masked_select max mean median min
miopen_batch_norm mode multinomial nan_to_num nanmedian nansum native_dropout new_full new_ones new_zeros nonzero
norm normal ones ones_like permute_copy pixel_shuffle pixel_unshuffle poisson polar pow prod put rand rand_like
randint randint_like randn randn_like random randperm record_stream renorm repeat repeat_interleave roll rot90
rrelu_with_noise scalar_tensor searchsorted segment_reduce select set slice sort squeeze stack std std_mean sum t
take topk trace transpose tril tril_indices triu triu_indices unfold uniform unique_consecutive unique_dim unsqueeze
var var_mean view_as_complex view_as_real zero zeros zeros_like
"""
_WITHOUT_PRODUCTS_BEGIN = """
_adaptive_ _batch_norm _foreach_ _fused_adagrad _fused_adam _fused_rms_norm _fused_sgd _log_softmax _masked_softmax
_native_batch_norm _safe_softmax _softmax _upsample_ adaptive_ avg_pool batch_norm binary_cross_entropy constant_pad
fractional_max_pool huber_loss index kl_div max_pool max_unpool mse_loss multi_margin_loss multilabel_margin_loss
native_batch_norm native_group_norm native_layer_norm nll_loss reflection_pad replication_pad scatter smooth_l1_loss
soft_margin_loss split upsample_
"""
"""Operators without products of matrices, beside those that torch marks as element-wise: reductions, normalisations,
pooling, copies, indices, random numbers. Without a trailing ``_`` and ``_backward``, which change nothing here."""

_NAMES = frozenset(_WITHOUT_PRODUCTS.split())
_PREFIXES = tuple(_WITHOUT_PRODUCTS_BEGIN.split())

_NO_ARITHMETIC = frozenset({"profiler", "prim", "c10d", "_c10d_functional", "rngprims"})
"""Namespaces of operators that compute nothing, or send what others computed."""


@cache
def is_counted(operator: Any) -> bool:
    """Whether there is a formula for ``operator``, a ``torch.ops`` overload, its in-place variant's included."""
    return _formula(operator) is not None


@cache
def is_known(operator: Any) -> bool:
    """Whether what ``operator`` computes is counted, or is nothing that counts: all but unknown operators."""
    if is_counted(operator) or operator.is_view or operator.namespace in _NO_ARITHMETIC:
        return True
    if operator.namespace != "aten":
        return False
    name = _base(operator)
    plain = name.removesuffix("_data").removesuffix("_backward")
    return (
        plain in _NAMES
        or name.startswith(("empty", "new_empty", "resize", "sym_", "is_"))
        or plain.startswith(_PREFIXES)
        or any(torch.Tag.pointwise in overload.tags for overload in (operator, *_overloads(name), *_overloads(plain)))
    )


def flops_of(operator: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> int | None:
    """Floating-point operations of one call; ``None`` if the formula does not fit it, as after a change of torch's.

    Args:
        operator: one that :func:`is_counted`.
        args: of the call.
        kwargs: of the call.
        result: what it returned.
    """
    formula = _formula(operator)
    assert formula is not None
    try:
        return formula(args, kwargs, result)
    except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


@cache
def _formula(operator: Any) -> Callable[[Sequence[Any], dict[str, Any], Any], int] | None:
    if operator.namespace != "aten":
        packets = [operator.overloadpacket]
    else:
        packets = [operator.overloadpacket, *_packets(_base(operator))]
        own = _FORMULAS.get(_base(operator))
        if own is not None:
            return lambda args, kwargs, result: own(args, kwargs)
    for packet in packets:
        if packet in flop_registry:
            torchs = flop_registry[packet]
            return lambda args, kwargs, result: int(torchs(*args, **kwargs, out_val=result))
    return None


def _base(operator: Any) -> str:
    """The operator's name without the ``_`` of an in-place variant."""
    return str(operator.overloadpacket.__name__).removesuffix("_")


def _packets(name: str) -> list[Any]:
    return [getattr(torch.ops.aten, name)] if hasattr(torch.ops.aten, name) else []


def _overloads(name: str) -> list[Any]:
    return [getattr(packet, overload) for packet in _packets(name) for overload in packet.overloads()]
