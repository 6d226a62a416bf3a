"""How often ``ngbench check`` is wrong: false alarms between equal runs, and slow-downs that it misses.

    python tests/benchmarks/gate_noise.py            # 200 equal pairs, 50 of each slow-down: 25 minutes
    python tests/benchmarks/gate_noise.py --quick    # a tenth of it

Each comparison is between two documents made here, one after the other, by the training loop of ``ngbench
compare``: SGD and KFAC on a small auto-encoder of curves, taking turns of a few steps. Equal pairs give the rate of
false alarms under ``step_time.ratio:5%``, at most 1 %. A slow-down of 10 % in one phase of KFAC can mean two things,
and at least 95 % of either must be caught and the phase be named:

- the step takes 10 % longer, all of it in that phase: ``step_time.ratio:5%`` is worse, and its note names the phase;
- the phase takes 10 % longer, which is less of the step: of the phases that are worse under ``phase.*.ratio:5%`` it is
  the one that changed most. How often it is the only one is said too.

The slow-down is time burnt inside the phase. All kinds of runs are mixed in time, so that the machine's moods hit all.
The exit code is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from ngbench.arms import parse_arms
from ngbench.experiments.gate_rules import DEFAULT_ABSOLUTE_FLOOR
from ngbench.experiments.runs import SilentObserver
from ngbench.records.environment import describe_environment
from ngbench.records.experiments import GateRecord, Verdict
from ngbench.records.gate import check
from ngbench.records.record import Document, RunRecord
from ngbench.records.statistics import GATE_CONFIDENCE
from ngbench.records.thresholds import parse_seconds, parse_threshold
from ngbench.running.config import RunConfig
from ngbench.running.plan import Plan, make_plan
from ngbench.running.problem import Problem
from ngbench.running.request import Request, RunOptions
from ngbench.running.run import Run
from ngbench.running.schedule import execute
from ngbench.running.supervised_training import SupervisedTraining
from ngbench.running.workers import LocalWorker

REFERENCE, ARM = "sgd", "kfac"
OPTIMIZERS = [REFERENCE, f"{ARM}@kfac:curvature_interval=10,inverse_interval=10"]
WIDTHS = (196, 100, 30, 100, 196)
EXAMPLES, BATCH_SIZE = 2048, 64
FLOOR = parse_seconds("--absolute-floor", DEFAULT_ABSOLUTE_FLOOR)
STEP_RULE, PHASE_RULE = "step_time.ratio:5%", "phase.*.ratio:5%"
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
        share: how much to burn.
        of_step: whether the share is of the step, taken over the last steps, or of the phase, as it just was.
    """

    def __init__(self, recorder: Any, phase: str, share: float, *, of_step: bool) -> None:
        self._recorder, self._phase, self._share, self._of_step = recorder, phase, share, of_step
        self._steps: deque[float] = deque(maxlen=100)
        self._started = self._burnt = 0.0

    def __call__(self, name: str) -> Any:
        return self._burn() if name == self._phase else self._recorder(name)

    def step_started(self, now: float) -> None:
        self._started, self._burnt = now, 0.0

    def step_ended(self, now: float) -> None:
        self._steps.append(now - self._started - self._burnt)

    @contextmanager
    def _burn(self) -> Iterator[None]:
        with self._recorder(self._phase):
            start = time.perf_counter()
            yield
            end = time.perf_counter()
            base = end - start
            if self._of_step:
                base = 0.0 if self._burnt or not self._steps else sum(self._steps) / len(self._steps)
            while time.perf_counter() < end + self._share * base:
                pass
            self._burnt += time.perf_counter() - end


class BurningTraining(SupervisedTraining):
    """Its optimizer burns time."""

    make_burning: Callable[[Any], Burning]

    def build_optimizers(self, recorder: Any) -> None:
        super().build_optimizers(recorder)
        self._burning = self.make_burning(recorder)
        self.told[""].report_to(self._burning)

    def step(self, taken: int) -> Sequence[torch.Tensor]:
        self._burning.step_started(time.perf_counter())
        losses = super().step(taken)
        self._burning.step_ended(time.perf_counter())
        return losses


def local(problem: Problem, burning: Callable[[Any], Burning] | None) -> LocalWorker:
    """Makes runs in this process; with ``burning`` their optimizers burn time."""

    def start(config: RunConfig, record: RunRecord) -> Run:
        training = SupervisedTraining(config, problem)
        if burning is not None:
            training = BurningTraining(config, problem)
            training.make_burning = burning
        return Run(training, record)

    return LocalWorker(start)


