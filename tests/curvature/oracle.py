"""Brute force for the tests: per-example gradients and Fisher matrices from ``torch.func``, in float64."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from ngbench.curvature.likelihoods import Likelihood


def per_example_gradients(
    model: nn.Module, likelihood: Likelihood, inputs: Tensor, targets: Tensor
) -> dict[str, Tensor]:
    """Gradient of each example's loss for every parameter: shapes ``(m, *parameter.shape)``."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def loss(values: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        outputs = functional_call(model, (values, buffers), (x.unsqueeze(0),))
        return likelihood.per_example_loss(outputs, y.unsqueeze(0)).squeeze(0)

    return vmap(grad(loss), in_dims=(None, 0, 0))(parameters, inputs, targets)


def weight_gradients(gradients: dict[str, Tensor], layer: str) -> Tensor:
    """``D``: the gradients of a layer as matrices ``(m, d_out, d_in)``, the bias as last column."""
    weight = gradients[f"{layer}.weight"].flatten(2)
    if f"{layer}.bias" not in gradients:
        return weight
    return torch.cat([weight, gradients[f"{layer}.bias"].unsqueeze(2)], 2)


def vec(matrices: Tensor) -> Tensor:
    """Columns stacked: ``(..., d_out, d_in)`` to ``(..., d_in · d_out)``."""
    return matrices.transpose(-1, -2).flatten(-2)


def unvec(vector: Tensor, d_out: int) -> Tensor:
    """The inverse of :func:`vec` for one matrix."""
    return vector.reshape(-1, d_out).T


def fisher_block(d: Tensor) -> Tensor:
    """``(1/m) Σ_b vec(D_b) vec(D_b)ᵀ``."""
    v = vec(d)
    return v.T @ v / len(v)


def expectation_over_targets(model: nn.Module, likelihood: Likelihood, inputs: Tensor, layer: str) -> Tensor:
    """``E_x E_y [vec(D) vec(D)ᵀ]`` for a layer, through the Jacobian of the outputs and the covariance of ∂L/∂z.

    The covariance is computed from the definition of each distribution, not from ``fisher_columns``.
    """
    outputs = model(inputs).detach()
    blocks = []
    for b in range(len(inputs)):
        rows = []
        for j in range(outputs.shape[1]):
            model.zero_grad()
            model(inputs[b : b + 1])[0, j].backward()
            module = model.get_submodule(layer)
            row = module.weight.grad.flatten(1)
            if module.bias is not None:
                row = torch.cat([row, module.bias.grad.unsqueeze(1)], 1)
            rows.append(vec(row))
        jacobian = torch.stack(rows)
        blocks.append(jacobian.T @ derivative_covariance(likelihood, outputs[b]) @ jacobian)
    model.zero_grad()
    return torch.stack(blocks).mean(0)


def derivative_covariance(likelihood: Likelihood, z: Tensor) -> Tensor:
    """``E_y[∂L/∂z ∂L/∂zᵀ]`` of one example by the definition of the distribution; ``z`` has shape ``(K,)``."""
    name = type(likelihood).__name__
    scale = 1 / len(z) if getattr(likelihood, "reduction", "sum") == "mean" else 1.0
    if name == "Categorical":
        p = torch.softmax(z, 0)
        return sum(p[k] * torch.outer(p - e, p - e) for k, e in enumerate(torch.eye(len(z), dtype=z.dtype)))
    if name == "Bernoulli":
        p = torch.sigmoid(z)
        return torch.diag(p * (1 - p)) * scale**2
    return torch.eye(len(z), dtype=z.dtype) * (2 * scale) ** 2
