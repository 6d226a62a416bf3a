"""Fisher blocks of layers that use their weight at several positions: ``D_b = Σ_t g_{b,t} ā_{b,t}ᵀ``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock, chunk_length
from ngbench.curvature.blocks.moments import homogeneous_second_moment, second_moment
from ngbench.curvature.blocks.pairs import PositionPairs
from ngbench.curvature.linalg.products import Terms

__all__ = ["PositionBlock", "SequenceBlock"]

# Patches in pieces of at most this many numbers (8 MiB in float32) stay in a processor's cache; unfolding a batch at
# once takes several times as long.
_PATCH_NUMBERS = 2**21

# Per-example gradients of at most this many numbers (64 MiB in float32) are kept for the next product.
_KEPT_NUMBERS = 2**24

# An elementwise product and its sum take about the time of this many multiplications inside a matrix product.
_ELEMENTWISE = 32


class PositionBlock(FisherBlock):
    """``F = (1/m) Σ_b Σ_{t,t'} (ā_t ā_{t'}ᵀ) ⊗ (g_t g_{t'}ᵀ)`` with patches that are made a piece at a time.

    With γ groups of channels a position stands for a pair ``(t, group)``: its patch ``ā`` is that of the group, and
    ``g`` vanishes outside the group's rows.

    Attributes:
        groups: γ; 1 unless the layer is a grouped convolution.
        grids: height and width of the positions of each call of the layer.
        positions: T, the positions of an example, over all calls of the layer and not counting groups.
    """

    groups: int = 1
    grids: list[tuple[int, int]]
    positions: int
    _kept: list[Tensor] | None = None

    @abstractmethod
    def patches(self, start: int, stop: int, groups: slice = slice(None)) -> Tensor:
        """``ā`` of the examples ``start`` to ``stop``: shape ``(n, groups, d_in, T)``."""

    @abstractmethod
    def output_derivatives(self, start: int, stop: int) -> Tensor:
        """``g`` of the derivative columns ``start`` to ``stop`` of J: shape ``(n, γ, d_out / γ, T)``."""

    def spans(self, start: int, stop: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Ranges of at most ``length`` columns of J that each belong to successive examples.

        Yields:
            The first and last + 1 column, and the example of the first.
        """
        while start < stop:
            end = min(start + length, stop, (start // self.examples + 1) * self.examples)
            yield start, end, start % self.examples
            start = end

    def gradient_chunks(self) -> Iterator[Tensor]:
        total = self.columns * self.examples
        if self._kept is not None:
            yield from self._kept
            return
        length = chunk_length(self.d_in * self.d_out)
        if total * self.d_in * self.d_out <= _KEPT_NUMBERS:
            self._kept = [self._gradients(0, total)]
            yield from self._kept
            return
        for start in range(0, total, length):
            yield self._gradients(start, min(start + length, total))

    def _gradients(
        self,
        start: int,
        stop: int,
        groups: slice = slice(None),
        outputs: slice = slice(None),
        entries: slice = slice(None),
    ) -> Tensor:
        """``D`` or a part of its rows and columns: ``(n, rows, columns)``; ``outputs`` are rows within each group."""
        counts = [
            len(range(*part.indices(size)))
            for part, size in ((groups, self.groups), (outputs, self.d_out // self.groups), (entries, self.d_in))
        ]
        out = self.like.new_empty(stop - start, *counts)
        length = max(1, _PATCH_NUMBERS // (counts[0] * self.d_in * self.positions))
        for first, last, example in self.spans(start, stop, length):
            a = self.patches(example, example + last - first, groups)[:, :, entries]
            g = self.output_derivatives(first, last)[:, groups, outputs]
            into = out[first - start : last - start].flatten(0, 1)
            torch.bmm(g.flatten(0, 1), a.flatten(0, 1).transpose(1, 2), out=into)
        return out.flatten(1, 2)

    def rearranged_times(self, matrix: Tensor) -> Tensor:
        if self._few_positions:
            return self._all_pairs.rearranged_times(matrix)
        return super().rearranged_times(matrix)

    def rearranged_transpose_times(self, matrix: Tensor) -> Tensor:
        if self._few_positions:
            return self._all_pairs.rearranged_transpose_times(matrix)
        return super().rearranged_transpose_times(matrix)

    def inner_product(self, terms: Terms) -> Tensor:
        return self._all_pairs.inner_product(terms) if self._few_positions else super().inner_product(terms)

    @property
    def _few_positions(self) -> bool:
        """Whether the double sum over positions takes fewer operations than products with ``D_b``."""
        positions = self.positions * self.groups
        by_positions = positions * (self.d_in**2 + positions * self.d_in + self.d_out * self.d_out // self.groups)
        by_gradients = self.d_out * (self.d_in**2 + self.d_out * self.d_in)
        return by_positions < by_gradients

    @property
    def _all_pairs(self) -> PositionPairs:
        return PositionPairs(self, max(max(grid) for grid in self.grids))

    def gram(self) -> Tensor:
        # (4.79), or through the per-example gradients: whichever takes fewer operations.
        o = self.d_out // self.groups
        examples, columns = self.examples, self.columns
        pairs = (examples * self.positions) ** 2 * self.groups
        by_positions = pairs * (self.d_in + columns**2 * (o + _ELEMENTWISE))
        by_gradients = columns * examples * self.d_out * self.d_in * (self.positions + columns * examples)
        return self._gram_by_positions() if by_positions < by_gradients else self._gram_by_gradients()

    def _gram_by_positions(self) -> Tensor:
        """``Σ_{t,t'} ⟨ā_{b,t}, ā_{b',t'}⟩ ⟨g_{b,t}, g_{b',t'}⟩``, some examples against some at a time."""
        m, c, t = self.examples, self.columns, self.positions
        total = self.like.new_empty(c, m, c, m)
        length = max(1, min(int(_PATCH_NUMBERS**0.5) // t, 8 * _PATCH_NUMBERS // (self.groups * self.d_in * t)))
        for start in range(0, m, length):
            rows = self._position_rows(start, min(start + length, m))
            for other in range(0, start + 1, length):
                columns = rows if other == start else self._position_rows(other, min(other + length, m))
                products = _products(rows, columns, t)
                ours, theirs = slice(start, start + length), slice(other, other + length)
                total[:, ours, :, theirs] = products
                total[:, theirs, :, ours] = products.permute(2, 3, 0, 1)
        return total.flatten(2, 3).flatten(0, 1)

    def _position_rows(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Patches ``(γ, n·T, d_in)`` and derivatives ``(c, γ, n·T, d_out / γ)`` of some examples."""
        a = self.patches(start, stop).permute(1, 0, 3, 2).flatten(1, 2)
        columns = range(0, self.columns * self.examples, self.examples)
        g = torch.stack([self.output_derivatives(first + start, first + stop) for first in columns])
        return a, g.permute(0, 2, 1, 4, 3).flatten(2, 3)

    def _gram_by_gradients(self) -> Tensor:
        """``Σ D D'`` over pieces of the entries of D, so that J is never held whole."""
        n = self.columns * self.examples
        total = self.like.new_zeros(n, n)
        o = self.d_out // self.groups
        entries = min(self.d_in, chunk_length(n))
        outputs = min(o, chunk_length(n * entries))
        groups = min(self.groups, chunk_length(n * entries * outputs))
        for group in range(0, self.groups, groups):
            for output in range(0, o, outputs):
                for entry in range(0, self.d_in, entries):
                    d = self._gradients(
                        0,
                        n,
                        slice(group, group + groups),
                        slice(output, output + outputs),
                        slice(entry, entry + entries),
                    )
                    total += second_moment(d.flatten(1).T)
        return total


def _products(rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor], positions: int) -> Tensor:
    """The products of the per-example gradients of two sets of examples: ``(c, n, c, n')``."""
    (a, g), (b, h) = rows, columns
    total = g.new_zeros(len(g), a.shape[1] // positions, len(h), b.shape[1] // positions)
    for group in range(len(a)):
        inputs = a[group] @ b[group].T
        for i, left in enumerate(g):
            for j, right in enumerate(h):
                pairs = (left[group] @ right[group].T).mul_(inputs)
                total[i, :, j] += pairs.view(total.shape[1], positions, total.shape[3], positions).sum((1, 3))
    return total


class SequenceBlock(PositionBlock):
    """Several positions an example, their patches at hand.

    Args:
        inputs: ``(m, T, d)``, without the constant.
        derivatives: ``(c · m, T, d_out)``.
        constant: whether a constant 1 is appended to each input, for the bias.
    """

    def __init__(self, inputs: Tensor, derivatives: Tensor, *, constant: bool) -> None:
        self.inputs = inputs
        self.derivatives = derivatives
        self.constant = constant
        self.examples = inputs.shape[0]
        self.columns = derivatives.shape[0] // inputs.shape[0]
        self.positions = inputs.shape[1]
        self.grids = [(1, self.positions)]
        self.d_in = inputs.shape[2] + constant
        self.d_out = derivatives.shape[2]

    @property
    def like(self) -> Tensor:
        return self.inputs

    def patches(self, start: int, stop: int, groups: slice = slice(None)) -> Tensor:
        inputs = self.inputs[start:stop]
        if self.constant:
            inputs = torch.nn.functional.pad(inputs, (0, 1), value=1.0)
        return inputs.transpose(1, 2).unsqueeze(1)

    def output_derivatives(self, start: int, stop: int) -> Tensor:
        return self.derivatives[start:stop].transpose(1, 2).unsqueeze(1)

    def kfac_factors(self) -> tuple[Tensor, Tensor]:
        a = homogeneous_second_moment(self.inputs.flatten(0, 1), constant=self.constant)
        g = second_moment(self.derivatives.flatten(0, 1))
        return a.div_(self.examples), g.div_(self.examples * self.positions)

    def cross_layer_sums(self) -> tuple[Tensor, Tensor]:
        sums = self.inputs.sum(2) + self.constant
        return sums.sum(1) / self.positions**0.5, self.derivatives.sum(2).mean(1)

    def rank_one_products(self, left: Tensor, right: Tensor) -> Tensor:
        images = self.inputs @ right[:-1] + right[-1] if self.constant else self.inputs @ right
        return torch.sum(torch.unflatten(self.derivatives @ left, 0, (self.columns, -1)) * images, 2).flatten(0, 1)

    def transpose_times(self, matrix: Tensor) -> Tensor:
        weight, bias = (matrix[:, :-1], matrix[:, -1]) if self.constant else (matrix, None)
        images = torch.nn.functional.linear(self.inputs, weight, bias)
        return torch.sum(torch.unflatten(self.derivatives, 0, (self.columns, -1)) * images, (2, 3)).flatten()

    def weighted_sum(self, weights: Tensor) -> Tensor:
        weighted = (
            torch.unflatten(self.derivatives * weights[:, None, None], 0, (self.columns, -1)).sum(0).flatten(0, 1)
        )
        total = weighted.T @ self.inputs.flatten(0, 1)
        return torch.cat([total, weighted.sum(0).unsqueeze(1)], 1) if self.constant else total
