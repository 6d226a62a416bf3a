"""Brute force for Kronecker approximations: blocks with their F from autograd, and ``Z(F)`` written out, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from oracle import fisher_block
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.layers import Call, find_layers


@dataclass
class Case:
    """A block, and F from per-example autograd."""

    block: FisherBlock
    fisher: Tensor

    def error(self, value) -> float:
        """Error 1: ``‖F − F̂‖/‖F‖``, 0 for F = 0 and its zero approximation."""
        norm = float(self.fisher.norm())
        return float((self.fisher - value.dense()).norm()) / (norm or 1.0)

    def z(self) -> Tensor:
        """``Z(F)``."""
        return zigzag(self.fisher, self.block.d_in, self.block.d_out)

    def symmetric_z(self) -> Tensor:
        """``Z(F)`` between symmetric matrices: its best approximations are those with symmetric factors."""
        left, right = symmetriser(self.block.d_in), symmetriser(self.block.d_out)
        return left @ self.z() @ right


def zigzag(matrix: Tensor, d: int, d_other: int) -> Tensor:
    """(3.23) as written: the blocks ``M_μν``, column after column, each flattened by columns into a row."""
    rows = []
    for nu in range(d):
        for mu in range(d):
            block = matrix[mu * d_other : (mu + 1) * d_other, nu * d_other : (nu + 1) * d_other]
            rows.append(block.T.flatten())
    return torch.stack(rows)


def symmetriser(d: int) -> Tensor:
    """The projector of ``vec(U)`` on symmetric U."""
    identity = torch.eye(d * d, dtype=torch.float64)
    return (identity + identity.reshape(d, d, d, d).transpose(0, 1).reshape(d * d, d * d)) / 2


def case(module: nn.Module, inputs: Tensor, derivatives: Tensor) -> Case:
    """A layer that saw ``inputs`` ``(m, ...)`` and ``derivatives`` ``(c · m, ...)``."""
    module = module.double()
    (layer,) = find_layers(module).values()
    parameters = {name: p.detach() for name, p in module.named_parameters()}

    def loss(values: dict[str, Tensor], x: Tensor, g: Tensor) -> Tensor:
        return torch.sum(functional_call(module, values, (x.unsqueeze(0),)) * g)

    columns = len(derivatives) // len(inputs)
    repeated = inputs.repeat(columns, *[1] * (inputs.ndim - 1))
    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, repeated, derivatives)
    d = found["weight"].flatten(2)
    if "bias" in found:
        d = torch.cat([d, found["bias"].unsqueeze(2)], 2)
    return Case(layer.block([Call(inputs, derivatives)]), fisher_block(d) * columns)


def linear(d_in=4, d_out=3, *, bias=True, examples=7, columns=1, seed=0) -> Case:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(examples, d_in, dtype=torch.float64, generator=generator)
    derivatives = torch.randn(columns * examples, d_out, dtype=torch.float64, generator=generator)
    return case(nn.Linear(d_in, d_out, bias=bias), inputs, derivatives)


def convolution(*, bias=True, examples=4, columns=1, seed=0, size=(5, 4), channels=(2, 4), **options) -> Case:
    generator = torch.Generator().manual_seed(seed)
    module = nn.Conv2d(*channels, bias=bias, **{"kernel_size": 2, **options}).double()
    inputs = torch.randn(examples, channels[0], *size, dtype=torch.float64, generator=generator)
    shape = module(inputs).shape[1:]
    derivatives = torch.randn(columns * examples, *shape, dtype=torch.float64, generator=generator)
    return case(module, inputs, derivatives)


LINEAR = {
    "bias": {},
    "no-bias": {"bias": False},
    "columns": {"columns": 3},
    "many-examples": {"examples": 40},
}
CONVOLUTION = {
    "plain": {},
    "no-bias": {"bias": False},
    "stride-padding": {"kernel_size": 3, "stride": 2, "padding": 1, "channels": (1, 3)},
    "dilation": {"dilation": 2},
    "groups": {"groups": 2, "channels": (4, 4)},
    "columns": {"columns": 2, "examples": 3},
}
CASES = {
    **{f"linear-{name}": (linear, options) for name, options in LINEAR.items()},
    **{f"convolution-{name}": (convolution, options) for name, options in CONVOLUTION.items()},
}
