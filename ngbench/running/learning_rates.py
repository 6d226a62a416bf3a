"""The learning rates of an optimizer over a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ngbench.errors import ParameterError
from ngbench.plugins import registry
from ngbench.plugins.run_parameters import RUN_PARAMETERS
from ngbench.running.config import RunConfig
from ngbench.schedules import relative_rate

__all__ = ["LearningRates", "of_run"]


def of_run(config: RunConfig, optimizer: str, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """What runs obey, for an optimizer: what its hyper-parameters say, else what all of the run have."""
    names = [parameter.name for parameter in registry.optimizer(optimizer).of_runs]
    common = {parameter.name: getattr(config, parameter.name) for parameter in RUN_PARAMETERS}
    return common | {name: hyperparameters[name] for name in names if name in hyperparameters}


class LearningRates:
    """Sets the learning rate of each parameter group before a step, relative to the one it was made with.

    The rate depends on nothing but the number of the step, so that a run that goes on needs no state of it.

    Args:
        config: of the run.
        name: of the optimizer.
        hyperparameters: of the optimizer.
        optimizer: as it was made, before a state is loaded.

    Raises:
        ParameterError: the schedule needs an end that is not known, or the optimizer has no learning rate to set.
    """

    def __init__(
        self, config: RunConfig, name: str, hyperparameters: Mapping[str, Any], optimizer: torch.optim.Optimizer
    ) -> None:
        given = of_run(config, name, hyperparameters)
        self._optimizer = optimizer
        self._relative = relative_rate(
            given["schedule"], given["warmup"], epoch_steps=config.epoch_steps, end=config.last_step
        )
        self._own: list[float] = []
        if not self._relative.changes:
            return
        for group in optimizer.param_groups:
            rate = group.get("lr")
            if isinstance(rate, bool) or not isinstance(rate, (int, float, Tensor)):
                asked = " and ".join(f"{one}={given[one]}" for one in ("schedule", "warmup"))
                raise ParameterError(
                    f"{asked} is not allowed with optimizer {name}: a parameter group of its has no learning rate 'lr'"
                )
            self._own.append(float(rate))

    def set(self, step: int) -> None:
        """Make ready for the step, counted from 0."""
        for group, own in zip(self._optimizer.param_groups, self._own, strict=False):
            rate = own * self._relative(step)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
