"""Second moments of the patches of a convolution without unfolding its input in both directions.

With stride 1 and dilation 1 the product of the entries ``(c, i, j)`` and ``(c', i + δ, j + ε)`` of all patches is a sum
of ``x[c, r, s] · x[c', r + δ, s + ε]`` over the rows ``r`` and columns ``s`` that the kernel offset ``(i, j)`` visits.
All offsets visit the same inner rows and columns and differ in the ``k − 1`` at each border alone, so one product for
each shift ``(δ, ε)`` serves them all: about ``2k²`` products of size ``c_in × c_in`` a pixel instead of ``k⁴``.
The sum over a border row or column is kept apart and added where it is visited, which is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

__all__ = ["correlated_second_moment", "correlation_operations"]

# Pieces of the one-dimensional unfold of at most this many numbers (8 MiB in float32) stay in a processor's cache.
_PIECE_NUMBERS = 2**21


@dataclass(frozen=True)
class _Axis:
    """One dimension: where the kernel offsets look.

    Attributes:
        kernel: k, the offsets.
        outputs: positions that each offset visits: offset ``i`` visits the padded pixels ``[i, i + outputs)``.
        before: padding before the first pixel.
        size: pixels.
    """

    kernel: int
    outputs: int
    before: int
    size: int

    def segments(self, shift: int) -> list[tuple[int, int]]:
        """Maximal ranges of pixels that offsets visit alike and whose partners ``shift`` further on exist."""
        offsets = range(max(0, -shift), self.kernel - max(0, shift))
        cuts = sorted(set(offsets) | {i + self.outputs for i in offsets})
        low, high = max(0, -shift), self.size - max(0, shift)
        ranges = [(max(start - self.before, low), min(stop - self.before, high)) for start, stop in pairwise(cuts)]
        return [(start, stop) for start, stop in ranges if start < stop]

    def visits(self, segments: list[tuple[int, int]], like: Tensor) -> Tensor:
        """``(k, segments)``: 1 where an offset visits a segment, else 0."""
        return like.new_tensor(
            [
                [float(i <= start + self.before and stop + self.before <= i + self.outputs) for start, stop in segments]
                for i in range(self.kernel)
            ]
        )


def _axes(shape: tuple[int, int], kernel: tuple[int, int], padding: tuple[int, int, int, int]) -> tuple[_Axis, _Axis]:
    left, right, top, bottom = padding
    (height, width), (kh, kw) = shape, kernel
    return (
        _Axis(kh, height + top + bottom - kh + 1, top, height),
        _Axis(kw, width + left + right - kw + 1, left, width),
    )


def correlation_operations(
    channels: int, shape: tuple[int, int], kernel: tuple[int, int], padding: tuple[int, int, int, int]
) -> int:
    """Multiplications an example of :func:`correlated_second_moment`."""
    rows, columns = _axes(shape, kernel, padding)
    pixels = sum(stop - start for shift in range(1 - rows.kernel, rows.kernel) for start, stop in rows.segments(shift))
    width = sum(stop - start for start, stop in columns.segments(0))
    return pixels * width * channels * channels * columns.kernel


def correlated_second_moment(
    x: Tensor, kernel: tuple[int, int], padding: tuple[int, int, int, int], out: Tensor
) -> None:
    """Write ``Σ_b Σ_t a_{b,t} a_{b,t}ᵀ`` of the patches of a convolution of stride 1 and dilation 1 into ``out``.

    Args:
        x: ``(n, c, height, width)``, not padded.
        kernel: height and width of the kernel.
        padding: zeros on the left, right, top and bottom.
        out: ``(c·kh·kw, c·kh·kw)``, rows and columns in the order of the weights ``(c, kh, kw)``.
    """
    channels = x.shape[1]
    kh, kw = kernel
    rows, columns = _axes((x.shape[2], x.shape[3]), kernel, padding)
    sums = _Sums(rows, columns, channels, x)
    length = max(1, _PIECE_NUMBERS // max(1, kw * channels * x.shape[2] * x.shape[3]))
    for piece in torch.split(x, length):
        sums.add(piece)
    # Half of the pairs of offsets, in the order (kh, kw, c); the other half is the transpose.
    half = x.new_zeros(kh, kw, channels, kh, kw, channels)
    for shift in sums.by_shift:
        _place(half, sums.windows(shift), shift)
    flat = half.flatten(3).flatten(0, 2)
    whole = (flat + flat.T).view_as(half).permute(2, 0, 1, 5, 3, 4)
    by_offset = torch.unflatten(out, 0, (channels, kh, kw))
    torch.unflatten(by_offset, 3, (channels, kh, kw)).copy_(whole)


class _Sums:
    """For each vertical shift δ, ``Σ_b x[r, s] x[r + δ, s + ε]ᵀ`` over each segment of rows and of columns.

    The one-dimensional unfold ``u[r, s] = (x[r, s], x[r, s + 1], ..., x[r, s + kw − 1])`` makes the shifts
    ``ε = 0, ..., kw − 1`` the columns of one product.
    """

    def __init__(self, rows: _Axis, columns: _Axis, channels: int, like: Tensor) -> None:
        self.rows, self.columns, self.channels = rows, columns, channels
        self.column_segments = columns.segments(0)
        # A kernel offset before and one after: all segments are single border pixels but for the inner one.
        self.inner = max(self.column_segments, key=lambda s: s[1] - s[0], default=(0, 0))
        self.border = [start for start, stop in self.column_segments if (start, stop) != self.inner]
        self.row_segments = {
            shift: segments for shift in range(1 - rows.kernel, rows.kernel) if (segments := rows.segments(shift))
        }
        self.by_shift = {
            shift: like.new_zeros(len(segments), len(self.border) + 1, channels, columns.kernel * channels)
            for shift, segments in self.row_segments.items()
        }

    def add(self, x: Tensor) -> None:
        """Take in some examples ``(n, c, height, width)``."""
        n, channels, height, width = x.shape
        kw = self.columns.kernel
        pixels = x.new_empty(height, n, width + kw - 1, channels)
        pixels[:, :, :width] = x.permute(2, 0, 3, 1)
        pixels[:, :, width:] = 0
        row, example, pixel, _ = pixels.stride()
        unfolded = pixels.as_strided((height, n, width, kw * channels), (row, example, pixel, 1))
        inner = unfolded[:, :, self.inner[0] : self.inner[1]].contiguous()
        border = unfolded[:, :, self.border].permute(2, 0, 1, 3).contiguous()
        for shift, whole in self.by_shift.items():
            # Of ε = 0 the shifts δ ≥ 0 are enough: the others are their transposes.
            first = channels if shift < 0 else 0
            sums = whole[..., first:]
            for into, (start, stop) in zip(sums, self.row_segments[shift], strict=True):
                left, right = inner[start:stop].flatten(0, 2), inner[start + shift : stop + shift].flatten(0, 2)
                into[0].addmm_(left[:, :channels].T, right[:, first:])
                if self.border:
                    left = border[:, start:stop].flatten(1, 2)[:, :, :channels]
                    right = border[:, start + shift : stop + shift].flatten(1, 2)
                    into[1:].baddbmm_(left.transpose(1, 2), right[:, :, first:])

    def windows(self, shift: int) -> Tensor:
        """The sums over what each offset ``(i, j)`` visits: ``(kh, kw, c, kw, c)``, the partners' ε before the last."""
        sums = self.by_shift[shift]
        rows = self.rows.visits(self.row_segments[shift], sums)
        columns = self.columns.visits([self.inner, *((s, s + 1) for s in self.border)], sums)
        windows = torch.tensordot(columns, torch.tensordot(rows, sums, 1), ([1], [1])).transpose(0, 1)
        return torch.unflatten(windows, 3, (self.columns.kernel, self.channels))


def _place(half: Tensor, windows: Tensor, shift: int) -> None:
    """Write the products of the offsets ``(i, j)`` and ``(i + shift, j + ε)`` that come first in their pair."""
    kh, kw, channels = half.shape[:3]
    si, sj, sc, ti, tj, tc = half.stride()
    first, count = max(0, -shift), kh - abs(shift)
    for epsilon in range(kw):
        if epsilon == 0 and shift < 0:
            continue
        view = half.as_strided(
            (count, kw - epsilon, channels, channels),
            (si + ti, sj + tj, sc, tc),
            half.storage_offset() + first * si + (first + shift) * ti + epsilon * tj,
        )
        view.copy_(windows[first : first + count, : kw - epsilon, :, epsilon])
        if epsilon == 0 and shift == 0:
            view.mul_(0.5)
