"""Predictive distributions: the loss, a sample of targets, and the output Hessian of each.

A model outputs the natural parameters ``z`` of a distribution of the target (logits of a Bernoulli or
categorical, mean of a unit-variance normal). The per-example training loss is ``L = s · NLL(z, y)``, where the
scale ``s`` is the task's own reduction over outputs: 1 for a sum, 1/D for a mean over D outputs (2/D and 2 for
the squared error, whose NLL carries a factor 1/2). Sampling targets from the model's own distribution gives the
Fisher matrix (2.84); ``fisher_columns`` gives its expectation over targets in closed form, which is ``s`` times
the generalised Gauss-Newton matrix of ``L`` (Theorem 2.1 states the case ``s = 1``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Bernoulli", "Categorical", "Gaussian", "Likelihood"]

Reduction = Literal["mean", "sum"]


class Likelihood(ABC):
    """The predictive distribution of a model, with the loss that is its scaled negative log-likelihood."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over the batch of the per-example losses: a scalar."""
        return self.per_example_loss(outputs, targets).mean()

    @abstractmethod
    def per_example_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss ``L`` of each example: shape ``(m,)``."""

    @abstractmethod
    def sample(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Targets drawn from the predictive distribution, one for each example."""

    @abstractmethod
    def output_derivative(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """``∂L_b/∂z_b`` for each example: same shape as ``outputs``."""

    def sampled_derivative(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """:meth:`output_derivative` at targets from :meth:`sample`."""
        return self.output_derivative(outputs, self.sample(outputs, generator))

    @abstractmethod
    def fisher_columns(self, outputs: Tensor) -> Tensor:
        """Columns whose outer products sum to ``E_y[∇_z L ∇_z Lᵀ]`` for each example.

        Returns:
            Shape ``(C, *outputs.shape)``, where ``C`` is the number of outputs of one example.
        """


def _check_reduction(reduction: str) -> None:
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r} is not one of 'mean', 'sum'")


def _diagonal_columns(diagonal: Tensor) -> Tensor:
    """Columns of the diagonal matrices given by ``diagonal`` ``(m, ...)``: shape ``(D, m, ...)``."""
    flat = diagonal.flatten(1)
    return torch.diag_embed(flat).permute(2, 0, 1).reshape(flat.shape[1], *diagonal.shape)


def _successes(p: Tensor, generator: torch.Generator | None) -> Tensor:
    """1 where a trial of probability ``p`` succeeds, else 0: of the shape of ``p``."""
    # On the CPU draws are made one after another, so four trials share one of 64 bits. What 16 bits cannot resolve is
    # rounded up or down by a draw that all trials share, which makes each probability exact and the covariance of two
    # trials less than 2⁻³³. Unlike torch.bernoulli, a comparison lets a NaN pass on to the derivative instead of
    # stopping the device.
    draws = torch.empty((p.numel() + 3) // 4, dtype=torch.int64, device=p.device)
    bits = draws.random_(-(2**63), None, generator=generator).view(torch.int16)[: p.numel()].view_as(p)
    p = p.to(torch.promote_types(p.dtype, torch.float32))
    rounding = torch.rand((), generator=generator, dtype=p.dtype, device=p.device)
    return torch.add(rounding, p, alpha=2**16).floor_().sub_(2**15).gt_(bits)


class Bernoulli(Likelihood):
    """Independent Bernoulli targets in [0, 1]; outputs are logits; the loss is the binary cross-entropy.

    Args:
        reduction: over the outputs of one example.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        _check_reduction(reduction)
        self.reduction = reduction

    def _scale(self, outputs: Tensor) -> float:
        return 1 / outputs[0].numel() if self.reduction == "mean" else 1.0

    def per_example_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        losses = F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
        return losses.flatten(1).sum(1) * self._scale(outputs)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.reduction == "mean":
            return F.binary_cross_entropy_with_logits(outputs, targets)
        return super().loss(outputs, targets)

    def sample(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return _successes(torch.sigmoid(outputs), generator).to(outputs.dtype)

    def output_derivative(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (torch.sigmoid(outputs) - targets).mul_(self._scale(outputs))

    def sampled_derivative(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        p = torch.sigmoid(outputs)
        return p.sub_(_successes(p, generator)).mul_(self._scale(outputs))

    def fisher_columns(self, outputs: Tensor) -> Tensor:
        p = torch.sigmoid(outputs)
        return _diagonal_columns((p * (1 - p)).sqrt() * self._scale(outputs))


class Categorical(Likelihood):
    """A class in ``0..K-1``; outputs are logits ``(m, K)``; the loss is the cross-entropy (no reduction: s = 1)."""

    def per_example_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="none")

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets)

    def sample(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        # The smallest of exponential waiting times with rates p falls on class k with probability p_k; unlike
        # torch.multinomial this lets a NaN pass on to the derivative instead of stopping the device.
        waiting = torch.empty_like(outputs).exponential_(generator=generator)
        return (torch.softmax(outputs, 1) / waiting).argmax(1)

    def output_derivative(self, outputs: Tensor, targets: Tensor) -> Tensor:
        derivative = torch.softmax(outputs, 1)
        derivative[torch.arange(len(targets), device=targets.device), targets] -= 1
        return derivative

    def fisher_columns(self, outputs: Tensor) -> Tensor:
        # diag(p) − p pᵀ = S Sᵀ with S = diag(√p) − p √pᵀ, because Σ p = 1.
        p = torch.softmax(outputs, 1)
        root = p.sqrt()
        return (torch.diag_embed(root) - p.unsqueeze(2) * root.unsqueeze(1)).permute(2, 0, 1)


class Gaussian(Likelihood):
    """Unit-variance normal targets; outputs are the mean; the loss is the squared error ``‖z − y‖²``.

    Args:
        reduction: over the outputs of one example.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        _check_reduction(reduction)
        self.reduction = reduction

    def _scale(self, outputs: Tensor) -> float:
        return 2 / outputs[0].numel() if self.reduction == "mean" else 2.0

    def per_example_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().flatten(1).sum(1) * (self._scale(outputs) / 2)

    def sample(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.empty_like(outputs).normal_(generator=generator)
        return outputs + noise

    def output_derivative(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).mul_(self._scale(outputs))

    def fisher_columns(self, outputs: Tensor) -> Tensor:
        return _diagonal_columns(torch.full_like(outputs, self._scale(outputs)))
