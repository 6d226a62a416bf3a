"""The validation loss and a task's metrics, with the clock stopped."""

from __future__ import annotations

import torch
from torch import nn

from ngbench.task import Task
from ngbench.training.problem import DeviceData

__all__ = ["Evaluation", "evaluate"]

Evaluation = tuple[float | None, dict[str, float | None]]


@torch.no_grad()
def evaluate(task: Task, model: nn.Module, data: DeviceData, batch_size: int) -> Evaluation:
    """Mean loss and mean metrics over the validation examples; ``None`` where there are no examples.

    The model is left in evaluation mode.
    """
    functions = {"loss": task.likelihood.loss, **{f"metric {n}": f for n, f in task.metrics.items()}}
    examples = len(data.validation_inputs)
    if not examples:
        return None, dict.fromkeys(task.metrics)
    model.eval()
    sums = torch.zeros(len(functions), dtype=torch.float64, device=data.validation_targets.device)
    for start in range(0, examples, batch_size):
        inputs = data.validation_inputs[start : start + batch_size]
        targets = data.validation_targets[start : start + batch_size]
        outputs = model(inputs)
        values = [torch.as_tensor(function(outputs, targets)) for function in functions.values()]
        sums += len(inputs) * torch.stack([value.to(sums) for value in values])
    loss, *metrics = (sums / examples).tolist()
    return loss, dict(zip(task.metrics, metrics, strict=True))
