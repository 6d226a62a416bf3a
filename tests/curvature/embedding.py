"""A layer that somebody else registers: an embedding, as the linear layer that it is of one-hot inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ngbench.curvature.blocks.block import FisherBlock, chunk_length
from ngbench.curvature.layers import Call, Layer


class EmbeddingBlock(FisherBlock):
    def __init__(self, tokens: Tensor, derivatives: Tensor, vocabulary: int) -> None:
        # One position an example, or several that share the weight.
        self.tokens = tokens.reshape(len(tokens), -1)
        self.examples, self.positions = self.tokens.shape
        self.columns = len(derivatives) // self.examples
        self.derivatives = derivatives.reshape(len(derivatives), self.positions, -1)
        self.d_in, self.d_out = vocabulary, self.derivatives.shape[2]

    @property
    def like(self) -> Tensor:
        return self.derivatives

    def kfac_factors(self) -> tuple[Tensor, Tensor]:
        counts = torch.bincount(self.tokens.flatten(), minlength=self.d_in).to(self.like.dtype)
        g = self.derivatives.flatten(0, 1)
        return torch.diag(counts / self.examples), g.T @ g / (self.examples * self.positions)

    def gradient_chunks(self) -> Iterator[Tensor]:
        tokens = self.tokens.repeat(self.columns, 1)
        for rows in torch.arange(len(tokens)).split(chunk_length(self.d_in * self.d_out)):
            d = self.like.new_zeros(len(rows), self.d_in, self.d_out)
            for example, into in zip(rows, d, strict=True):
                into.index_add_(0, tokens[example], self.derivatives[example])
            yield d.transpose(1, 2)


class EmbeddingLayer(Layer):
    takes_positions = True

    def to_matrix(self, weight: Tensor) -> Tensor:
        return weight.T

    def from_matrix(self, matrix: Tensor) -> Tensor:
        return matrix.T

    def block(self, calls: Sequence[Call]) -> FisherBlock:
        (call,) = calls
        return EmbeddingBlock(call.inputs, call.derivatives, self.d_in)


class Vocabulary(nn.Embedding):
    """A type of its own: what a test registers says nothing of torch's."""
