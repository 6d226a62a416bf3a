"""Second-moment matrices, the bulk of the work in estimating Kronecker factors."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["homogeneous_second_moment", "second_moment"]

# Lower blocks of this many columns take 0.54-0.75 of the time of the full product at widths 500-1000.
_BLOCK = 128


def second_moment(x: Tensor) -> Tensor:
    """``XᵀX`` of the rows of ``x`` ``(n, d)``: shape ``(d, d)``, symmetric to rounding.

    On the CPU only the lower blocks are multiplied; the upper ones are copied.
    """
    d = x.shape[1]
    if x.device.type != "cpu" or d <= 2 * _BLOCK:
        return x.T @ x
    out = x.new_empty(d, d)
    for start in range(0, d, _BLOCK):
        stop = min(start + _BLOCK, d)
        torch.mm(x[:, start:stop].T, x[:, :stop], out=out[start:stop, :stop])
        out[:start, start:stop] = out[start:stop, :start].T
    return out


def homogeneous_second_moment(x: Tensor, *, constant: bool) -> Tensor:
    """``Σ x̄ x̄ᵀ`` over the rows of ``x`` ``(n, d)``, a constant 1 appended to each if ``constant``.

    The constant's row and column are sums, so the product keeps the (usually even) width ``d``.

    Returns:
        Shape ``(d + 1, d + 1)`` with the constant last, else ``(d, d)``.
    """
    if not constant:
        return second_moment(x)
    n, d = x.shape
    out = x.new_empty(d + 1, d + 1)
    out[:d, :d] = second_moment(x)
    sums = x.sum(0)
    out[d, :d] = sums
    out[:d, d] = sums
    out[d, d] = n
    return out
