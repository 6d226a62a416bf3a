"""Steps in float32 on parameters of float16, whose range is too small for squares of gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ngbench.curvature.linalg.precision import in_dtype, statistics_dtype
from ngbench.plugins.delegating import DelegatingOptimizer

__all__ = ["in_single_precision"]


def in_single_precision(make: Callable[..., Optimizer], parameters: Iterable[Tensor], **options: Any) -> Optimizer:
    """``make(parameters, **options)``, with steps in float32 where parameters are of float16.

    Args:
        make: an optimizer's class that divides by squares of gradients: below 2.4e-4 they are zero in float16, and so
            is an ``eps`` of 1e-8, so that its step would be NaN.
        parameters: to train.
        options: of the optimizer.
    """
    trained = list(parameters)
    if any(parameter.dtype == torch.float16 for parameter in trained):
        return SinglePrecision(make, trained, **options)
    return make(trained, **options)


class SinglePrecision(DelegatingOptimizer):
    """Another optimizer, whose state and step are in float32 and whose parameters are rounded after each step.

    Its state is that of the other one, which can be loaded for float32 parameters, and theirs here.
    """

    def __init__(self, make: Callable[..., Optimizer], parameters: list[Tensor], **options: Any) -> None:
        self._copies = [in_dtype(parameter.detach(), statistics_dtype(parameter.dtype)) for parameter in parameters]
        self._inner = make(self._copies, **options)
        super().__init__(parameters, self._inner.defaults)
        self.state = self._inner.state

    def _delegate(self) -> None:
        self._set_options(self.param_groups, self._inner.param_groups)
        pairs = list(zip(self.param_groups[0]["params"], self._copies, strict=True))
        for parameter, copy in pairs:
            copy.copy_(parameter)
            copy.grad = None if parameter.grad is None else in_dtype(parameter.grad, copy.dtype)
        self._inner.step()
        for parameter, copy in pairs:
            if copy.grad is not None:
                parameter.copy_(copy)
                copy.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The state of the optimizer that makes the steps."""
        self._set_options(self.param_groups, self._inner.param_groups)
        return self._inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict` of this or of the other optimizer."""
        self._inner.load_state_dict(state_dict)
        self.state = self._inner.state
        self._set_options(self._inner.param_groups, self.param_groups)

    @staticmethod
    def _set_options(source: list[dict[str, Any]], target: list[dict[str, Any]]) -> None:
        for group, other in zip(source, target, strict=True):
            other.update({name: value for name, value in group.items() if name != "params"})
