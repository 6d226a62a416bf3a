"""Brute force for whole networks: J with its rows of all layers, and vectors of parameter space, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from oracle import derivative_covariance, per_example_gradients, vec, weight_gradients
from torch import Tensor, nn

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.capture import Capture
from ngbench.curvature.layers import Layer, find_layers
from ngbench.curvature.likelihoods import Bernoulli, Categorical, Likelihood

SEED = 3


def perceptron(bias: bool = True) -> nn.Sequential:
    """Three layers, of which the middle one is wider than the batches here."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 6, bias=bias), nn.Tanh(), nn.Linear(6, 4, bias=bias), nn.Tanh(), nn.Linear(4, 3)
    ).double()


def convolutions() -> nn.Sequential:
    """Two convolutions and a linear layer."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 2, 2, bias=False),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(8, 3),
    ).double()


@dataclass
class Problem:
    """A model after one backward pass, with what the optimizer's code sees and what the oracle computes.

    Attributes:
        layers: of the model.
        blocks: what was captured.
        gradients: of the loss, a matrix a layer.
        jacobian: J from per-example autograd, ``(p, c · m)``, scaled so that ``F = (1/m) J Jᵀ``.
    """

    model: nn.Module
    layers: dict[nn.Module, Layer]
    blocks: dict[Layer, FisherBlock]
    gradients: dict[Layer, Tensor]
    jacobian: Tensor
    examples: int

    @property
    def fisher(self) -> Tensor:
        return self.jacobian @ self.jacobian.T / self.examples

    @property
    def gradient(self) -> Tensor:
        return flat(self.gradients)

    def solve(self, damping: float) -> Tensor:
        """``(F + λI)⁻¹∇h``."""
        return torch.linalg.solve(self.fisher + damping * torch.eye(len(self.jacobian)).double(), self.gradient)

    def slices(self) -> dict[Layer, slice]:
        """The rows of each layer."""
        result, start = {}, 0
        for layer in self.layers.values():
            result[layer] = slice(start, start + layer.d_in * layer.d_out)
            start = result[layer].stop
        return result


def flat(matrices: Mapping[Layer, Tensor]) -> Tensor:
    """The columns of all matrices, stacked."""
    return torch.cat([vec(matrix) for matrix in matrices.values()])


def problem(
    fisher: str = "sampled", *, model: nn.Module | None = None, likelihood: Likelihood | None = None, examples: int = 7
) -> Problem:
    model = perceptron() if model is None else model
    likelihood = Categorical() if likelihood is None else likelihood
    torch.manual_seed(1)
    shape = (2, 6, 6) if isinstance(model[0], nn.Conv2d) else (5,)
    inputs = torch.randn(examples, *shape, dtype=torch.float64)
    targets = likelihood.sample(model(inputs).detach())
    layers = find_layers(model)
    capture = Capture(model, layers, likelihood, fisher=fisher, seed=SEED)
    capture.due = True
    model.zero_grad()
    likelihood.loss(model(inputs), targets).backward()
    blocks = capture.take()
    capture.remove()
    gradients = {layer: layer.gradient() for layer in layers.values()}
    assert all(gradient is not None for gradient in gradients.values())
    if fisher == "exact":
        jacobian = _expected_jacobian(model, likelihood, inputs, layers)
    else:
        drawn = likelihood.sample(model(inputs).detach(), torch.Generator().manual_seed(SEED))
        d = per_example_gradients(model, likelihood, inputs, targets if fisher == "empirical" else drawn)
        jacobian = torch.cat([vec(weight_gradients(d, layer.name)) for layer in layers.values()], 1).T
    return Problem(model, layers, blocks, gradients, jacobian, examples)


def _expected_jacobian(
    model: nn.Module, likelihood: Likelihood, inputs: Tensor, layers: Mapping[nn.Module, Layer]
) -> Tensor:
    """A square root of ``m E_x E_y [𝒟θ 𝒟θᵀ]``: the outputs' Jacobian times a root of the covariance of ∂L/∂z."""
    outputs = model(inputs).detach()
    columns = []
    for b in range(len(inputs)):
        rows = []
        for j in range(outputs.shape[1]):
            model_outputs = model(inputs[b : b + 1])[0, j]
            parameters = [p for layer in layers.values() for p in layer.parameters]
            flow = dict(zip(parameters, torch.autograd.grad(model_outputs, parameters), strict=True))
            rows.append(
                flat({layer: layer.join(*_pair([flow[p] for p in layer.parameters])) for layer in layers.values()})
            )
        values, vectors = torch.linalg.eigh(derivative_covariance(likelihood, outputs[b]))
        columns.append(torch.stack(rows).T @ (vectors * values.clamp(min=0).sqrt()))
    return torch.cat(columns, 1)


def _pair(tensors: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    return (tensors[0], tensors[1] if len(tensors) > 1 else None)


LIKELIHOODS = {"bernoulli": Bernoulli(), "categorical": Categorical()}


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    assert (actual - expected).norm() <= tolerance * expected.norm()
