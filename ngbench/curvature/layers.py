"""Layers seen as ``(patches, output derivatives, weight matrix)``: the only place that knows module types.

A layer has a weight matrix ``W`` of shape ``(d_out, d_in)``, the bias being its last column. What it saw in one
forward call is its input and the derivative of the per-example losses with respect to its pre-activation output.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ngbench.curvature.convolution import ConvolutionBlock
from ngbench.curvature.fisher import FisherBlock
from ngbench.curvature.linear import LinearBlock
from ngbench.curvature.patches import Geometry
from ngbench.curvature.positions import SequenceBlock
from ngbench.curvature.transposition import TransposedConvolutionBlock, Transposition

__all__ = ["Call", "Conv2dLayer", "ConvTranspose2dLayer", "Layer", "LinearLayer", "find_layers"]


@dataclass(frozen=True)
class Call:
    """One call of a layer in a forward pass.

    Attributes:
        inputs: what the layer was given, ``(m, ...)``.
        unscaled: :attr:`derivatives` but for a factor, as a backward pass left them.
        scale: that factor.
    """

    inputs: Tensor
    unscaled: Tensor
    scale: float = 1.0

    @property
    def derivatives(self) -> Tensor:
        """``∂L_b/∂s`` at its output, ``(c · m, ...)``.

        ``c > 1`` columns an example stand for the closed-form expectation over targets (all examples for the first
        column, then for the second, ...).
        """
        return self.unscaled if self.scale == 1 else self.unscaled * self.scale


class Layer(ABC):
    """A module whose parameters form one weight matrix.

    Attributes:
        name: the module's name in the model.
        weight: the module's weight.
        bias: the module's bias, or None where it has none or does not train it.
        d_out: rows of the weight matrix.
        d_in: its columns, the bias column included.
        parameters: the trained ones.
    """

    def __init__(self, name: str, weight: Tensor, bias: Tensor | None) -> None:
        self.name = name
        self.parameters = [weight] if bias is None else [weight, bias]
        self.weight = weight
        self.bias = bias
        self.d_out = self._matrix(weight).shape[0]
        self.d_in = weight.numel() // self.d_out + (self.bias is not None)

    def gradient(self) -> Tensor | None:
        """The gradient as a matrix ``(d_out, d_in)``, or None if the layer had no part in the backward pass."""
        if self.weight.grad is None:
            return None
        return self.join(self.weight.grad, None if self.bias is None else self.bias.grad)

    def join(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A matrix ``(d_out, d_in)`` from tensors of the shapes of the weight and the bias."""
        matrix = self._matrix(weight)
        if self.bias is None:
            return matrix
        column = torch.zeros_like(matrix[:, :1]) if bias is None else bias.unsqueeze(1)
        return torch.cat([matrix, column], 1)

    def split(self, matrix: Tensor) -> list[Tensor]:
        """The inverse of :meth:`join`: tensors in the order and shapes of :attr:`parameters`."""
        if self.bias is None:
            return [self._weight(matrix)]
        return [self._weight(matrix[:, :-1]), matrix[:, -1]]

    def _matrix(self, weight: Tensor) -> Tensor:
        """A tensor of the weight's shape as a matrix ``(d_out, ...)``, without the bias column."""
        return weight.reshape(weight.shape[0], -1)

    def _weight(self, matrix: Tensor) -> Tensor:
        """The inverse of :meth:`_matrix`."""
        return matrix.reshape(self.weight.shape)

    def call(self, inputs: Tensor, derivatives: Tensor, scale: float = 1.0) -> Call:
        """A call with ``scale`` times the derivatives; the product is made where the block would make it anyway."""
        return Call(inputs, derivatives if scale == 1 else derivatives * scale)

    @abstractmethod
    def block(self, calls: Sequence[Call]) -> FisherBlock:
        """The Fisher block of the layer on the batch that ``calls`` saw; several calls add their gradients."""


class LinearLayer(Layer):
    """``nn.Linear``; further dimensions between the example and the features are positions that share the weight."""

    def call(self, inputs: Tensor, derivatives: Tensor, scale: float = 1.0) -> Call:
        return Call(inputs, derivatives, scale) if inputs.ndim == 2 else super().call(inputs, derivatives, scale)

    def block(self, calls: Sequence[Call]) -> FisherBlock:
        constant = self.bias is not None
        if len(calls) == 1 and calls[0].inputs.ndim == 2:
            return LinearBlock(calls[0].inputs, calls[0].unscaled, constant=constant, scale=calls[0].scale)
        # Positions and repeated calls alike are terms of D_b = Σ_t g āᵀ.
        inputs = [call.inputs.flatten(1, -2) if call.inputs.ndim > 2 else call.inputs[:, None] for call in calls]
        derivatives = [
            call.derivatives.flatten(1, -2) if call.derivatives.ndim > 2 else call.derivatives[:, None]
            for call in calls
        ]
        return SequenceBlock(torch.cat(inputs, 1), torch.cat(derivatives, 1), constant=constant)


