from __future__ import annotations

import random

import numpy as np
import torch

from ngbench.running.randomness import epoch_generator, epoch_order, isolated, seeded_state

CPU = torch.device("cpu")


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_a_state_is_gone_on_from_and_the_outside_left_alone() -> None:
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    outside = [draw() for _ in range(2)]
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    assert draw() == outside[0]
    state = seeded_state(5, CPU)
    with isolated(CPU, state) as state:
        first = draw()
    with isolated(CPU, state):
        second = draw()
    with isolated(CPU, seeded_state(5, CPU)):
        assert (draw(), draw()) == (first, second)
    assert draw() == outside[1]


def test_the_outside_comes_back_after_an_error() -> None:
    before = torch.get_rng_state()
    try:
        with isolated(CPU) as after:
            torch.rand(3)
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert torch.equal(torch.get_rng_state(), before)
    assert after == {}


def test_an_order_is_a_permutation_that_depends_on_seed_and_epoch() -> None:
    orders = [epoch_order(seed, epoch, 200) for seed in (0, 1) for epoch in (1, 2)]
    assert all(torch.equal(order.sort().values, torch.arange(200)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4
    assert torch.equal(orders[0], epoch_order(0, 1, 200))


def test_streams_of_an_epoch_are_different() -> None:
    draws = {float(torch.rand((), generator=epoch_generator(0, 1, stream))) for stream in (0, 1)}
    assert len(draws) == 2
