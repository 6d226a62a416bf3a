"""The validation loss and a task's metrics, on validation data and on the batches of training, the clock stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ngbench.running.problem import DeviceData
from ngbench.task import Task

__all__ = ["BatchMeans", "evaluate"]


class BatchMeans:
    """Means over examples that come in batches. They stay on the device until they are asked for.

    Args:
        functions: of (outputs, targets); each gives its mean over the batch, a scalar.
        device: of the outputs.
    """

    def __init__(self, functions: Sequence[Callable[[Tensor, Tensor], Tensor]], device: torch.device) -> None:
        self._functions = functions
        self._sums = torch.zeros(len(functions), dtype=torch.float64, device=device)
        self._examples = 0

    @torch.no_grad()
    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Count a batch in, of as many examples as ``targets`` ``(m, ...)``."""
        values = [torch.as_tensor(function(outputs, targets)) for function in self._functions]
        self._sums += len(targets) * torch.stack([value.to(self._sums) for value in values])
        self._examples += len(targets)

    def values(self) -> list[float]:
        """The means over all examples that were counted in, one of each function; waits for the device."""
        means: list[float] = (self._sums / self._examples).tolist()
        return means


@torch.no_grad()
def evaluate(
    task: Task, model: nn.Module, data: DeviceData, batch_size: int
) -> tuple[float | None, dict[str, float | None]]:
    """Mean loss and mean metrics over the validation examples; ``None`` where there are no examples.

    The model is left in evaluation mode.
    """
    examples = len(data.validation_inputs)
    if not examples:
        return None, dict.fromkeys(task.metrics)
    model.eval()
    means = BatchMeans([task.likelihood.loss, *task.metrics.values()], data.validation_targets.device)
    for start in range(0, examples, batch_size):
        inputs = data.validation_inputs[start : start + batch_size]
        targets = data.validation_targets[start : start + batch_size]
        means.add(model(inputs), targets)
    loss, *metrics = means.values()
    return loss, dict(zip(task.metrics, metrics, strict=True))
