"""How often ``ngbench check`` is wrong: false alarms between equal runs, and slow-downs that it misses.

    python tests/benchmarks/gate_noise.py            # 200 equal pairs, 50 of each slow-down: some hours
    python tests/benchmarks/gate_noise.py --quick    # a tenth of it

Each comparison is between two documents, and each document is made here by processes of its own, as ``ngbench compare
--restarts 5`` makes them: SGD and KFAC on a small auto-encoder of curves, taking turns of a few steps. A document is
compared with the one before it, which gives the rate of false alarms under ``step_time.ratio:1%``, at most 1 %. Between
them are documents whose KFAC takes 5 % or 3 % longer for a step, all of it in one phase: at least 95 % of those of 5 %
must be caught. How many of those of 3 % are is said, and how often the phase was named.

The slow-down is time burnt inside the phase. All kinds of documents are mixed in time, so that the machine's moods hit
all. The exit code is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from ngbench.arms import parse_arms
from ngbench.experiments.gate_rules import DEFAULT_ABSOLUTE_FLOOR
from ngbench.experiments.runs import SilentObserver
from ngbench.records.environment import describe_environment
from ngbench.records.experiments import ComparedRecord, Verdict
from ngbench.records.gate import check
from ngbench.records.record import Document, RunRecord
from ngbench.records.statistics import GATE_CONFIDENCE
from ngbench.records.thresholds import parse_seconds, parse_threshold
from ngbench.running.config import RunConfig
from ngbench.running.plan import Plan, make_plan
from ngbench.running.problem import Problem, load_problem
from ngbench.running.request import Request, RunOptions
from ngbench.running.run import Run
from ngbench.running.schedule import execute
from ngbench.running.supervised_training import SupervisedTraining
from ngbench.running.workers import ProcessWorker, Start

REFERENCE, ARM = "sgd", "kfac"
OPTIMIZERS = [REFERENCE, f"{ARM}@kfac:curvature_interval=10,inverse_interval=10"]
WIDTHS = (196, 100, 30, 100, 196)
EXAMPLES, BATCH_SIZE = 2048, 64
FLOOR = parse_seconds("--absolute-floor", DEFAULT_ABSOLUTE_FLOOR)
RULE, EQUAL = "step_time.ratio:1%", "equal"
SLOW_DOWNS = (0.05, 0.03)
MOST_ALARMS, LEAST_CAUGHT = 0.01, 0.95


def small_problem(problem: Problem) -> Problem:
    """The curves at half their resolution, and a network of one tenth of the size."""

    def shrink(images: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(images.reshape(-1, 1, 28, 28), 2).reshape(-1, WIDTHS[0])

    def model() -> nn.Module:
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(WIDTHS):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    train, validation = shrink(problem.data.train_inputs), shrink(problem.data.validation_inputs)[:BATCH_SIZE]
    data = replace(
        problem.data,
        train_inputs=train,
        train_targets=train,
        validation_inputs=validation,
        validation_targets=validation,
    )
    return replace(problem, data=data, task=replace(problem.task, model=model))


class Burning:
    """The phase context of an optimizer that burns time at the end of one phase, once a step.

    Args:
        recorder: the phase context to burn in.
        phase: the phase's name.
        share: how much to burn, as a part of what the step took until then.
    """

    def __init__(self, recorder: Any, phase: str, share: float) -> None:
        self._recorder, self._phase, self._share = recorder, phase, share
        self._started = 0.0

    def __call__(self, name: str) -> Any:
        return self._burn() if name == self._phase else self._recorder(name)

    def step_started(self, now: float) -> None:
        self._started = now

    @contextmanager
    def _burn(self) -> Iterator[None]:
        with self._recorder(self._phase):
            yield
            now = time.perf_counter()
            until = now + self._share * (now - self._started)
            while time.perf_counter() < until:
                pass


class BurningTraining(SupervisedTraining):
    """Its optimizer burns time."""

    make_burning: Callable[[Any], Burning]

    def build_optimizers(self, recorder: Any) -> None:
        super().build_optimizers(recorder)
        self._burning = self.make_burning(recorder)
        self.told[""].report_to(self._burning)

    def step(self, taken: int) -> Sequence[torch.Tensor]:
        self._burning.step_started(time.perf_counter())
        return super().step(taken)


@dataclass(frozen=True)
class Starter:
    """Starts runs in a process; with a slow-down their optimizers burn time in the phase."""

    phase: str
    slow_down: float

    def __call__(self) -> Start:
        def start(config: RunConfig, record: RunRecord) -> Run:
            problem = small_problem(load_problem(config.task, config.task_options, config.data_dir))
            if not self.slow_down:
                return Run(SupervisedTraining(config, problem), record)
            training = BurningTraining(config, problem)
            training.make_burning = lambda recorder: Burning(recorder, self.phase, self.slow_down)
            return Run(training, record)

        return start


class Study:
    """Makes documents, and counts what ``check`` says of them."""

    def __init__(self, plan: Plan[Problem], phase: str, restarts: int) -> None:
        self._plan, self._phase, self._restarts = plan, phase, restarts
        self._environment = describe_environment()
        self.verdicts: dict[str, Counter[str]] = {}
        self.named = 0
        self.covered: list[bool] = []
        self.half_widths: list[float] = []

    def document(self, slow_down: float = 0.0) -> Document:
        """By processes of its own."""
        workers = {
            run.config.label: ProcessWorker(
                Starter(self._phase, slow_down if run.config.label == ARM else 0.0), fresh=True
            )
            for run in self._plan.groups[0]
        }
        records, interrupted = execute(self._plan.groups, workers, SilentObserver(), processes=self._restarts)
        if interrupted:
            raise KeyboardInterrupt
        assert all(record.status == "done" for record in records), [record.message for record in records]
        assert all(len(record.processes) == self._restarts for record in records)
        return Document(environment=self._environment, runs=records)

    def compare(self, what: str, baseline: Document, current: Document) -> ComparedRecord:
        report = check(current, baseline, [parse_threshold(RULE)], floor=FLOOR, reference=REFERENCE)
        assert not report.not_comparable, report.not_comparable
        (change,) = report.comparisons
        self.verdicts.setdefault(what, Counter())[change.verdict.value] += 1
        return change

    def equal(self, baseline: Document, current: Document) -> None:
        change = self.compare(EQUAL, baseline, current)
        assert change.low is not None
        assert change.high is not None
        assert change.baseline is not None
        self.covered.append(change.low <= 0 <= change.high)
        self.half_widths.append((change.high - change.low) / 2 / change.baseline)

    def slower(self, slow_down: float, baseline: Document) -> None:
        change = self.compare(name_of(slow_down), baseline, self.document(slow_down))
        self.named += change.verdict is Verdict.WORSE and f"{self._phase} changed most" in (change.note or "")

    def targets(self) -> dict[str, bool]:
        """Each target in words, with its figure, and whether it was met."""
        equal, caught = (self.verdicts.get(what, Counter()) for what in (EQUAL, name_of(SLOW_DOWNS[0])))
        alarms, pairs = equal["worse"], sum(equal.values())
        return {
            f"false alarms: {alarms} of {pairs}": alarms <= MOST_ALARMS * pairs,
            f"{name_of(SLOW_DOWNS[0])} caught: {caught['worse']} of {sum(caught.values())}": caught["worse"]
            >= LEAST_CAUGHT * sum(caught.values()),
        }

    def describe(self) -> str:
        lines = []
        for what, counts in self.verdicts.items():
            shown = ", ".join(f"{counts[verdict.value]} {verdict.value}" for verdict in Verdict)
            lines.append(f"{what:14s} {sum(counts.values()):4d}: {shown}")
        if self.covered:
            half_widths = sorted(self.half_widths)
            share = 100 * sum(self.covered) / len(self.covered)
            middle, ninth = (100 * half_widths[len(half_widths) * tenths // 10] for tenths in (5, 9))
            lines += [
                f"{100 * GATE_CONFIDENCE:.0f} % intervals of equal pairs that hold 0: {share:.1f} %",
                f"half-width of these intervals: median {middle:.2f} %, ninth decile {ninth:.2f} %",
                f"slow-downs caught whose phase was named: {self.named}",
            ]
        return "\n".join(lines)


def name_of(slow_down: float) -> str:
    return f"{100 * slow_down:g} % slower"


PAIRS, INJECTED = 200, 50


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the comparisons")
    parser.add_argument("--pairs", type=int, help=f"comparisons of equal runs [{PAIRS}]")
    parser.add_argument("--injected", type=int, help=f"comparisons with each kind of slow-down [{INJECTED}]")
    parser.add_argument("--restarts", type=int, default=5, help="processes of each arm in a document, 2 or more [5]")
    parser.add_argument("--steps", type=int, default=240, help="steps that each process takes [240]")
    parser.add_argument("--turn-steps", type=int, default=12, help="steps of a turn [12]")
    parser.add_argument("--phase", default="precondition", help="phase of KFAC in which to burn time [precondition]")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch [1]")
    arguments = parser.parse_args()
    share = 10 if arguments.quick else 1
    pairs = PAIRS // share if arguments.pairs is None else arguments.pairs
    injected = INJECTED // share if arguments.injected is None else arguments.injected
    plan = make_plan(
        Request(
            task="curves-autoencoder",
            arms=parse_arms(OPTIMIZERS),
            task_options={"examples": str(EXAMPLES), "data": "stand-in"},
            options=RunOptions(
                batch_size=BATCH_SIZE,
                device="cpu",
                threads=arguments.threads,
                steps=arguments.steps,
                turn_steps=arguments.turn_steps,
            ),
        )
    )
    study = Study(plan, arguments.phase, arguments.restarts)
    started = time.perf_counter()
    conduct(study, pairs, injected, started)
    print(study.describe())
    targets = study.targets()
    for target, met in targets.items():
        print(f"{'met   ' if met else 'MISSED'} {target}")
    print(
        f"{arguments.restarts} processes of {arguments.steps} steps in turns of {arguments.turn_steps}, "
        f"{arguments.threads} thread(s), {(time.perf_counter() - started) / 60:.1f} minutes"
    )
    return 0 if all(targets.values()) else 1


def conduct(study: Study, pairs: int, injected: int, started: float) -> None:
    """Make all comparisons, those with a slow-down spread among the others."""
    every = max(1, pairs // max(1, injected))
    baseline = study.document()
    for pair in range(pairs):
        current = study.document()
        study.equal(baseline, current)
        if pair % every == 0 and pair // every < injected:
            for slow_down in SLOW_DOWNS:
                study.slower(slow_down, current)
        baseline = current
        if pair % 20 == 19:
            print(
                f"-- {pair + 1} pairs, {(time.perf_counter() - started) / 60:.1f} minutes", file=sys.stderr, flush=True
            )
            print(study.describe(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
