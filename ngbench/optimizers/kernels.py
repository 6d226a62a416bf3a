"""Which of torch's fused kernels are right on this machine, found out by asking them."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.optim.sgd import sgd

__all__ = ["fused_sgd_is_right"]

_DEVICES = ("cpu", "cuda")
"""Where torch has a fused SGD kernel in all versions that are allowed."""

_ELEMENTS = 101
"""Several vectors of the widest kernel, and a rest that fills none: kernels treat the two apart."""


@cache
def fused_sgd_is_right(device: str, dtype: torch.dtype) -> bool:
    """Whether the fused kernel of ``torch.optim.SGD`` makes the step that the operations it is made of make.

    In some versions of torch it leaves most of a parameter of low precision where it was on the CPU. The kernel is
    asked once for each pair, on a tensor of a hundred elements.

    Args:
        device: type of the device that the parameters are on, such as ``"cpu"``.
        dtype: type of their elements.
    """
    if device not in _DEVICES or not dtype.is_floating_point:
        return False
    eps = torch.finfo(dtype).eps
    return all(
        torch.allclose(made, expected, rtol=8 * eps, atol=8 * eps)
        for momentum in (0.0, 0.5)
        for made, expected in zip(
            _step(device, dtype, momentum, fused=True), _step(device, dtype, momentum, fused=False), strict=True
        )
    )


def _step(device: str, dtype: torch.dtype, momentum: float, *, fused: bool) -> list[Tensor]:
    """A parameter and, with momentum, its buffer after one step in which every element moves."""
    with torch.no_grad():
        parameter, gradient, buffer = torch.linspace(1, 4, 3 * _ELEMENTS, device=device).to(dtype).chunk(3)
        tensors = [parameter.clone(), buffer.clone()] if momentum else [parameter.clone()]
        sgd(
            tensors[:1],
            [gradient.clone()],
            list(tensors[1:]) or [None],
            fused=fused,
            foreach=False,
            weight_decay=0.5,
            momentum=momentum,
            lr=0.5,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
    return tensors
