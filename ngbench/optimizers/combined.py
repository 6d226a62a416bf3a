"""Two optimizers that share a model's parameters between them and step as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

import torch
from torch.optim import Optimizer

__all__ = ["CombinedOptimizer"]


class CombinedOptimizer(Optimizer):
    """Several optimizers, each on parameters of its own, as one.

    Its parameter groups are those of the parts, one after another and not copied: a scheduler that changes the learning
    rate of a group changes it in the part that owns it.

    Args:
        parts: optimizers that have no parameter in common.

    Raises:
        ValueError: there is no part, or two have a parameter in common.
    """

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        self.parts = list(parts)
        super().__init__([dict(group) for part in self.parts for group in part.param_groups], {})
        self._share_groups()

    def _share_groups(self) -> None:
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As for any optimizer; a group that is added later is the first part's."""
        if len(self.param_groups) < sum(len(part.param_groups) for part in self.parts):
            super().add_param_group(param_group)  # of __init__, which only checks and copies
        else:
            self.parts[0].add_param_group(param_group)
            self._share_groups()

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of each part, on the gradient that ``closure`` leaves if it is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The state of each part, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict` of the same parts.

        Raises:
            ValueError: the state is that of another number of parts.
        """
        states = state_dict["parts"]
        if len(states) != len(self.parts):
            raise ValueError(f"the state is that of {len(states)} optimizers, these are {len(self.parts)}")
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
        self._share_groups()
