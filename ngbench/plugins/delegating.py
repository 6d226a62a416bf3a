"""Optimizers whose steps others make."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import overload

import torch
from torch.optim import Optimizer

__all__ = ["DelegatingOptimizer"]


class DelegatingOptimizer(Optimizer):
    """An optimizer that has other optimizers make its steps, each on gradients that are there."""

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step, on the gradient that ``closure`` leaves if it is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._delegate()
        return loss

    @abstractmethod
    def _delegate(self) -> None:
        """Have the others make their steps."""
