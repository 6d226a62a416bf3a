from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ngbench.errors import RecordError
from ngbench.measurement.recorder import StepRecorder
from ngbench.records.endings import EarlyStop, early_stop
from ngbench.records.record import RunRecord
from ngbench.records.timing import rounds
from ngbench.running.checkpoint import load_checkpoint, save_checkpoint
from ngbench.running.config import Budget, RunConfig
from ngbench.running.initial import initial_model
from ngbench.running.problem import Problem
from ngbench.running.randomness import epoch_order
from ngbench.running.run import Run
from ngbench.running.supervised_training import SupervisedTraining
from ngbench.task import Data

Configure = Callable[..., RunConfig]
RunToEnd = Callable[[RunConfig], RunRecord]
RecordOf = Callable[[RunConfig], RunRecord]

CPU = torch.device("cpu")


def test_the_losses_are_those_of_a_plain_loop(problem: Problem, configure: Configure, run_to_end: RunToEnd) -> None:
    record = run_to_end(configure())
    model = initial_model(problem, 3, CPU, torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(3)
    expected, validation = [], []
    for epoch in (1, 2, 3):
        total = 0.0
        model.train()
        for index in epoch_order(3, epoch, 50).split(16):
            optimizer.zero_grad()
            loss = problem.task.likelihood.loss(
                model(problem.data.train_inputs[index]), problem.data.train_targets[index]
            )
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
        expected.append(total / 50)
        model.eval()
        with torch.no_grad():
            outputs = model(problem.data.validation_inputs)
            validation.append(problem.task.likelihood.loss(outputs, problem.data.validation_targets).item())
    assert record.history.train_loss == pytest.approx(expected, rel=1e-5)
    assert record.history.validation_loss == pytest.approx(validation, rel=1e-5)
    assert record.status == "done"


def test_the_last_smaller_batch_is_a_step_too(configure: Configure, run_to_end: RunToEnd) -> None:
    record = run_to_end(configure())
    assert record.history.epoch == [1, 2, 3]
    assert record.history.step == [4, 8, 12]
    assert record.steps.kind == ["plain"] * 12
    assert len(record.steps.seconds) == 12


def test_elapsed_time_is_that_of_the_steps(configure: Configure, run_to_end: RunToEnd) -> None:
    record = run_to_end(configure())
    assert record.history.elapsed_seconds[-1] == pytest.approx(sum(record.steps.seconds))


class Ticking:
    """A clock on which every mark is one second after the last."""

    def __init__(self) -> None:
        self.now = 0

    def mark(self) -> int:
        self.now += 1
        return self.now

    def seconds(self, start: int, end: int) -> float:
        return float(end - start)

    def synchronise(self) -> None: ...

    def release(self) -> None: ...


def test_the_clock_can_be_replaced(problem: Problem, configure: Configure, record_of: RecordOf) -> None:
    config = configure(budget=Budget(epochs=1))
    run = Run(SupervisedTraining(config, problem), record_of(config), clock=Ticking())
    run.prepare()
    record = run.epoch()
    # Marks: begin, forward, backward, step, end.
    assert record.steps.seconds == [4.0] * 4
    phases = {name: (phase.seconds_total, phase.calls) for name, phase in record.phases.items()}
    assert phases == {"forward": (4.0, 4), "backward": (4.0, 4), "step": (4.0, 4)}


def test_metrics_are_means_over_the_validation_examples(configure: Configure, run_to_end: RunToEnd) -> None:
    record = run_to_end(configure())
    (largest,) = record.history.metrics.values()
    assert len(largest) == 3
    assert all(value is not None and value > 0 for value in largest)


def measured_by_hand(problem: Problem, epochs: dict[int, int]) -> tuple[list[float], list[float]]:
    """Of a plain loop over so many examples of each epoch: the mean of the metric, and the metric of each batch."""
    model = initial_model(problem, 3, CPU, torch.float32).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(3)
    means, batches = [], []
    for epoch, examples in epochs.items():
        total = 0.0
        for index in epoch_order(3, epoch, 50)[:examples].split(16):
            optimizer.zero_grad()
            outputs = model(problem.data.train_inputs[index])
            problem.task.likelihood.loss(outputs, problem.data.train_targets[index]).backward()
            optimizer.step()
            batches.append(outputs.abs().max().item())
            total += len(index) * batches[-1]
        means.append(total / examples)
    return means, batches


def test_training_metrics_are_those_of_the_outputs_that_the_loss_is_of(
    problem: Problem, configure: Configure, run_to_end: RunToEnd
) -> None:
    means, batches = measured_by_hand(problem, {1: 50, 2: 50, 3: 50})
    assert len(set(batches)) == 12
    # A batch of two examples counts an eighth of one of sixteen.
    assert means[0] != pytest.approx(sum(batches[:4]) / 4, rel=1e-3)
    for turn_steps in (None, 3):
        record = run_to_end(configure(turn_steps=turn_steps))
        assert record.history.training_metrics == {"largest": pytest.approx(means, rel=1e-12)}


def test_training_metrics_of_a_budget_of_steps_are_of_the_examples_that_were_seen(
    problem: Problem, configure: Configure, run_to_end: RunToEnd
) -> None:
    means, _ = measured_by_hand(problem, {1: 50, 2: 32})
    record = run_to_end(configure(budget=Budget(steps=6)))
    assert record.history.training_metrics == {"largest": pytest.approx(means, rel=1e-12)}


def test_training_metrics_are_measured_without_gradient_while_no_step_is_open(
    problem: Problem, configure: Configure, record_of: RecordOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Any] = []

    def metric(outputs: Tensor, targets: Tensor) -> Tensor:
        events.append((len(targets), outputs.requires_grad, torch.is_grad_enabled()))
        return outputs.mean()

    for name in ("begin_step", "end_step"):
        original = getattr(StepRecorder, name)
        monkeypatch.setattr(StepRecorder, name, lambda self, n=name, f=original: (events.append(n), f(self)))
    config = configure(budget=Budget(steps=2), count_operations=False)
    run = Run(
        SupervisedTraining(config, replace(problem, task=replace(problem.task, metrics={"mean": metric}))),
        record_of(config),
    )
    run.prepare()
    run.epoch()
    step = ["begin_step", "end_step", (16, False, False)]
    assert events[:6] == 2 * step
    assert events[6:] == [(16, False, False), (4, False, False)]


def test_a_task_without_metrics_has_none_on_training_data_and_keeps_no_outputs(
    problem: Problem, configure: Configure, record_of: RecordOf
) -> None:
    plain = replace(problem, task=replace(problem.task, metrics={}))
    config = configure(budget=Budget(epochs=1))
    run, measured = (
        Run(SupervisedTraining(config, plain), record_of(config)),
        Run(SupervisedTraining(config, problem), record_of(config)),
    )
    for each in (run, measured):
        each.prepare()
    record, other = run.epoch(), measured.epoch()
    assert (record.history.metrics, record.history.training_metrics) == ({}, {})
    assert (run._training._step.outputs is None, measured._training._step.outputs is None) == (True, False)
    # Measuring changes no step.
    assert record.history.train_loss == other.history.train_loss


def test_training_metrics_that_are_no_numbers_are_null(
    problem: Problem, configure: Configure, record_of: RecordOf, run_to_end: RunToEnd
) -> None:
    diverged = run_to_end(configure(hyperparameters={"lr": 1e20}))
    assert diverged.history.training_metrics == {"largest": [None]}
    metrics = {"nan": lambda outputs, targets: outputs.mean() * torch.nan, "one": lambda outputs, targets: 1.0}
    config = configure(budget=Budget(epochs=1))
    run = Run(
        SupervisedTraining(config, replace(problem, task=replace(problem.task, metrics=metrics))), record_of(config)
    )
    run.prepare()
    record = run.epoch()
    assert (record.status, record.history.training_metrics) == ("done", {"nan": [None], "one": [1.0]})


def test_a_checkpoint_from_before_training_metrics_has_none_of_its_epochs(
    problem: Problem, configure: Configure, record_of: RecordOf, tmp_path: Path
) -> None:
    config = configure(checkpoint=tmp_path / "old.pt", budget=Budget(epochs=2))
    run = Run(SupervisedTraining(config, problem), record_of(config))
    run.prepare()
    run.epoch()
    checkpoint = load_checkpoint(tmp_path / "old.pt")
    checkpoint.record.history.training_metrics.clear()
    save_checkpoint(checkpoint, tmp_path / "old.pt")
    resumed = Run(SupervisedTraining(replace(config, resume=True), problem), record_of(config))
    resumed.prepare()
    first, second = resumed.epoch().history.training_metrics["largest"]
    assert first is None
    assert second is not None


@pytest.mark.parametrize("turn_steps", [None, 2])
@pytest.mark.parametrize("look_every", [3, 50])
def test_losses_that_are_looked_at_now_and_then_are_the_same(
    problem: Problem,
    configure: Configure,
    record_of: RecordOf,
    run_to_end: RunToEnd,
    look_every: int,
    turn_steps: int | None,
) -> None:
    config = configure(budget=Budget(epochs=1), turn_steps=turn_steps)
    run = Run(SupervisedTraining(config, problem), record_of(config))
    run.prepare()
    run._look_every = look_every
    record, expected = run.epoch(), run_to_end(config)
    assert record.history.train_loss == expected.history.train_loss
    assert record.history.training_metrics == expected.history.training_metrics
    wild = replace(config, hyperparameters={"lr": 1e20})
    run = Run(SupervisedTraining(wild, problem), record_of(wild))
    run.prepare()
    run._look_every = look_every
    record = run.epoch()
    # It is seen at the next look, or at the end of the turn.
    assert (record.status, len(record.steps.seconds)) == (
        "diverged",
        {(3, None): 3, (50, None): 4}.get((look_every, turn_steps), 2),
    )


def test_a_budget_of_steps_ends_within_an_epoch(configure: Configure, run_to_end: RunToEnd) -> None:
    record = run_to_end(configure(budget=Budget(steps=6)))
    assert (record.status, record.history.step) == ("done", [4, 6])


def test_a_time_limit_ends_a_run_within_an_epoch(configure: Configure, run_to_end: RunToEnd) -> None:
    record = run_to_end(configure(budget=Budget(epochs=1000, time_limit=1e-9)))
    assert (record.status, record.history.step) == ("timeout", [1])
    assert record.history.train_loss[0] is not None


def test_early_stopping_waits_for_its_patience(configure: Configure, run_to_end: RunToEnd) -> None:
    frozen = configure(hyperparameters={"lr": 0.0}, budget=Budget(epochs=50, early_stopping=3), seed=1)
    record = run_to_end(frozen)
    losses = record.history.train_loss
    best = min(range(len(losses)), key=lambda at: losses[at])  # type: ignore[arg-type,return-value]
    assert record.status == "done"
    assert len(losses) < 50
    assert len(losses) - 1 - best == 3
    assert early_stop(record) == EarlyStop(len(losses), 50, "epochs", 3, "training loss")


def test_a_loss_that_is_not_finite_ends_the_run_at_that_step(configure: Configure, run_to_end: RunToEnd) -> None:
    record = run_to_end(configure(hyperparameters={"lr": 1e20}))
    assert record.status == "diverged"
    assert record.history.train_loss == [None]
    assert record.history.validation_loss == [None]
    assert len(record.steps.seconds) < 4
    assert record.message is not None
    assert "in epoch 1" in record.message


def test_a_loss_beyond_single_precision_has_diverged_in_double_too(configure: Configure, run_to_end: RunToEnd) -> None:
    record = run_to_end(configure(hyperparameters={"lr": 1e25}, dtype="float64"))
    assert record.status == "diverged"
    assert record.message is not None
    assert "e+" in record.message


def test_a_validation_loss_that_is_not_finite_ends_the_run(
    problem: Problem, configure: Configure, record_of: RecordOf
) -> None:
    broken = problem.data.validation_inputs.clone()
    broken[3, 2] = float("nan")
    config = configure()
    run = Run(
        SupervisedTraining(config, replace(problem, data=replace(problem.data, validation_inputs=broken))),
        record_of(config),
    )
    run.prepare()
    record = run.epoch()
    assert (record.status, record.history.validation_loss) == ("diverged", [None])
    assert record.history.train_loss[0] is not None


def test_arms_start_from_the_same_weights_bit_for_bit(
    problem: Problem, configure: Configure, record_of: RecordOf
) -> None:
    weights = []
    for name in ("torch.optim.SGD", "torch.optim.Adam"):
        config = configure(optimizer=name, hyperparameters={})
        run = Run(SupervisedTraining(config, problem), record_of(config))
        run.prepare()
        weights.append([p.detach().clone() for p in run._training.model.parameters()])
        torch.rand(5)
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_seeds_differ_in_weights_and_order(problem: Problem) -> None:
    first, second = (initial_model(problem, seed, CPU, torch.float32) for seed in (0, 1))
    assert not torch.equal(next(first.parameters()), next(second.parameters()))
    assert not torch.equal(epoch_order(0, 1, 50), epoch_order(1, 1, 50))


def test_runs_that_take_turns_in_one_process_are_what_they_are_alone(
    problem: Problem, configure: Configure, record_of: RecordOf, run_to_end: RunToEnd
) -> None:
    configs = [configure(), configure(hyperparameters={"lr": 0.01})]
    alone = [run_to_end(config).history.train_loss for config in configs]
    runs = [Run(SupervisedTraining(config, problem), record_of(config)) for config in configs]
    for run in runs:
        run.prepare()
    torch.manual_seed(99)
    records = [[run.epoch() for run in runs] for _ in range(3)][-1]
    assert [record.history.train_loss for record in records] == alone


def test_the_record_names_the_steps_that_were_interrupted(
    problem: Problem, configure: Configure, record_of: RecordOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three looks in a turn of two steps; what happens between turns, when others run, does not count.
    looks = iter([0, 0, 1, 7, 7, 7, 7, 9, 9, 20, 20, 21])
    monkeypatch.setattr("ngbench.running.run.interruptions_of", lambda device: lambda: next(looks))
    config = configure(turn_steps=2)
    run = Run(SupervisedTraining(config, problem), record_of(config))
    run.prepare()
    record = [run.epoch() for _ in range(2)][-1]
    assert record.steps.interrupted == [1, 4, 7]
    forward = record.phases["forward"]
    assert forward.calls_by_round == [2, 2, 2, 2]
    assert forward.undisturbed_calls_by_round == [1, 2, 1, 1]
    assert 0 < forward.undisturbed_seconds_by_round[0] < forward.seconds_by_round[0]


@pytest.mark.parametrize("optimizer", ["torch.optim.SGD", "kfac"])
def test_turns_change_nothing_but_where_the_run_is_cut(
    problem: Problem, configure: Configure, record_of: RecordOf, run_to_end: RunToEnd, optimizer: str
) -> None:
    hyperparameters: dict[str, Any] = {"lr": 0.01}
    if optimizer == "kfac":
        hyperparameters |= {"curvature_interval": 3, "inverse_interval": 3, "damping": 0.1}
    whole = configure(optimizer=optimizer, hyperparameters=hyperparameters)
    expected = run_to_end(whole)
    config = replace(whole, turn_steps=3)
    runs = [Run(SupervisedTraining(config, problem), record_of(config)) for _ in range(2)]
    for run in runs:
        run.prepare()
    answers = [[run.turn() for run in runs] for _ in range(6)]
    assert [[answer is None for answer in row] for row in answers] == [[True] * 2, [False] * 2] * 3
    assert expected.steps.turns == [4, 8, 12]
    for record in answers[-1]:
        assert record is not None
        assert record.steps.turns == [2, 4, 6, 8, 10, 12]
        assert record.phases["forward"].calls_by_round == [2] * 6
        left, right = (without_times(one) for one in (record, expected))
        for one in (left, right):
            one["steps"].pop("turns")
            for phase in one["phases"].values():
                phase.pop("calls_by_round")
        assert left == right


def test_a_run_resumes_after_an_epoch_of_several_turns(
    problem: Problem, configure: Configure, record_of: RecordOf, run_to_end: RunToEnd, tmp_path: Path
) -> None:
    config = configure(turn_steps=2, checkpoint=tmp_path / "run.pt")
    first = Run(SupervisedTraining(config, problem), record_of(config))
    first.prepare()
    first.epoch()
    # This turn is lost, like any that no checkpoint follows.
    assert first.turn() is None
    resumed = run_to_end(replace(config, resume=True))
    assert resumed.steps.turns == [2, 4, 6, 8, 10, 12]
    assert resumed.history.train_loss == run_to_end(configure()).history.train_loss


def test_a_checkpoint_without_turns_took_an_epoch_in_each(
    problem: Problem, configure: Configure, record_of: RecordOf, run_to_end: RunToEnd, tmp_path: Path
) -> None:
    config = configure(checkpoint=tmp_path / "run.pt")
    first = Run(SupervisedTraining(config, problem), record_of(config))
    first.prepare()
    first.epoch()
    before = load_checkpoint(tmp_path / "run.pt")
    before.record.steps.turns.clear()
    save_checkpoint(before, tmp_path / "run.pt")
    resumed = run_to_end(replace(config, resume=True, turn_steps=2))
    assert resumed.steps.turns == [4, 6, 8, 10, 12]
    assert [len(part) for part in rounds(resumed)] == resumed.phases["forward"].calls_by_round


def test_the_time_limit_does_not_count_other_runs_turns(
    problem: Problem, configure: Configure, record_of: RecordOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("ngbench.running.run.time", SimpleNamespace(perf_counter=lambda: now[0]))
    config = configure(turn_steps=2, budget=Budget(epochs=1, time_limit=10.0))
    run = Run(SupervisedTraining(config, problem), record_of(config))
    run.prepare()
    assert run.turn() is None
    now[0] += 1000.0
    record = run.turn()
    assert record is not None
    assert (record.status, record.history.step) == ("done", [4])


def test_a_run_leaves_the_random_state_of_its_process_alone(configure: Configure, run_to_end: RunToEnd) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run_to_end(configure())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("optimizer", ["torch.optim.SGD", "torch.optim.Adam", "kfac"])
def test_a_resumed_run_ends_in_the_same_record_but_for_times(
    problem: Problem, configure: Configure, record_of: RecordOf, run_to_end: RunToEnd, tmp_path: Path, optimizer: str
) -> None:
    hyperparameters: dict[str, Any] = {"lr": 0.01}
    if optimizer == "kfac":
        hyperparameters |= {"curvature_interval": 3, "inverse_interval": 3, "damping": 0.1}
    config = configure(optimizer=optimizer, hyperparameters=hyperparameters, checkpoint=tmp_path / "whole.pt")
    whole = run_to_end(config)
    config = replace(config, checkpoint=tmp_path / "broken.pt")
    first = Run(SupervisedTraining(config, problem), record_of(config))
    first.prepare()
    first.epoch()
    resumed = run_to_end(replace(config, resume=True))
    left, right = (without_times(record) for record in (whole, resumed))
    assert left == right


def without_times(record: RunRecord) -> dict[str, Any]:
    """Everything that must be equal in two runs of the same configuration."""
    values = record.model_dump()
    values["history"].pop("elapsed_seconds")
    values["steps"].pop("seconds")
    values["steps"].pop("interrupted")
    for name in ("peak_bytes", "baseline_bytes"):
        values["memory"].pop(name)
    for phase in values["phases"].values():
        phase.pop("seconds_total")
        for name in ("seconds_by_round", "undisturbed_seconds_by_round", "undisturbed_calls_by_round"):
            phase.pop(name)
        for cost in phase["by_kind"].values():
            cost.pop("seconds_total")
    return values


def test_a_checkpoint_of_another_model_does_not_fit(
    problem: Problem, configure: Configure, record_of: RecordOf, tmp_path: Path
) -> None:
    config = configure(checkpoint=tmp_path / "run.pt")
    run = Run(SupervisedTraining(config, problem), record_of(config))
    run.prepare()
    run.epoch()
    other = replace(problem, task=replace(problem.task, model=lambda: torch.nn.Linear(6, 3)))
    with pytest.raises(RecordError, match=r"run\.pt' does not fit the run"):
        Run(SupervisedTraining(replace(config, resume=True), other), record_of(config)).prepare()


def test_memory_and_operations_are_recorded(configure: Configure, run_to_end: RunToEnd) -> None:
    record = run_to_end(configure())
    memory = record.memory
    parameters = 6 * 8 + 8 + 8 * 3 + 3
    assert memory.optimizer_state_bytes == memory.parameter_bytes == 4 * parameters
    assert memory.peak_bytes is not None
    assert memory.peak_bytes > 10 * 2**20
    assert record.phases["forward"].flops == 2 * 16 * (6 * 8 + 8 * 3)
    assert record.phases["step"].flops == 0
    assert record.phases["step"].bytes > 4 * 4 * parameters  # type: ignore[operator]


def test_augmentation_changes_the_inputs_of_training_alone(
    problem: Problem, configure: Configure, record_of: RecordOf
) -> None:
    seen: list[Tensor] = []

    def augment(inputs: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(torch.rand(1, generator=generator))
        return inputs + 1

    def run_with(data: Data) -> RunRecord:
        config = configure(budget=Budget(epochs=2))
        run = Run(SupervisedTraining(config, replace(problem, data=data)), record_of(config))
        run.prepare()
        seen.clear()
        run.epoch()
        return run.epoch()

    plain = run_with(problem.data).history
    augmented = run_with(replace(problem.data, augment=augment)).history
    assert plain.train_loss[0] != augmented.train_loss[0]
    draws = [float(value) for value in seen]
    assert len(set(draws)) == 8
    run_with(replace(problem.data, augment=augment))
    assert [float(value) for value in seen] == draws


def test_progress_is_told_between_steps(
    problem: Problem, configure: Configure, record_of: RecordOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ngbench.running.run.REPORT_EVERY", 0.0)
    config = configure()
    run = Run(SupervisedTraining(config, problem), record_of(config))
    run.prepare()
    told: list[tuple[int, int]] = []
    run.epoch(lambda step, steps, loss, seconds: told.append((step, steps)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["torch.optim.SGD", "kfac"])
def test_other_floating_point_types_learn_as_float32_does(
    configure: Configure, run_to_end: RunToEnd, optimizer: str, dtype: str
) -> None:
    hyperparameters = {"lr": 0.05, **({"damping": 0.1} if optimizer == "kfac" else {})}
    config = configure(optimizer=optimizer, hyperparameters=hyperparameters, budget=Budget(epochs=8))
    record, reference = (run_to_end(replace(config, dtype=name)) for name in (dtype, "float32"))
    assert record.status == "done"
    size = {"float64": 8, "bfloat16": 2}[dtype]
    assert record.memory.parameter_bytes == size * (6 * 8 + 8 + 8 * 3 + 3)
    falls = [float(run.history.train_loss[0]) - float(run.history.train_loss[-1]) for run in (record, reference)]
    assert falls[1] > 0.05
    assert falls[0] == pytest.approx(falls[1], rel=0.2)
