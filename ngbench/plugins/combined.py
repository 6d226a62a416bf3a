"""Two optimizers that share a model's parameters between them and step as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer

from ngbench.plugins.delegating import DelegatingOptimizer

__all__ = ["CombinedOptimizer"]


class CombinedOptimizer(DelegatingOptimizer):
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
        self._share_state()

    def _share_state(self) -> None:
        self.state = defaultdict(dict)
        for part in self.parts:
            self.state.update(part.state)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As for any optimizer; a group that is added later is the first part's."""
        if len(self.param_groups) < sum(len(part.param_groups) for part in self.parts):
            super().add_param_group(param_group)  # of __init__, which only checks and copies
        else:
            self.parts[0].add_param_group(param_group)
            self._share_groups()

    def _delegate(self) -> None:
        for part in self.parts:
            part.step()
        self._share_state()

    def state_dict(self) -> dict[str, Any]:
        """As for any optimizer: the parts' parameters and groups, one part after another."""
        state: dict[Any, Any] = {}
        groups: list[dict[str, Any]] = []
        first = 0
        for part in self.parts:
            own = part.state_dict()
            state.update({first + position: value for position, value in own["state"].items()})
            for group in own["param_groups"]:
                groups.append({**group, "params": [first + position for position in group["params"]]})
            first += _parameters(own["param_groups"])
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict` of the same parts, by positions or by names of parameters.

        Raises:
            ValueError: the state is not one of these parts; nothing is changed.
        """
        if "param_groups" not in state_dict or "state" not in state_dict:
            raise ValueError("the state is not that of an optimizer, or of an older version of ngbench")
        groups = list(state_dict["param_groups"])
        if len(groups) != len(self.param_groups):
            raise ValueError(
                f"the state has {len(groups)} parameter groups, these optimizers have {len(self.param_groups)}"
            )
        states = []
        for part in self.parts:
            own, groups = groups[: len(part.param_groups)], groups[len(part.param_groups) :]
            keys = [key for group in own for key in group["params"]]
            values = {key: state_dict["state"][key] for key in keys if key in state_dict["state"]}
            states.append({"state": values, "param_groups": own})
        before = [part.state_dict() for part in self.parts]
        try:
            for part, state in zip(self.parts, states, strict=True):
                part.load_state_dict(state)
        except Exception:
            for part, state in zip(self.parts, before, strict=True):
                part.load_state_dict(state)
            raise
        finally:
            self._share_groups()


def _parameters(groups: Sequence[dict[str, Any]]) -> int:
    return sum(len(group["params"]) for group in groups)