class Study:
    """Makes documents, and counts what ``check`` says of them."""

    def __init__(self, plan: Plan, problem: Problem, phase: str, slow_down: float) -> None:
        self._plan, self._problem, self._phase, self._slow_down = plan, problem, phase, slow_down
        self._environment = describe_environment()
        self.verdicts: dict[str, Counter[str]] = {}
        self.named: Counter[str] = Counter()
        self.covered: list[bool] = []
        self.half_widths: list[float] = []

    def document(self, *, burn: bool = False, of_step: bool = True) -> Document:
        def burning(recorder: Any) -> Burning:
            return Burning(recorder, self._phase, self._slow_down, of_step=of_step)

        workers = {
            run.config.label: local(self._problem, burning if burn and run.config.label == ARM else None)
            for run in self._plan.groups[0]
        }
        records, _ = execute(self._plan.groups, workers, SilentObserver())
        assert all(record.status == "done" for record in records), [record.message for record in records]
        return Document(environment=self._environment, runs=records)

    def compare(self, what: str, baseline: Document, current: Document, rule: str) -> GateRecord:
        """The worst verdict of the rule is counted."""
        report = check(current, baseline, [parse_threshold(rule)], floor=FLOOR, reference=REFERENCE)
        assert not report.not_comparable, report.not_comparable
        found = {comparison.verdict for comparison in report.comparisons}
        worst = next(verdict for verdict in _WORST_FIRST if verdict in found)
        self.verdicts.setdefault(f"{what}, {rule}", Counter())[worst.value] += 1
        return report

    def equal(self, baseline: Document, current: Document) -> None:
        (change,) = self.compare("equal", baseline, current, STEP_RULE).comparisons
        assert change.low is not None
        assert change.high is not None
        assert change.baseline is not None
        self.covered.append(change.low <= 0 <= change.high)
        self.half_widths.append((change.high - change.low) / 2 / change.baseline)
        self.compare("equal", baseline, current, PHASE_RULE)

    def slower_step(self, baseline: Document, current: Document) -> None:
        (comparison,) = self.compare("slower step", baseline, current, STEP_RULE).comparisons
        caught = comparison.verdict is Verdict.WORSE
        self.named["step"] += caught and (comparison.note or "").startswith(f"{self._phase} changed most")

    def slower_phase(self, baseline: Document, current: Document) -> None:
        report = self.compare("slower phase", baseline, current, PHASE_RULE)
        grown = {
            comparison.metric: comparison.current - comparison.baseline
            for comparison in report.regressions
            if comparison.current is not None and comparison.baseline is not None
        }
        self.named["phase"] += bool(grown) and max(grown, key=grown.__getitem__) == f"phase.{self._phase}.ratio"
        self.named["phase alone"] += list(grown) == [f"phase.{self._phase}.ratio"]

    def targets(self) -> dict[str, bool]:
        """Each target in words, with its figure, and whether it was met."""
        equal = self.verdicts.get(f"equal, {STEP_RULE}", Counter())
        alarms, pairs = equal["worse"], sum(equal.values())
        found = {f"false alarms under {STEP_RULE}: {alarms} of {pairs}": alarms <= MOST_ALARMS * pairs}
        for kind, rule in (("step", STEP_RULE), ("phase", PHASE_RULE)):
            made = sum(self.verdicts.get(f"slower {kind}, {rule}", Counter()).values())
            named = self.named[kind]
            found[f"slower {kind}, caught and the phase named: {named} of {made}"] = named >= LEAST_CAUGHT * made
        return found

    def describe(self) -> str:
        lines = []
        for what, counts in self.verdicts.items():
            shown = ", ".join(f"{counts[verdict.value]} {verdict.value}" for verdict in Verdict)
            lines.append(f"{what:34s} {sum(counts.values()):4d}: {shown}")
        if self.covered:
            half_widths = sorted(self.half_widths)
            share = 100 * sum(self.covered) / len(self.covered)
            middle, ninth = (100 * half_widths[len(half_widths) * tenths // 10] for tenths in (5, 9))
            lines += [
                f"{100 * GATE_CONFIDENCE:.0f} % intervals of equal pairs that hold 0: {share:.1f} %",
                f"slower phase, no other phase worse: {self.named['phase alone']}",
                f"half-width of these intervals: median {middle:.2f} %, ninth decile {ninth:.2f} %",
            ]
        return "\n".join(lines)


_WORST_FIRST = (Verdict.WORSE, Verdict.INCONCLUSIVE, Verdict.SAME, Verdict.BETTER)
PAIRS, INJECTED = 200, 50


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the comparisons")
    parser.add_argument("--pairs", type=int, help=f"comparisons of equal runs [{PAIRS}]")
    parser.add_argument("--injected", type=int, help=f"comparisons with each kind of slow-down [{INJECTED}]")
    parser.add_argument("--steps", type=int, default=1200, help="steps that each arm takes in a document [1200]")
    parser.add_argument("--turn-steps", type=int, default=12, help="steps of a turn [12]")
    parser.add_argument("--slow-down", type=float, default=0.1, help="part of the step, or of the phase, to burn [0.1]")
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
    study = Study(plan, small_problem(plan.problem), arguments.phase, arguments.slow_down)
    started = time.perf_counter()
    conduct(study, pairs, injected, started)
    print(study.describe())
    targets = study.targets()
    for target, met in targets.items():
        print(f"{'met   ' if met else 'MISSED'} {target}")
    print(
        f"{arguments.steps} steps in turns of {arguments.turn_steps}, {arguments.threads} thread(s), "
        f"{time.perf_counter() - started:.0f} s"
    )
    return 0 if all(targets.values()) else 1


def conduct(study: Study, pairs: int, injected: int, started: float) -> None:
    """Make all comparisons, those with a slow-down spread among the others."""
    every = max(1, pairs // max(1, injected))
    done = 0
    study.document()
    for pair in range(pairs):
        baseline, current = study.document(), study.document()
        study.equal(baseline, current)
        if pair % every == 0 and done < injected:
            done += 1
            study.slower_step(baseline, study.document(burn=True))
            study.slower_phase(current, study.document(burn=True, of_step=False))
        if pair % 20 == 19:
            print(f"-- {pair + 1} pairs, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
            print(study.describe(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
