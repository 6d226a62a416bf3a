"""Second-moment matrices, the bulk of the work in estimating Kronecker factors."""

from __future__ import annotations

import torch
from torch import Tensor

from ngbench.curvature.linalg.lower import mirror, symmetric_product

__all__ = ["homogeneous_second_moment", "second_moment"]

# Of a narrower matrix, or of fewer multiplications, the full product is as fast as its lower blocks.
_WIDTH = 256
_MULTIPLICATIONS = 2**24


def second_moment(x: Tensor, weights: Tensor | None = None, *, out: Tensor | None = None) -> Tensor:
    """``Σ_b w_b x_b x_bᵀ`` over the rows of ``x`` ``(n, d)``: shape ``(d, d)``, symmetric.

    On the CPU only the lower blocks of a large product are multiplied.

    Args:
        weights: ``(n,)``, of any sign; all 1 by default.
        out: where to write it, of any strides; a new tensor by default.
    """
    d = x.shape[1]
    out = x.new_empty(d, d) if out is None else out
    left = x if weights is None else x * weights.unsqueeze(1)
    if x.device.type == "cpu" and d > _WIDTH and d * d * x.shape[0] >= _MULTIPLICATIONS:
        symmetric_product(left, x, out)
    else:
        torch.mm(left.T, x, out=out)
    mirror(out)
    return out


def homogeneous_second_moment(x: Tensor, *, constant: bool, weights: Tensor | None = None) -> Tensor:
    """``Σ_b w_b x̄_b x̄_bᵀ`` over the rows of ``x`` ``(n, d)``, a constant 1 appended to each if ``constant``.

    The constant's row and column are sums, so the product keeps the (usually even) width ``d``.

    Returns:
        Shape ``(d + 1, d + 1)`` with the constant last, else ``(d, d)``.
    """
    if not constant:
        return second_moment(x, weights)
    n, d = x.shape
    out = x.new_empty(d + 1, d + 1)
    second_moment(x, weights, out=out[:d, :d])
    sums = x.sum(0) if weights is None else weights @ x
    out[d, :d] = sums
    out[:d, d] = sums
    out[d, d] = n if weights is None else weights.sum()
    return out
