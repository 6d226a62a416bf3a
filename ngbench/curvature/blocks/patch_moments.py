"""Second moments of what a convolution saw: of the patches of its input and of its output derivatives."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ngbench.curvature.blocks.correlation import correlated_second_moment, correlation_operations
from ngbench.curvature.blocks.moments import second_moment
from ngbench.curvature.blocks.patches import Geometry
from ngbench.curvature.linalg.lower import symmetric_part

__all__ = ["add_output_moment", "one_group", "patch_second_moment", "patch_sums"]

# Unfolded patches in pieces of at most this many numbers (16 MiB in float32): each piece costs a sum over d_in².
_UNFOLD_NUMBERS = 2**22

# A product of second moments by lower blocks takes this part of a full one.
_LOWER = 0.6


def patch_second_moment(x: Tensor, geometry: Geometry, out: Tensor) -> None:
    """Write ``Σ_b Σ_t a aᵀ`` of the patches of one group into ``out``, by whichever way takes fewer operations.

    Args:
        x: ``(n, c, height, width)``, not padded.
        geometry: of one group, padded with zeros.
        out: ``(c·kh·kw, c·kh·kw)``, of any strides.
    """
    width = len(out)
    rows, columns = geometry.grid(x)
    if geometry.kernel != (1, 1) and geometry.stride == geometry.dilation == (1, 1):
        shape = (x.shape[2], x.shape[3])
        operations = correlation_operations(x.shape[1], shape, geometry.kernel, geometry.padding)
        if operations < _LOWER * width * width * rows * columns:
            correlated_second_moment(x, geometry.kernel, geometry.padding, out)
            return
    out.copy_(_unfolded_second_moment(x, geometry))


def patch_sums(x: Tensor, geometry: Geometry) -> Tensor:
    """``Σ_b Σ_t a``: ``(c·kh·kw,)``; the arguments are those of :func:`patch_second_moment`."""
    return geometry.windows(x.sum(0, keepdim=True)).sum((5, 6)).flatten()


def add_output_moment(derivatives: Tensor, groups: int, out: Tensor) -> None:
    """Add ``Σ_b Σ_{t,γ} g gᵀ`` to ``out``.

    Args:
        derivatives: ``(n, c_out, height, width)``.
        groups: γ, of the channels.
        out: ``(c_out, c_out)``, contiguous.
    """
    g = torch.unflatten(derivatives.flatten(2), 1, (groups, -1))
    o, t = g.shape[2:]
    if groups == 1 and t < o:
        out += second_moment(g[:, 0].transpose(1, 2).flatten(0, 1))
        return
    # Many positions: the product of each example is small beside its derivatives.
    moments = g.new_zeros(groups, o, o)
    for piece in torch.split(g, max(1, _UNFOLD_NUMBERS // (groups * o * max(o, t)))):
        moments += (piece @ piece.transpose(2, 3)).sum(0)
    blocks = out.view(groups, o, groups, o).diagonal(dim1=0, dim2=2)
    blocks += symmetric_part(moments).permute(1, 2, 0)


def one_group(x: Tensor, geometry: Geometry) -> tuple[Tensor, Geometry]:
    """``x`` with its groups as further examples and with its padding unless that is of zeros, and the geometry left."""
    padding = geometry.padding
    if geometry.mode != "zeros":
        x, padding = geometry.pad(x), (0, 0, 0, 0)
    x = torch.unflatten(x, 1, (geometry.groups, -1)).flatten(0, 1)
    return x, replace(geometry, padding=padding, mode="zeros", groups=1)


def _unfolded_second_moment(x: Tensor, geometry: Geometry) -> Tensor:
    """``Σ_b Σ_t a aᵀ`` of one group from its patches, some examples at a time."""
    width = x.shape[1] * geometry.kernel[0] * geometry.kernel[1]
    grid = geometry.grid(x)
    total = x.new_zeros(width, width)
    # A piece worth its sum over d_in² has at least as many rows as columns.
    rows = max(_UNFOLD_NUMBERS // width, width)
    for piece in torch.split(x, max(1, rows // (grid[0] * grid[1]))):
        patches = geometry.windows(piece)[:, 0].permute(1, 2, 3, 0, 4, 5).reshape(width, -1)
        total += second_moment(patches.T)
    return total
