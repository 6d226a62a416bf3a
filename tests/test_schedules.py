"""Texts of schedules and warm-ups, and the learning rate that they mean at each step."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from ngbench.errors import ParameterError
from ngbench.schedules import as_schedule, as_warmup, relative_rate

EPOCH = 10


def rates(schedule: str, warmup: str, end: int) -> list[float]:
    relative = relative_rate(schedule, warmup, epoch_steps=EPOCH, end=end)
    return [relative(step) for step in range(end)]


def torchs(scheduler: Callable[[Any], LRScheduler], steps: int) -> list[float]:
    """The rates that a scheduler of torch gives, which begins at 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    made, found = scheduler(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.step()
    return found


@settings(deadline=None)
@given(end=st.integers(2, 60), warmup=st.integers(0, 20))
def test_rates_after_the_warm_up_are_those_of_torch(end: int, warmup: int) -> None:
    after = end - warmup
    if after < 1:
        return
    expected = {
        "linear": torchs(lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=after), after),
        "cosine": torchs(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=after), after),
        "constant": [1.0] * after,
    }
    for schedule, found in expected.items():
        assert rates(schedule, str(warmup), end)[warmup:] == pytest.approx(found, abs=1e-12)


@settings(deadline=None)
@given(
    warmup=st.integers(1, 50),
    schedule=st.sampled_from(["constant", "linear", "cosine", "power:0.5", "steps:0.1@90"]),
)
def test_a_warm_up_rises_in_equal_parts_to_the_whole_rate(warmup: int, schedule: str) -> None:
    rising = rates(schedule, str(warmup), 200)[: warmup + 1]
    assert rising == pytest.approx([*((step + 1) / warmup for step in range(warmup)), rising[-1]])
    assert rising[-1] == pytest.approx(1.0 if not schedule.startswith("power") else (warmup / (warmup + 1)) ** 0.5)


@settings(deadline=None)
@given(exponent=st.floats(0.01, 3), warmup=st.integers(0, 30), step=st.integers(0, 10**6))
def test_a_power_falls_from_the_end_of_the_warm_up(exponent: float, warmup: int, step: int) -> None:
    found = relative_rate(f"power:{exponent}", str(warmup), epoch_steps=1, end=None)(step)
    first = max(1, warmup)
    expected = (step + 1) / warmup if step < warmup else ((step + 1) / first) ** -exponent
    assert found == pytest.approx(expected)


def test_steps_count_epochs_from_the_beginning_of_the_run() -> None:
    found = rates("steps:0.1@3/6/8", "1epoch", 90)
    expected = torchs(lambda o: lr_scheduler.MultiStepLR(o, [30, 60, 80], gamma=0.1), 90)
    assert found[:EPOCH] == pytest.approx([(step + 1) / EPOCH for step in range(EPOCH)])
    assert found[EPOCH:] == pytest.approx(expected[EPOCH:], rel=1e-12)
    assert rates("steps:0.5@0.25", "0", 4) == [1, 1, 0.5, 0.5]


def test_the_last_step_still_moves_and_a_warm_up_may_outlast_the_run() -> None:
    assert rates("cosine", "0", 1000)[-1] > 0
    assert rates("linear", "8", 4) == [1 / 8, 2 / 8, 3 / 8, 4 / 8]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("cosine", "cosine"),
        (" power: 0.50 ", "power:0.5"),
        ("steps:0.10@30/60/80", "steps:0.1@30/60/80"),
        ("steps:0.1@2.5", "steps:0.1@2.5"),
    ],
)
def test_a_schedule_is_written_in_one_way(text: str, meant: str) -> None:
    assert as_schedule(text) == meant == as_schedule(meant)


@pytest.mark.parametrize(
    "text",
    [
        *("", "cos", "cosine:2", "power", "power:0", "power:-1", "power:x", "power:1@2", "power:1e400", 3),
        *("steps", "steps:0.1", "steps:0.1@", "steps:2@1", "steps:0@1", "steps:0.1@0", "steps:0.1@2/1"),
        *("steps:0.1@1/1", "steps:0.1@x"),
    ],
)
def test_what_is_no_schedule_is_refused(text: Any) -> None:
    with pytest.raises(ParameterError, match=re.escape(f"schedule={text} is not allowed, it must be constant, linear")):
        as_schedule(text)


@pytest.mark.parametrize(
    ("value", "meant"),
    [(500, "500"), ("0", "0"), ("5epochs", "5epochs"), ("1 epoch", "1epochs"), ("0.5epochs", "0.5epochs")],
)
def test_a_warm_up_is_written_in_one_way(value: Any, meant: str) -> None:
    assert as_warmup(value) == meant == as_warmup(meant)


@pytest.mark.parametrize("value", ["", "-1", "1.5", "epochs", "5e", "5 steps", True, "1e400epochs", 10**10, "٣"])
def test_what_is_no_warm_up_is_refused(value: Any) -> None:
    with pytest.raises(ParameterError, match=r"warmup=.* must be steps such as 500, or epochs such as 5epochs"):
        as_warmup(value)


def test_what_falls_to_the_end_needs_one() -> None:
    for schedule in ("linear", "cosine"):
        with pytest.raises(ParameterError, match=f"schedule={schedule} is not allowed with a time limit alone"):
            relative_rate(schedule, "0", epoch_steps=1, end=None)
    assert relative_rate("steps:0.1@2", "0", epoch_steps=3, end=None)(6) == pytest.approx(0.1)
