"""The random numbers of a run: its data order, and the state of the generators that it shares with its process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["RandomState", "batches", "epoch_generator", "epoch_order", "isolated", "seeded_state"]

RandomState = dict[str, Any]


def _capture(device: torch.device) -> RandomState:
    """The state of all global generators, as values that a checkpoint can hold without pickled classes."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state: RandomState = {
        "python": [version, list(words), gauss],
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _restore(state: RandomState, device: torch.device) -> None:
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


@contextmanager
def isolated(device: torch.device, state: RandomState | None = None) -> Iterator[RandomState]:
    """Run the block with the global generators in ``state``, and put back what they were.

    Yields:
        A dictionary that holds the generators' new state once the block has ended without an error.
    """
    outside = _capture(device)
    after: RandomState = {}
    try:
        if state is not None:
            _restore(state, device)
        yield after
        after.update(_capture(device))
    finally:
        _restore(outside, device)


def seeded_state(seed: int, device: torch.device) -> RandomState:
    """The state of all global generators that follows from ``seed``."""
    with isolated(device) as state:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
    return state


def epoch_generator(seed: int, epoch: int, stream: int = 0) -> torch.Generator:
    """A generator for one epoch of a run: the same for all arms, independent between epochs and streams."""
    words = np.random.SeedSequence([seed, epoch, stream]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0]) & (2**63 - 1))


def epoch_order(seed: int, epoch: int, examples: int) -> torch.Tensor:
    """The order in which ``epoch`` of any run with this seed visits the examples: a permutation ``(n,)``."""
    return torch.randperm(examples, generator=epoch_generator(seed, epoch))


def batches(order: torch.Tensor, size: int) -> list[torch.Tensor]:
    """``order`` in parts of ``size``; the last one may be smaller."""
    return list(torch.split(order, size))
