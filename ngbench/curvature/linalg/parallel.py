"""Layer-by-layer factorisations on the CPU, one layer a thread.

Factorisations of matrices of a few hundred rows scale badly over threads, but the layers of a network are
independent: one single-threaded factorisation per core is nearly twice as fast as one multi-threaded factorisation at
a time. Matrix products do scale, and are slower this way: the threads that multiplied last still wait actively for the
next product. On other devices, and with one thread, the work runs in the calling thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import torch

__all__ = ["map_layers", "torch_threads"]

Item = TypeVar("Item")
Result = TypeVar("Result")


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        threads, thread_name_prefix="ngbench-layer", initializer=torch.set_num_threads, initargs=(1,)
    )


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """So many threads of torch's for the block, and those of before after it.

    With one, :func:`map_layers` works in the calling thread, where dispatch modes see it. After a multi-threaded
    product torch's threads wait actively for the next one, on the cores that another library or another process would
    work on: where they alternate all take several times as long.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def map_layers(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    device: torch.device,
    size: Callable[[Item], int],
) -> list[Result]:
    """``[function(item) for item in items]`` without gradients, the largest items first on several cores.

    Args:
        function: must not touch what it returns for another item.
        items: one for each layer.
        device: where the work runs; only the CPU uses threads.
        size: grows with the cost of an item; decides the order of execution.
    """

    def call(item: Item) -> Result:
        with torch.no_grad():
            return function(item)

    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or len(items) < 2:
        return [call(item) for item in items]
    order = sorted(range(len(items)), key=lambda i: -size(items[i]))
    results: list[Result | None] = [None] * len(items)
    for i, result in zip(order, _pool(threads).map(call, [items[i] for i in order]), strict=True):
        results[i] = result
    return results  # type: ignore[return-value]
