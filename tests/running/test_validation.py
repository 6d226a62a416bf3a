from __future__ import annotations

from typing import Any

import pytest
import torch
from ngbench_tasks.accuracy import accuracy, top5_accuracy
from torch.utils._python_dispatch import TorchDispatchMode

from ngbench.running.validation import BatchMeans


def test_means_over_examples_weigh_batches_by_their_length() -> None:
    # The larger its number, the likelier a class, but for the example's own.
    logits = torch.arange(8.0) / 10 + torch.eye(8)
    means = BatchMeans([accuracy, top5_accuracy], logits.device)
    means.add(logits[:6], torch.tensor([0, 1, 2, 3, 0, 7]))
    means.add(logits[6:], torch.tensor([6, 7]))
    assert means.values() == [6 / 8, 7 / 8]


class Reads(TorchDispatchMode):
    """Counts how often a number is read from a tensor, which makes the host wait for its device."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_counting_a_batch_in_reads_no_number_from_the_device() -> None:
    means = BatchMeans([accuracy, top5_accuracy], torch.device("cpu"))
    with Reads() as reads:
        means.add(torch.randn(4, 8), torch.arange(4))
        assert reads.count == 0
        (read, _) = means.values()
    assert 0 <= read <= 1
    with Reads() as reads:
        float(torch.ones(()))
    assert reads.count == 1


def test_what_a_task_gives_as_a_plain_number_counts_too() -> None:
    means = BatchMeans([lambda outputs, targets: len(outputs)], torch.device("cpu"))  # type: ignore[list-item,return-value]
    means.add(torch.zeros(3, 1), torch.zeros(3))
    means.add(torch.zeros(1, 1), torch.zeros(1))
    assert means.values() == [pytest.approx((3 * 3 + 1) / 4)]
