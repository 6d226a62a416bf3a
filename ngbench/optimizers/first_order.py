"""First-order optimizers: the ones of ``torch.optim``, with this tool's names and bounds.

The update rules and their references are in the documentation of the ``torch.optim`` classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ngbench.curvature.bounds import Fraction, NonNegative, Positive, checked
from ngbench.errors import ParameterError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ngbench.task import Task

__all__ = ["adagrad", "adam", "rmsprop", "sgd"]


@checked
def sgd(
    model: nn.Module,
    task: Task,
    *,
    lr: Positive = 0.01,
    momentum: Fraction = 0.9,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum, optionally Nesterov's.

    Args:
        lr: learning rate.
        momentum: β, what is kept of the previous update: v ← βv + ∇h, as in torch. (2.15) has (1 − β)∇h, so that this
            lr is its learning rate times 1 − β.
        nesterov: evaluate the momentum one step ahead; needs momentum > 0.
        weight_decay: factor of the weights that is added to the gradient.
    """
    from torch.optim import SGD

    if nesterov and momentum == 0:
        raise ParameterError("optimizer sgd: nesterov=true is not allowed with momentum=0, it needs momentum > 0")
    return SGD(model.parameters(), lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


@checked
def adagrad(
    model: nn.Module,
    task: Task,
    *,
    lr: Positive = 0.01,
    lr_decay: NonNegative = 0.0,
    initial_accumulator: NonNegative = 0.0,
    eps: Positive = 1e-10,
    weight_decay: NonNegative = 0.0,
) -> torch.optim.Optimizer:
    """Adagrad: steps divided by the root of the sum of all squared gradients.

    Args:
        lr: learning rate.
        lr_decay: the learning rate of step t (from 0) is lr / (1 + t * lr_decay).
        initial_accumulator: where the sum of squared gradients starts.
        eps: added to the root.
        weight_decay: factor of the weights that is added to the gradient.
    """
    from torch.optim import Adagrad

    from ngbench.optimizers.single_precision import in_single_precision

    return in_single_precision(
        Adagrad,
        model.parameters(),
        lr=lr,
        lr_decay=lr_decay,
        initial_accumulator_value=initial_accumulator,
        eps=eps,
        weight_decay=weight_decay,
    )


@checked
def rmsprop(
    model: nn.Module,
    task: Task,
    *,
    lr: Positive = 0.001,
    alpha: Fraction = 0.99,
    momentum: Fraction = 0.0,
    centered: bool = False,
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.0,
) -> torch.optim.Optimizer:
    """RMSprop: steps divided by the root of a running average of the squared gradients.

    Args:
        lr: learning rate.
        alpha: what the running average keeps at each step.
        momentum: what is kept of the previous update.
        centered: divide by the estimated standard deviation instead.
        eps: added to the root.
        weight_decay: factor of the weights that is added to the gradient.
    """
    from torch.optim import RMSprop

    from ngbench.optimizers.single_precision import in_single_precision

    return in_single_precision(
        RMSprop,
        model.parameters(),
        lr=lr,
        alpha=alpha,
        momentum=momentum,
        centered=centered,
        eps=eps,
        weight_decay=weight_decay,
    )


@checked
def adam(
    model: nn.Module,
    task: Task,
    *,
    lr: Positive = 0.001,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    amsgrad: bool = False,
    weight_decay: NonNegative = 0.0,
) -> torch.optim.Optimizer:
    """Adam: momentum divided by the root of a running average of the squared gradients.

    Args:
        lr: learning rate.
        beta1: what the running average of the gradients keeps at each step.
        beta2: what the running average of the squared gradients keeps at each step.
        eps: added to the root.
        amsgrad: divide by the largest running average so far.
        weight_decay: factor of the weights that is added to the gradient.
    """
    from torch.optim import Adam

    from ngbench.optimizers.single_precision import in_single_precision

    return in_single_precision(
        Adam,
        model.parameters(),
        lr=lr,
        betas=(float(beta1), float(beta2)),
        eps=eps,
        amsgrad=amsgrad,
        weight_decay=weight_decay,
    )
