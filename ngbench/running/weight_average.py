"""An exponential average of a network's weights, by which it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel

from ngbench.errors import ParameterError
from ngbench.plugins.protocol import measured
from ngbench.running.config import RunConfig
from ngbench.running.learning_rates import of_run
from ngbench.spelling import spelled

__all__ = ["refuse_two_averages", "weight_average"]


def weight_average(
    config: RunConfig, name: str, hyperparameters: Mapping[str, Any], network: nn.Module
) -> AveragedModel | None:
    """The average that is kept of the network beside an optimizer called ``name``; ``None`` if none is asked for.

    After step t it is ``θ̄ₜ = d θ̄ₜ₋₁ + (1 − d) θₜ``, beginning with ``θ̄₁ = θ₁``. Numbers of buffers, such as the
    statistics of batch norm, are averaged in the same way; those of another type are the network's.

    Args:
        config: of the run.
        name: of the optimizer.
        hyperparameters: of the optimizer.
        network: before an optimizer attaches anything to it, since the average is a copy.

    Raises:
        ParameterError: there is no average of such numbers.
    """
    decay = of_run(config, name, hyperparameters)["average"]
    if decay is None:
        return None
    if config.dtype == "bfloat16":
        raise ParameterError(
            f"average={decay} is not allowed with dtype=bfloat16, whose rounding is larger than what a step adds: use "
            "float32 or float64"
        )
    for buffer, values in network.named_buffers():
        if values.is_floating_point() and not values.isfinite().all():
            raise ParameterError(
                f"average={decay} is not allowed with this task: the buffer {buffer} of its network is not finite, so "
                "that it has no average"
            )

    def move(averages: PARAM_LIST, now: PARAM_LIST, updates: Any) -> None:
        # What torch has for this would round integers down, such as the indices of an embedding.
        if averages[0].is_floating_point() or averages[0].is_complex():
            torch._foreach_lerp_(averages, now, 1 - decay)
        else:
            torch._foreach_copy_(averages, now)

    average = AveragedModel(network, multi_avg_fn=move, use_buffers=True)
    return average.requires_grad_(False)


def refuse_two_averages(average: AveragedModel | None, name: str, optimizer: torch.optim.Optimizer) -> None:
    """Refuse an average beside an optimizer that has weights to judge by itself.

    Raises:
        ParameterError: it has.
    """
    if average is not None and measured(optimizer).has_modes:
        raise ParameterError(
            f"{spelled('average')} is not allowed with optimizer {name}, which has weights of its own to judge by"
        )
