from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "records"))

from gate_documents import build_run

from ngbench.errors import NgbenchError
from ngbench.experiments.doctor.noise import Equal, examine_noise, make_equal
from ngbench.records.experiments import FindingRecord, FindingState
from ngbench.records.record import RunRecord
from ngbench.records.thresholds import parse_threshold
from ngbench.running.schedule import PlannedRun
from ngbench.running.workers import Worker

FIVE = parse_threshold("step_time.ratio:5%")


def equal_runs(*slower: float, noise: float = 0.004, rounds: int = 24) -> Equal:
    """A comparison for each factor by which KFAC preconditions more slowly in it."""
    documents = [
        (
            [build_run("kfac", mood=at, noise=noise, rounds=rounds, slower={"precondition": factor})],
            [build_run("sgd", mood=at, noise=noise, rounds=rounds)],
        )
        for at, factor in enumerate(slower)
    ]
    return Equal("kfac", "sgd", documents)


def by_metric(findings: Sequence[FindingRecord]) -> dict[str, FindingRecord]:
    return {finding.topic.removeprefix("noise: "): finding for finding in findings}


def test_a_quiet_machine_needs_no_repeats() -> None:
    found = by_metric(examine_noise(equal_runs(1, 1, 1, 1), FIVE))
    assert list(found)[:3] == ["interrupted steps", "step_time.ratio", "step_time"]
    assert "phase.precondition.ratio" in found
    ratio = found["step_time.ratio"]
    assert (ratio.state, ratio.advice) == (FindingState.GOOD, "nothing to do")
    assert 0.05 < ratio.values["smallest_regression"] < 0.07
    assert ratio.values["repeats_for_twice_the_threshold"] == 1
    assert "of sgd's step" in ratio.fact


@pytest.mark.parametrize(
    ("every", "state"), [(None, FindingState.NOTE), (10, FindingState.GOOD), (1, FindingState.BAD)]
)
def test_how_many_steps_were_interrupted_is_said(every: int | None, state: FindingState) -> None:
    equal = equal_runs(1, 1)
    for ours, theirs in equal.documents:
        for run in (*ours, *theirs):
            run.steps.interrupted = None if every is None else list(range(0, len(run.steps.seconds), every))
    found = by_metric(examine_noise(equal, FIVE))["interrupted steps"]
    assert found.state is state
    assert found.values["share"] == (None if every is None else 1 / every)


def test_a_noisy_machine_is_told_how_many_seeds_it_needs() -> None:
    ratio = by_metric(examine_noise(equal_runs(1, 1, 1, noise=0.08), FIVE))["step_time.ratio"]
    repeats = ratio.values["repeats_for_twice_the_threshold"]
    assert ratio.state is FindingState.NOTE
    assert repeats > 1
    assert ratio.advice == f"`seeds={repeats}` in both runs, or as many times the steps, to catch 10.0 %"


def test_a_higher_threshold_needs_fewer_repeats() -> None:
    runs = equal_runs(1, 1, 1, noise=0.08)
    few, many = (
        by_metric(examine_noise(runs, parse_threshold(f"step_time.ratio:{per_cent}%")))["step_time.ratio"]
        for per_cent in (20, 5)
    )
    assert few.values["repeats_for_twice_the_threshold"] < many.values["repeats_for_twice_the_threshold"]


def test_runs_that_are_equal_by_name_alone_are_distrusted() -> None:
    found = by_metric(examine_noise(equal_runs(1, 1.2, 1.4, 1.6), FIVE))
    assert found["phase.precondition.ratio"].state is FindingState.BAD
    assert "times as much as their rounds tell" in found["phase.precondition.ratio"].fact
    assert found["phase.backward.ratio"].state is FindingState.GOOD


def test_one_round_tells_nothing() -> None:
    ratio = by_metric(examine_noise(equal_runs(1, 1, rounds=1), FIVE))["step_time.ratio"]
    assert (ratio.state, ratio.advice) == (FindingState.NOTE, "more `steps`, for two rounds or more")


class Finished(Worker):
    """Answers with a run that is over."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record

    def begin(self, config: object, record: RunRecord) -> None: ...

    def prepared(self) -> RunRecord:
        return self.record

    def turn(self, on_step: object = None) -> RunRecord:
        return self.record

    def close(self) -> None: ...


def planned(*labels: str) -> SimpleNamespace:
    """A plan of runs with these labels."""
    runs = [build_run(label, status="running") for label in labels]
    configs = [SimpleNamespace(label=label, seed=0) for label in labels]
    return SimpleNamespace(
        groups=[[PlannedRun(config, run) for config, run in zip(configs, runs, strict=True)]]  # type: ignore[arg-type]
    )


def test_each_comparison_has_workers_of_its_own() -> None:
    made: list[dict[str, Worker]] = []

    def workers() -> dict[str, Worker]:
        made.append({label: Finished(build_run(label, mood=len(made))) for label in ("sgd", "kfac")})
        return made[-1]

    told: list[str] = []
    equal = make_equal(planned("sgd", "kfac"), workers, documents=3, note=told.append)
    assert (equal.reference, equal.arm, len(made), len(told)) == ("sgd", "kfac", 3, 3)
    for at, (ours, theirs) in enumerate(equal.documents):
        assert [run.steps.seconds for run in (*ours, *theirs)] == [
            build_run(label, mood=at).steps.seconds for label in ("kfac", "sgd")
        ]


def test_a_run_that_fails_ends_the_measurement() -> None:
    broken = build_run("kfac", status="diverged", message="the training loss became nan")
    workers = {"sgd": Finished(build_run("sgd")), "kfac": Finished(broken)}
    with pytest.raises(NgbenchError, match="kfac ended as diverged: the training loss became nan"):
        make_equal(planned("sgd", "kfac"), lambda: workers, documents=1, note=lambda line: None)