class Conv2dLayer(Layer):
    """``nn.Conv2d``: its patches ``(c_in / groups · kh · kw)`` are the inputs of a matrix of ``c_out`` rows.

    Args:
        module: the convolution.
    """

    def __init__(self, name: str, weight: Tensor, bias: Tensor | None, module: nn.Conv2d) -> None:
        super().__init__(name, weight, bias)
        self.geometry = Geometry.of(module)

    def block(self, calls: Sequence[Call]) -> FisherBlock:
        _check_images(self.name, calls)
        return ConvolutionBlock(
            [call.inputs for call in calls],
            [call.derivatives for call in calls],
            self.geometry,
            constant=self.bias is not None,
        )


class ConvTranspose2dLayer(Layer):
    """``nn.ConvTranspose2d`` as the convolution that it equals (chapter 5.2).

    With padding τ, stride e and dilation δ it is the convolution, with stride 1 and padding ``δ(k − 1) − τ``, of the
    input with ``e − 1`` zeros between its pixels and the kernel rotated by π. The weight matrix is that convolution's:
    ``c_out`` rows of ``c_in / groups · kh · kw``, while the module holds ``(c_in, c_out / groups, kh, kw)`` (5.41).

    Args:
        module: the transposed convolution.
    """

    def __init__(self, name: str, weight: Tensor, bias: Tensor | None, module: nn.ConvTranspose2d) -> None:
        self.transposition = Transposition.of(module)
        super().__init__(name, weight, bias)

    def _matrix(self, weight: Tensor) -> Tensor:
        groups = self.transposition.geometry.groups
        by_group = torch.unflatten(weight.flip(2, 3), 0, (groups, -1))
        return by_group.transpose(1, 2).reshape(groups * weight.shape[1], -1)

    def _weight(self, matrix: Tensor) -> Tensor:
        groups = self.transposition.geometry.groups
        channels, outputs, *kernel = self.weight.shape
        by_group = matrix.reshape(groups, outputs, channels // groups, *kernel)
        return by_group.transpose(1, 2).flip(3, 4).reshape(self.weight.shape)

    def block(self, calls: Sequence[Call]) -> FisherBlock:
        _check_images(self.name, calls)
        return TransposedConvolutionBlock(
            [call.inputs for call in calls],
            [call.derivatives for call in calls],
            self.transposition,
            constant=self.bias is not None,
        )


def _check_images(name: str, calls: Sequence[Call]) -> None:
    for call in calls:
        if call.inputs.ndim != 4:
            raise ValueError(
                f"layer {name!r} was called on {call.inputs.ndim}-dimensional input; its Fisher block needs"
                " (examples, channels, height, width)"
            )


def _layer(name: str, module: nn.Module, allowed: set[int]) -> Layer | None:
    if not isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)) or id(module.weight) not in allowed:
        return None
    bias = module.bias if id(module.bias) in allowed else None
    if isinstance(module, nn.Conv2d):
        return Conv2dLayer(name, module.weight, bias, module)
    if isinstance(module, nn.ConvTranspose2d):
        return ConvTranspose2dLayer(name, module.weight, bias, module)
    return LinearLayer(name, module.weight, bias)


def find_layers(model: nn.Module, parameters: Iterable[nn.Parameter] | None = None) -> dict[nn.Module, Layer]:
    """The layers of ``model`` that have a curvature of their own, in the order of its modules.

    Args:
        parameters: only layers whose weight is among them; all trained ones by default.

    Raises:
        ValueError: two layers share a weight.
    """
    allowed = {id(p) for p in (model.parameters() if parameters is None else parameters) if p.requires_grad}
    layers: dict[nn.Module, Layer] = {}
    owners: dict[int, str] = {}
    for name, module in model.named_modules():
        layer = _layer(name, module, allowed)
        if layer is None:
            continue
        if id(layer.weight) in owners:
            raise ValueError(
                f"layers {owners[id(layer.weight)]!r} and {name!r} share a weight, which has no Fisher block of one"
                " layer; untie them or call one layer twice"
            )
        owners[id(layer.weight)] = name
        layers[module] = layer
    return layers
