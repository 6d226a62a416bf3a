"""Parameter groups: hyper-parameters where schedulers and loops look for them, and the update with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.optim import Optimizer
from torch.optim.sgd import sgd

from ngbench.curvature.bounds import Fraction, Interval, NonNegative, Positive, check
from ngbench.optimizers.kernels import fused_sgd_is_right

__all__ = ["SHARED", "SharedGroups", "check_group"]

# Hyper-parameters that each group may have for itself, and those of the whole optimizer.
_OF_A_GROUP = {"lr": NonNegative, "momentum": Fraction, "weight_decay": NonNegative}
SHARED = {"kl_clip": Positive | None, "curvature_interval": Interval, "inverse_interval": Interval}


def check_group(group: Mapping[str, Any]) -> None:
    """Refuse a parameter group with hyper-parameters that are out of range.

    Raises:
        ValueError: it names the first.
    """
    for name, annotation in {**_OF_A_GROUP, **SHARED}.items():
        if name in group:
            check(name, group[name], annotation)


class SharedGroups(Optimizer):
    """Descent with momentum along given directions, with hyper-parameters that are the same in all groups."""

    def _trained(self) -> list[nn.Parameter]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    @property
    def kl_clip(self) -> float | None:
        """c of the KL clipping, as the parameter groups have it."""
        return cast("float | None", self._shared("kl_clip"))

    @property
    def curvature_interval(self) -> Interval:
        """T₁, as the parameter groups have it."""
        return cast("Interval", self._shared("curvature_interval"))

    @property
    def inverse_interval(self) -> Interval:
        """T₂, as the parameter groups have it."""
        return cast("Interval", self._shared("inverse_interval"))

    def _share(self, values: Mapping[str, Any]) -> None:
        """Put hyper-parameters of the whole optimizer into every group that has no value of its own."""
        self.defaults.update(values)
        for group in self.param_groups:
            for name, value in values.items():
                group.setdefault(name, value)

    def _shared(self, name: str) -> Any:
        value, *others = [group[name] for group in self.param_groups]
        if any(other != value for other in others):
            shown = ", ".join(str(one) for one in (value, *others))
            raise ValueError(f"{name} differs between parameter groups ({shown}), it must be the same in all of them")
        if name in SHARED:
            check(name, value, SHARED[name])
        return value

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As for any optimizer; what all groups share is by default what the first one has.

        Raises:
            ValueError: a hyper-parameter of the group is out of range.
        """
        check_group(param_group)
        if self.param_groups:
            first = self.param_groups[0]
            shared = {key: first[key] for key in self.defaults if key not in _OF_A_GROUP and key in first}
            param_group = {**shared, **param_group}
        super().add_param_group(param_group)

    def _update(self, directions: Mapping[Tensor, Tensor]) -> None:
        for group in self.param_groups:
            found = [
                (parameter, move)
                for parameter in group["params"]
                if (move := directions.get(parameter, parameter.grad)) is not None
            ]
            if not found:
                continue
            parameters = [parameter for parameter, _ in found]
            moves = [move for _, move in found]
            # The fused kernel has the least memory traffic, and takes all tensors for contiguous.
            fused = all(t.is_contiguous() and fused_sgd_is_right(t.device.type, t.dtype) for t in (*parameters, *moves))
            sgd(
                parameters,
                moves,
                self._momentum_buffers(parameters, group["momentum"]),
                fused=fused,
                foreach=not fused,
                weight_decay=group["weight_decay"],
                momentum=group["momentum"],
                lr=group["lr"],
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
            # The fused kernel does not tell autograd that it wrote to them.
            increment_version(parameters)

    def _momentum_buffers(self, parameters: list[Tensor], momentum: float) -> list[Tensor | None]:
        if not momentum:
            return [None] * len(parameters)
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return [self.state[parameter]["momentum_buffer"] for parameter in parameters]
