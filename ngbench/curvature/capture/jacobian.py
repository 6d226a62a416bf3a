"""The per-example gradients of the whole network on one batch, as an implicit matrix J.

``J`` has one row a parameter and one column a per-example gradient ``(𝒟θ)^{(b)}`` (4.48); its rows of one layer are
those of the layer's Fisher block. ``F = (1/m) J Jᵀ`` has the blocks between layers that block-diagonal approximations
leave out. A vector of parameter space is held as one matrix ``(d_out, d_in)`` a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock, chunk_length
from ngbench.curvature.capture.deferred import DeferredGradient
from ngbench.curvature.layers import Call, Layer
from ngbench.curvature.linalg.precision import statistics_dtype

__all__ = ["Jacobian", "Matrices", "inner_product"]

Matrices = dict[Layer, Tensor]


# Pairs of vectors drawn a layer to tell whether a gradient is the mean column of J. One is spent on the factor.
_PROBES = 4


def inner_product(left: Mapping[Layer, Tensor], right: Mapping[Layer, Tensor]) -> Tensor:
    """``⟨left, right⟩`` over the layers of ``left``: a scalar in float64."""
    products = [torch.sum(matrix.double() * right[layer].double()) for layer, matrix in left.items()]
    return torch.stack(products).sum()


class Jacobian:
    """J on one batch, or its rows of some layers.

    Args:
        blocks: the Fisher block of each layer, all of one batch.

    Attributes:
        blocks: as given, but for those of another type than ``dtype``, which are made anew in it.
        dtype: of the numbers of J: the one that those of all its layers have room in.
        examples: m.
        columns: c · m, the columns of J.
        parameters: the rows of J.

    Raises:
        ValueError: the blocks are not of one batch.
    """

    def __init__(self, blocks: Mapping[Layer, FisherBlock]) -> None:
        sizes = {(block.examples, block.columns) for block in blocks.values()}
        if len(sizes) != 1:
            seen = ", ".join(f"{layer.name!r}: {b.examples}" for layer, b in blocks.items()) or "no layer"
            raise ValueError(f"all layers must see the same examples, not {seen}")
        ((self.examples, columns),) = sizes
        self.dtype = reduce(torch.promote_types, (_type_of(layer, block) for layer, block in blocks.items()))
        self.blocks = {layer: _in_type(layer, block, self.dtype) for layer, block in blocks.items()}
        self.columns = self.examples * columns
        self.parameters = sum(block.d_in * block.d_out for block in blocks.values())
        self._versions = [tensor._version for tensor in self._recorded()]

    def _recorded(self) -> list[Tensor]:
        return [
            tensor for block in self.blocks.values() for call in block.calls for tensor in (call.inputs, call.unscaled)
        ]

    def check_unchanged(self) -> None:
        """What a batch recorded is kept, not copied, for the steps that reuse it.

        Raises:
            RuntimeError: it was overwritten in place since.
        """
        if self._versions != [tensor._version for tensor in self._recorded()]:
            raise RuntimeError(
                "the batch that the curvature was estimated on was overwritten in place; give the model a new tensor a"
                " batch, or set curvature_interval=1 and inverse_interval=1"
            )

    def only(self, layer: Layer) -> Jacobian:
        """The rows of one layer."""
        return Jacobian({layer: self.blocks[layer]})

    @property
    def device(self) -> torch.device:
        """Where the batch is."""
        return next(iter(self.blocks)).weight.device

    @property
    def is_of_the_layers_types(self) -> bool:
        """Whether the gradients of all layers have the type of J already."""
        return all(statistics_dtype(layer.weight.dtype) == self.dtype for layer in self.blocks)

    def fill(self, gradients: Mapping[Layer, Tensor]) -> Matrices:
        """A vector with a matrix for every layer of J: that of ``gradients`` where it has one, else zero."""
        return {
            layer: gradients[layer].to(self.dtype)
            if layer in gradients
            else torch.zeros(block.d_out, block.d_in, dtype=self.dtype, device=self.device)
            for layer, block in self.blocks.items()
        }

    def transpose_times(self, matrices: Mapping[Layer, Tensor]) -> Tensor:
        """``Jᵀ vec(matrices)`` (4.58), shape ``(c · m,)``; layers left out count as zero."""
        products = torch.zeros(self.columns, dtype=self.dtype, device=self.device)
        for layer, block in self.blocks.items():
            if layer in matrices:
                block.add_transpose_times(products, matrices[layer])
        return products

    def weighted_sum(self, weights: Tensor) -> Matrices:
        """``J weights`` (4.65) for weights of shape ``(c · m,)``."""
        return {layer: block.weighted_sum(weights) for layer, block in self.blocks.items()}

    def gram(self) -> Tensor:
        """``JᵀJ`` (4.78), shape ``(c · m, c · m)``: the lower triangle alone is meant."""
        total = torch.zeros(self.columns, self.columns, dtype=self.dtype, device=self.device)
        for block in self.blocks.values():
            block.add_gram(total)
        return total

    def products_with_totals(self, gradients: Mapping[Layer, DeferredGradient]) -> Tensor:
        """``Jᵀ`` times gradients that are not formed, of any of the layers: shape ``(c · m,)``."""
        products = torch.zeros(self.columns, dtype=self.dtype, device=self.device)
        for layer, gradient in gradients.items():
            products.add_(self.blocks[layer].products_with_total(gradient.block), alpha=gradient.scale)
        return products

    def rows(self) -> Iterator[Tensor]:
        """``Jᵀ`` in pieces ``(n, parameters)`` of bounded size, each layer's matrix flattened row by row."""
        size = chunk_length(self.parameters)
        pieces = [_rechunk(block.gradient_chunks(), size) for block in self.blocks.values()]
        for parts in zip(*pieces, strict=True):
            yield torch.cat([part.flatten(1) for part in parts], 1)

    def mean_column_factor(self, matrices: Mapping[Layer, Tensor]) -> float | None:
        """α if ``matrices`` is α times the mean column of J, else None.

        Under the empirical Fisher matrix the gradient is the mean column, unless somebody changed it. This compares
        ``xᵀ M y`` of both for random x and y in every layer, which costs O(p + m Σ(d_in + d_out)) where J times a
        vector costs O(m p): two different matrices agree on a continuous random draw with probability zero, and to
        the tolerance ``10³ ε`` on all of them with one that is negligible.
        """
        if matrices.keys() != self.blocks.keys():
            return None
        generator = torch.Generator(self.device).manual_seed(0)
        sizes = [size for block in self.blocks.values() for size in (block.d_out, block.d_in)]
        draws = torch.randn(sum(sizes), _PROBES, generator=generator, dtype=self.dtype, device=self.device)
        probes = iter(torch.split(draws, sizes))
        given, mean, scales = [], [], []
        for layer, block in self.blocks.items():
            left, right = next(probes), next(probes)
            images = left.T @ matrices[layer]
            given.append(torch.sum(images * right.T, 1))
            mean.append(block.rank_one_products(left, right).mean(0))
            # As long as the matrix, in the mean.
            scales.append(images.norm(dim=1))
        a, b, scale = (torch.cat(parts).double() for parts in (given, mean, scales))
        factor = torch.dot(a, b) / torch.dot(b, b)
        tolerance = 1e3 * torch.finfo(self.dtype).eps
        holds = torch.isfinite(factor) & ((a - factor * b).abs() <= tolerance * scale).all()
        return float(factor) if holds else None

    def state_dict(self) -> dict[str, Any]:
        """What the layers recorded, by layer name: copies.

        Raises:
            RuntimeError: a block was not made from what a layer recorded.
        """
        state: dict[str, Any] = {}
        for layer, block in self.blocks.items():
            if not block.calls:
                raise RuntimeError(f"the Fisher block of layer {layer.name!r} was not recorded and cannot be saved")
            # A copy, for what is kept may be the first part of a larger batch.
            state[layer.name] = [[call.inputs.clone(), call.unscaled.clone(), call.scale] for call in block.calls]
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Any], layers: Mapping[str, Layer]) -> Jacobian:
        """The inverse of :meth:`state_dict`."""
        blocks: dict[Layer, FisherBlock] = {}
        for name, recorded in state.items():
            layer = layers[name]
            device = layer.weight.device
            calls = tuple(Call(x.to(device, copy=True), g.to(device, copy=True), scale) for x, g, scale in recorded)
            blocks[layer] = layer.block(calls)
            blocks[layer].calls = calls
        return cls(blocks)


def _type_of(layer: Layer, block: FisherBlock) -> torch.dtype:
    return block.calls[0].unscaled.dtype if block.calls else statistics_dtype(layer.weight.dtype)


def _in_type(layer: Layer, block: FisherBlock, dtype: torch.dtype) -> FisherBlock:
    if _type_of(layer, block) == dtype or not block.calls:
        return block
    calls = tuple(call.to(dtype) for call in block.calls)
    wider = layer.block(calls)
    wider.calls, wider.reused = calls, block.reused
    return wider


def _rechunk(chunks: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """The rows of ``chunks`` in pieces of ``size`` rows (the last one shorter)."""
    waiting: list[Tensor] = []
    rows = 0
    for chunk in chunks:
        waiting.append(chunk)
        rows += len(chunk)
        while rows >= size:
            joined = torch.cat(waiting) if len(waiting) > 1 else waiting[0]
            yield joined[:size]
            waiting, rows = [joined[size:]], rows - size
    if rows:
        yield torch.cat(waiting)
