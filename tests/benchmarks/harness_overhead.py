"""What the harness costs over a bare loop of the same model and optimizer, phase timing on.

    python tests/benchmarks/harness_overhead.py [--task NAME] [--optimizer NAME[:KEY=VALUE,...]] [--quadruples N]

Harness steps and bare steps alternate in one process, each on a model of its own, so that the load of the
machine hits both alike. A harness step is all that the training loop does for a step; what it does once an
epoch (collecting the marks, restoring random states, updating the record) is measured apart and added.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from scipy.stats import binom

from ngbench.arms import parse_arms
from ngbench.running.initial import initial_model, initial_optimizer
from ngbench.running.plan import Plan, make_plan
from ngbench.running.problem import DeviceData, Problem
from ngbench.running.randomness import batches, epoch_order
from ngbench.running.request import Request, RunOptions
from ngbench.running.run import OnStep, Run
from ngbench.running.supervised_training import SupervisedTraining

WARM_UP = 10
# Where a model happens to lie in memory moves its step by up to 1 %: so several pairs, made in alternating order.
PAIRS = 8
EPOCHS = 7


def median_interval(values: list[float]) -> tuple[float, float, float]:
    """The median, and between which two of the sorted values it lies at 95 % (David and Nagaraja, Order Statistics)."""
    least = int(binom.ppf(0.025, len(values), 0.5))
    ordered = sorted(values)
    return statistics.median(ordered), ordered[least - 1], ordered[len(values) - least]


def without_validation(problem: Problem) -> Problem:
    """The clock is stopped in evaluations, so they are no part of the comparison."""
    data = problem.data
    empty = replace(data, validation_inputs=data.validation_inputs[:0], validation_targets=data.validation_targets[:0])
    return replace(problem, data=empty)


def harness_steps(run: Run) -> Iterator[None]:
    """One step at a time, from a run whose turns are of one step."""
    while True:
        epoch = run._begin_epoch()
        while not epoch.over:
            run._take_steps(epoch, None)
            yield


def bare_steps(plan: Plan, problem: Problem) -> Iterator[None]:
    config = plan.groups[0][0].config
    device, dtype = plan.device, getattr(torch, config.dtype)
    data = DeviceData.of(problem.data, device, dtype)
    model = initial_model(problem, config.seed, device, dtype).train()
    optimizer = initial_optimizer(problem.task, model, config.optimizer, config.hyperparameters)
    likelihood = problem.task.likelihood
    order = epoch_order(config.seed, 1, len(data.train_inputs)).to(device)
    while True:
        for index in batches(order, config.batch_size):
            inputs = data.train_inputs.index_select(0, index)
            same = data.train_targets is data.train_inputs
            targets = inputs if same else data.train_targets.index_select(0, index)
            optimizer.zero_grad()
            loss = likelihood.loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
            yield


def timed(action: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


class StepTimedRun(Run):
    """Knows how long the steps of its last epoch took, the loop around them included."""

    def _take_steps(self, epoch: Any, on_step: OnStep | None) -> None:
        start = time.perf_counter()
        super()._take_steps(epoch, on_step)
        self.seconds_in_steps = time.perf_counter() - start
        self.steps = epoch.taken


def once_an_epoch(run: StepTimedRun) -> tuple[float, int]:
    """Seconds of an epoch outside its steps, the median of some epochs, and how many steps it has."""
    outside = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        run.epoch()
        outside.append(time.perf_counter() - start - run.seconds_in_steps)
    return statistics.median(outside), run.steps


def one_pair(plan: Plan, problem: Problem, quadruples: int, *, harness_first: bool) -> list[tuple[float, float]]:
    """Seconds of a harness step and of a bare one, in turns, each on a model that was made for this."""

    def make_harness() -> Iterator[None]:
        planned = plan.groups[0][0]
        run = Run(SupervisedTraining(replace(planned.config, turn_steps=1), problem), planned.record)
        run.prepare()
        return harness_steps(run)

    if harness_first:
        harness, bare = make_harness(), bare_steps(plan, problem)
        next(bare)
    else:
        bare = bare_steps(plan, problem)
        next(bare)
        harness = make_harness()
    found = []
    for quadruple in range(WARM_UP + quadruples):
        # The model that went last is in the caches, and ABBA gives each that advantage once.
        seconds = {harness: 0.0, bare: 0.0}
        for stepper in (harness, bare, bare, harness):
            seconds[stepper] += timed(lambda stepper=stepper: next(stepper), plan.device) / 2
        if quadruple >= WARM_UP:
            found.append((seconds[harness], seconds[bare]))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="curves-autoencoder")
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--quadruples", type=int, default=500, help="groups of two harness and two bare steps")
    arguments = parser.parse_args()
    plan = make_plan(
        Request(
            task=arguments.task,
            arms=parse_arms([arguments.optimizer]),
            options=RunOptions(
                batch_size=arguments.batch_size,
                device=arguments.device,
                threads=arguments.threads,
                epochs=10**9,
            ),
        )
    )
    problem = without_validation(plan.problem)
    planned = plan.groups[0][0]
    run = StepTimedRun(SupervisedTraining(replace(planned.config, turn_steps=None), problem), planned.record)
    run.prepare()
    outside, steps = once_an_epoch(run)
    differences, bare_seconds = [], []
    for pair in range(PAIRS):
        found = one_pair(plan, problem, arguments.quadruples // PAIRS, harness_first=pair % 2 == 0)
        differences += [harness - bare for harness, bare in found]
        bare_seconds += [bare for _, bare in found]
    unit, per_epoch = statistics.median(bare_seconds), outside / steps
    difference = median_interval(differences)
    total, low, high = (100 * (value + per_epoch) / unit for value in difference)
    print(
        f"{arguments.task}, {arguments.optimizer}, {plan.device}, {plan.threads} threads, {len(differences)} quadruples"
    )
    print(f"bare step                  {1e3 * unit:9.3f} ms (median)")
    print(
        f"harness step − bare step   {1e6 * difference[0]:9.1f} µs "
        f"({1e6 * difference[1]:.1f} to {1e6 * difference[2]:.1f}, 95 % interval of the median)"
    )
    print(f"work once an epoch         {1e6 * per_epoch:9.1f} µs a step ({1e3 * outside:.2f} ms / {steps} steps)")
    print(f"harness overhead           {total:9.2f} %  ({low:.2f} to {high:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
