"""The Fisher block of a transposed convolution, as that of the convolution that it equals (chapter 5.2).

That convolution has stride 1 and sees the input with ``e − 1`` zeros between its pixels. Most entries of its patches
are such zeros: a position sees pixels with those kernel offsets alone that share its phase of the stride. So the
second moment of its patches is block-diagonal over the phases, and the block of a phase is the second moment of the
patches of a convolution of the input itself, with a kernel ``e`` times smaller in each dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import gcd, prod

import torch
from torch import Tensor, nn

from ngbench.curvature.blocks.convolution import ConvolutionBlock
from ngbench.curvature.blocks.patch_moments import one_group, patch_second_moment, patch_sums
from ngbench.curvature.blocks.patches import Geometry, pair

__all__ = ["TransposedConvolutionBlock", "Transposition"]


@dataclass(frozen=True)
class _Phase:
    """Positions of one dimension that share their phase of the stride, and the convolution of the input at them.

    Attributes:
        offsets: of the kernel, those with which they see pixels.
        kernel: how many.
        dilation: pixels between what neighbouring ones of these offsets see.
        pixels: those that are seen at all.
        padding: before and after these.
    """

    offsets: slice
    kernel: int
    dilation: int
    pixels: slice
    padding: tuple[int, int]

    @classmethod
    def of(cls, offsets: slice, kernel: int, dilation: int, window: range, pixels: int) -> _Phase:
        """The phase whose positions see the numbers ``window``, of which those in ``[0, pixels)`` are pixels."""
        start = min(max(0, window.start), pixels)
        stop = max(start, min(window.stop, pixels))
        before = min(max(0, -window.start), len(window))
        return cls(offsets, kernel, dilation, slice(start, stop), (before, len(window) - before - (stop - start)))


@dataclass(frozen=True)
class Transposition:
    """A transposed convolution as a convolution of stride 1 of its input with zeros between the pixels.

    Attributes:
        geometry: of that convolution.
        stride: of the transposed convolution, vertical and horizontal.
        padding: of the transposed convolution, vertical and horizontal.
    """

    geometry: Geometry
    stride: tuple[int, int]
    padding: tuple[int, int]

    @classmethod
    def of(cls, module: nn.ConvTranspose2d) -> Transposition:
        """That of a module; its output padding is read off its output, which a call may size itself."""
        kernel, dilation, padding = pair(module.kernel_size), pair(module.dilation), pair(module.padding)
        vertical, horizontal = (max(0, d * (k - 1) - p) for k, d, p in zip(kernel, dilation, padding, strict=True))
        around = (horizontal, horizontal, vertical, vertical)
        geometry = Geometry(kernel, (1, 1), dilation, around, groups=module.groups)
        return cls(geometry, pair(module.stride), padding)

    def interleave(self, x: Tensor, outputs: Tensor) -> Tensor:
        """The input of the convolution: ``x`` ``(n, c, height, width)`` with zeros between and after its pixels.

        Args:
            outputs: any tensor of the output's height and width.
        """
        left, _, top, _ = self.geometry.padding
        reaches = [self._reach(dim) for dim in range(2)]
        sizes = [
            size + reach - 2 * around
            for size, reach, around in zip(outputs.shape[2:], reaches, (top, left), strict=True)
        ]
        out = x.new_zeros(*x.shape[:2], *sizes)
        places = [
            _places(x.shape[dim + 2], self.stride[dim], reaches[dim] - self.padding[dim] - (top, left)[dim], sizes[dim])
            for dim in range(2)
        ]
        (rows, into_rows), (columns, into_columns) = places
        out[:, :, into_rows, into_columns] = x[:, :, rows, columns]
        return out

    def phases(self, dim: int, pixels: int, outputs: int) -> list[_Phase]:
        """The phases of a dimension whose positions see anything; each kernel offset belongs to one at most.

        Args:
            dim: 0 is vertical, 1 horizontal.
            pixels: of the input.
            outputs: positions.
        """
        stride, kernel, dilation = self.stride[dim], self.geometry.kernel[dim], self.geometry.dilation[dim]
        first_pixel = self._reach(dim) - self.padding[dim]
        shared = gcd(stride, dilation)
        step = stride // shared
        phases = []
        # Position t sees pixel (t + δi − first_pixel) / e with offset i, where that is an integer.
        for position in range(min(stride, outputs)):
            offset = next(
                (i for i in range(min(step, kernel)) if (position + dilation * i - first_pixel) % stride == 0), None
            )
            if offset is None:
                continue
            count = len(range(offset, kernel, step))
            last = len(range(position, outputs, stride)) - 1 + dilation // shared * (count - 1)
            seen = (position + dilation * offset - first_pixel) // stride
            window = range(seen, seen + last + 1)
            phases.append(_Phase.of(slice(offset, None, step), count, dilation // shared, window, pixels))
        return phases

    def _reach(self, dim: int) -> int:
        return self.geometry.dilation[dim] * (self.geometry.kernel[dim] - 1)


class TransposedConvolutionBlock(ConvolutionBlock):
    """The block of a transposed convolution; KFAC's factors of it need no zeros between the pixels.

    Args:
        inputs: of each call of the layer, ``(m, c_in, height, width)``.
        derivatives: of each call, ``(c · m, c_out, output height, output width)``.
        transposition: of the layer.
        constant: whether the layer trains a bias.
    """

    def __init__(
        self, inputs: Sequence[Tensor], derivatives: Sequence[Tensor], transposition: Transposition, *, constant: bool
    ) -> None:
        self.transposition = transposition
        super().__init__(inputs, derivatives, transposition.geometry, constant=constant)

    @cached_property
    def inputs(self) -> list[Tensor]:
        """Of each call, with zeros between the pixels."""
        pairs = zip(self.recorded, self.derivatives, strict=True)
        return [self.transposition.interleave(x, derivatives) for x, derivatives in pairs]

    def _input_moment(self, call: int) -> Tensor:
        x, plain = one_group(self.recorded[call], self.geometry)
        grid = self.grids[call]
        width = self.d_in - self.constant
        out = x.new_zeros(self.d_in, self.d_in)
        border = x.new_zeros(width)
        shape = (x.shape[1], *self.geometry.kernel)
        moments, sums = torch.unflatten(torch.unflatten(out[:width, :width], 0, shape), 3, shape), border.view(shape)
        batch_sum = x.sum(0, keepdim=True)
        for rows, columns in product(*(self.transposition.phases(d, x.shape[d + 2], grid[d]) for d in range(2))):
            kernel, dilation = (rows.kernel, columns.kernel), (rows.dilation, columns.dilation)
            geometry = replace(plain, kernel=kernel, dilation=dilation, padding=(*columns.padding, *rows.padding))
            part = (x.shape[1], *kernel)
            moment = x.new_empty(prod(part), prod(part))
            patch_second_moment(x[:, :, rows.pixels, columns.pixels], geometry, moment)
            i, j = rows.offsets, columns.offsets
            moments[:, i, j, :, i, j] = moment.view(*part, *part)
            if self.constant:
                sums[:, i, j] = patch_sums(batch_sum[:, :, rows.pixels, columns.pixels], geometry).view(part)
        if self.constant:
            out[-1, :-1] = border
            out[:-1, -1] = border
            out[-1, -1] = len(x) * prod(grid)
        return out


def _places(count: int, stride: int, offset: int, size: int) -> tuple[slice, slice]:
    """Which of ``count`` pixels are in ``[0, size)`` when pixel i is put at ``offset + stride · i``, and where."""
    first = max(0, -(offset // stride))
    last = min(count, (size - 1 - offset) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last), slice(offset + stride * first, offset + stride * (last - 1) + 1, stride)
