"""What classifiers are measured by beside their loss: fractions of the examples of a batch."""

from __future__ import annotations

from torch import Tensor

__all__ = ["accuracy", "top5_accuracy"]


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The fraction of the examples whose class has the largest logit.

    Args:
        outputs: logits ``(m, classes)``.
        targets: classes ``(m,)``.
    """
    return (outputs.argmax(1) == targets).double().mean()


def top5_accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The fraction of the examples whose class is among the five with the largest logits; as :func:`accuracy`."""
    return (outputs.topk(5, 1).indices == targets.unsqueeze(1)).any(1).double().mean()
