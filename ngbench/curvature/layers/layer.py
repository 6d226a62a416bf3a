"""Layers seen as ``(inputs, output derivatives, weight matrix)``: a registry from types of modules to classes.

A layer has a weight matrix ``W`` of shape ``(d_out, d_in)``, the bias being its last column. What it saw in one
forward call is its input and the derivative of the per-example losses with respect to its pre-activation output.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.blocks.call import Call

__all__ = ["Layer"]

L = TypeVar("L", bound="Layer")


class Layer(ABC):
    """A module whose parameters form one weight matrix.

    A class of layers is registered for a type of modules::

        @Layer.register(nn.Embedding)
        class EmbeddingLayer(Layer): ...

    It gives the Fisher block of what its calls saw, and, where the weight is not ``(d_out, ...)`` row by row, its form
    as a matrix.

    Args:
        name: the module's name in the model.
        module: of the type that the class is registered for.
        weight: its weight, trained.
        bias: its bias, or None where it has none or does not train it.

    Attributes:
        name: the module's name in the model.
        weight: the module's weight.
        bias: the module's bias, or None where it has none or does not train it.
        d_out: rows of the weight matrix.
        d_in: its columns, the bias column included.
        parameters: the trained ones.
        takes_positions: whether dimensions between the example and the features may be positions.
        computed_by: the methods by which a module of the registered type computes its output; one that has another is
            no such layer.
        kinds: the registered classes, by type of module.
    """

    takes_positions: ClassVar[bool] = False
    computed_by: ClassVar[tuple[str, ...]] = ("forward",)
    kinds: ClassVar[dict[type[nn.Module], type[Layer]]] = {}

    @staticmethod
    def register(kind: type[nn.Module]) -> Callable[[type[L]], type[L]]:
        """Have modules of type ``kind``, and of its subclasses that compute the same, be layers of the class."""

        def registered(layer: type[L]) -> type[L]:
            Layer.kinds[kind] = layer
            return layer

        return registered

    @staticmethod
    def kind_of(module: nn.Module) -> type[nn.Module] | None:
        """The nearest type of the module that is registered, if any is."""
        return next((kind for kind in type(module).__mro__ if kind in Layer.kinds), None)

    def __init__(self, name: str, module: nn.Module, weight: Tensor, bias: Tensor | None) -> None:
        self.name = name
        self.parameters = [weight] if bias is None else [weight, bias]
        self.weight = weight
        self.bias = bias
        self.d_out = self.to_matrix(weight).shape[0]
        self.d_in = weight.numel() // self.d_out + (self.bias is not None)

    def gradient(self) -> Tensor | None:
        """The gradient as a matrix ``(d_out, d_in)``, or None if the layer had no part in the backward pass."""
        if self.weight.grad is None:
            return None
        return self.join(self.weight.grad, None if self.bias is None else self.bias.grad)

    def join(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A matrix ``(d_out, d_in)`` from tensors of the shapes of the weight and the bias."""
        matrix = self.to_matrix(weight)
        if self.bias is None:
            return matrix
        column = torch.zeros_like(matrix[:, :1]) if bias is None else bias.unsqueeze(1)
        return torch.cat([matrix, column], 1)

    def split(self, matrix: Tensor) -> list[Tensor]:
        """The inverse of :meth:`join`: tensors in the order and shapes of :attr:`parameters`."""
        if self.bias is None:
            return [self.from_matrix(matrix)]
        return [self.from_matrix(matrix[:, :-1]), matrix[:, -1]]

    def to_matrix(self, weight: Tensor) -> Tensor:
        """A tensor of the weight's shape as a matrix ``(d_out, ...)``, without the bias column."""
        return weight.reshape(weight.shape[0], -1)

    def from_matrix(self, matrix: Tensor) -> Tensor:
        """The inverse of :meth:`to_matrix`."""
        return matrix.reshape(self.weight.shape)

    def call(self, inputs: Tensor, derivatives: Tensor, scale: float = 1.0) -> Call:
        """A call with ``scale`` times the derivatives; the product is made where the block would make it anyway."""
        return Call(inputs, derivatives if scale == 1 else derivatives * scale)

    @abstractmethod
    def block(self, calls: Sequence[Call]) -> FisherBlock:
        """The Fisher block of the layer on the batch that ``calls`` saw; several calls add their gradients."""
