"""Layers seen as ``(patches, output derivatives, weight matrix)``: the only place that knows module types.

A layer has a weight matrix ``W`` of shape ``(d_out, d_in)``, the bias being its last column. What it saw in one
forward call is its input and the derivative of the per-example losses with respect to its pre-activation output.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.blocks.convolution import ConvolutionBlock
from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.curvature.blocks.patches import Geometry
from ngbench.curvature.blocks.positions import SequenceBlock
from ngbench.curvature.blocks.transposition import TransposedConvolutionBlock, Transposition

__all__ = [
    "Call",
    "Conv2dLayer",
    "ConvTranspose2dLayer",
    "Layer",
    "LinearLayer",
    "Survey",
    "find_layers",
    "still_is",
    "survey",
]


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
        takes_positions: whether dimensions between the example and the features may be positions.
    """

    takes_positions: ClassVar[bool] = False

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

    takes_positions = True

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


_KINDS: dict[type[nn.Module], Callable[[str, Any, Tensor, Tensor | None], Layer]] = {
    nn.Linear: lambda name, module, weight, bias: LinearLayer(name, weight, bias),
    nn.Conv2d: lambda name, module, weight, bias: Conv2dLayer(name, weight, bias, module),
    nn.ConvTranspose2d: lambda name, module, weight, bias: ConvTranspose2dLayer(name, weight, bias, module),
}


@dataclass(frozen=True)
class Survey:
    """What a model has of layers that a Fisher block is known of.

    Attributes:
        layers: in the order of the modules.
        without: of the trained parameters outside the layers, by name, why.
    """

    layers: dict[nn.Module, Layer]
    without: dict[str, str]

    @staticmethod
    def known() -> str:
        """The types of modules that may be layers."""
        return ", ".join(kind.__name__ for kind in _KINDS)


def survey(model: nn.Module, parameters: Iterable[nn.Parameter] | None = None) -> Survey:
    """Find the layers of a model that have a Fisher block, and say why the other parameters have none.

    A layer is a module that computes what torch's own of its type does, from a weight that it alone holds.

    Args:
        parameters: only these are trained; all of the model's by default.

    Raises:
        ValueError: a layer does not know its shape yet.
    """
    allowed = {id(p) for p in (model.parameters() if parameters is None else parameters) if p.requires_grad}
    owners = _owners(model)
    layers: dict[nn.Module, Layer] = {}
    without: dict[str, str] = {}
    for path, module in model.named_modules():
        trained = {name: p for name, p in module.named_parameters(recurse=False) if id(p) in allowed}
        if not trained:
            continue
        reason = _obstacle(path, module, trained, owners)
        if reason is None:
            layers[module] = _kind(module)(path, module, module.weight, trained.get("bias"))
        else:
            for name in trained:
                without.setdefault(f"{path}.{name}" if path else name, reason)
    return Survey(layers, without)


def find_layers(model: nn.Module, parameters: Iterable[nn.Parameter] | None = None) -> dict[nn.Module, Layer]:
    """The layers of :func:`survey`, with the same arguments and errors."""
    return survey(model, parameters).layers


def still_is(layer: Layer, module: nn.Module) -> bool:
    """Whether a module that was a layer still computes what torch's own does, from the parameters that it had.

    Pruning, parametrisation, another ``forward`` and :func:`torch.func.functional_call` change that.
    """
    own, base = module._parameters, _base(module)
    return (
        own.get("weight") is layer.weight
        and (layer.bias is None or own.get("bias") is layer.bias)
        and base is not None
        and _own_method(module, base) is None
    )


def _own_method(module: nn.Module, base: type[nn.Module]) -> str | None:
    """The method by which a module computes something else than torch's own of its type, if there is one."""
    for method in ("forward", "_conv_forward"):
        if getattr(type(module), method, None) is not getattr(base, method, None) or method in vars(module):
            return method
    return None


def _base(module: nn.Module) -> type[nn.Module] | None:
    return next((base for base in _KINDS if isinstance(module, base)), None)


def _kind(module: nn.Module) -> Callable[[str, Any, Tensor, Tensor | None], Layer]:
    base = _base(module)
    assert base is not None
    return _KINDS[base]


def _owners(model: nn.Module) -> dict[int, list[str]]:
    """The names that each parameter has in the model."""
    owners: dict[int, list[str]] = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            owners.setdefault(id(parameter), []).append(f"{path}.{name}" if path else name)
    return owners


def _obstacle(
    path: str, module: nn.Module, trained: Mapping[str, nn.Parameter], owners: Mapping[int, list[str]]
) -> str | None:
    """Why the Fisher block of a module's parameters is not known; None if it is."""
    base = _base(module)
    if isinstance(module, ParametrizationList):
        return "it parametrises the weight of a layer"
    if base is None:
        return f"{type(module).__name__} is none of {Survey.known()}"
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    if weight is None:
        return "the weight of its layer is computed from other parameters"
    if is_lazy(weight):
        raise ValueError(f"layer {path!r} is lazy and has no shape yet: call the model once, then make the optimizer")
    if weight.is_complex():
        return "its weight is complex"
    if (method := _own_method(module, base)) is not None:
        return f"{type(module).__name__} has a {method} of its own"
    if "weight" not in trained:
        return "the weight of its layer is not trained"
    for parameter in trained.values():
        others = [name for name in owners[id(parameter)] if name.rpartition(".")[0] != path]
        if others:
            return f"it is shared with {', '.join(others)}"
    return None
