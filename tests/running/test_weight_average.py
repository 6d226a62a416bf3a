"""Averages of weights: their recursion, what is judged by them, and runs that go on with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adversarial import ADAM, BATCH, EXAMPLES, configuration, run_of
from torch import Tensor, nn

from ngbench.errors import ParameterError
from ngbench.records.record import RunRecord
from ngbench.running.adversarial_config import PlayerConfig
from ngbench.running.adversarial_problem import generator_average
from ngbench.running.config import RunConfig
from ngbench.running.problem import Problem
from ngbench.running.run import Run
from ngbench.running.supervised_training import SupervisedTraining
from ngbench.running.weight_average import refuse_two_averages, weight_average

Configure = Callable[..., RunConfig]
RecordOf = Callable[[RunConfig], RunRecord]

DECAY = 0.7


def with_batch_norm(problem: Problem) -> Problem:
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))

    return replace(problem, task=replace(problem.task, model=model))


def recursion(run: Run, network: nn.Module) -> dict[str, Tensor]:
    """The average of what each step leaves of the network's numbers, by the definition; it is there after the steps."""
    found: dict[str, Tensor] = {}
    step = run._training.step

    def recording(taken: int) -> Sequence[Tensor]:
        loss = step(taken)
        for name, value in network.state_dict().items():
            before = found.get(name, value.detach().clone())
            found[name] = DECAY * before + (1 - DECAY) * value if value.is_floating_point() else value.clone()
        return loss

    run._training.step = recording
    return found


@pytest.mark.parametrize("optimizer", ["torch.optim.Adam", "kfac"])
def test_validation_is_of_the_average_by_its_recursion(
    optimizer: str, problem: Problem, configure: Configure, record_of: RecordOf
) -> None:
    problem = with_batch_norm(problem)
    parts = {"optimizer": optimizer, "hyperparameters": {"lr": 0.1}, "dtype": "float64"}
    config = configure(average=DECAY, **parts)
    run, plain = (Run(SupervisedTraining(one, problem), record_of(one)) for one in (config, configure(**parts)))
    for one in (run, plain):
        one.prepare()
    expected = recursion(run, run._training.model)
    record, usual = run.epoch(), plain.epoch()
    average = run._training.averages[""].module
    for name, value in average.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-13, atol=1e-14)
    judged = with_batch_norm(problem).task.model().double().eval()
    judged.load_state_dict(expected)
    with torch.no_grad():
        outputs = judged(problem.data.validation_inputs.double())
    loss = problem.task.likelihood.loss(outputs, problem.data.validation_targets.double()).item()
    assert record.history.validation_loss == [pytest.approx(loss, rel=1e-12)]
    assert record.history.metrics["largest"][0] != usual.history.metrics["largest"][0]
    # Training itself goes on as without.
    assert record.history.train_loss == usual.history.train_loss
    assert all(map(torch.equal, run._training.model.parameters(), plain._training.model.parameters()))
    assert record.phases["average"].calls == 4
    bytes_of_weights = sum(8 * parameter.numel() for parameter in judged.parameters())
    added = record.memory.optimizer_state_bytes - usual.memory.optimizer_state_bytes
    assert added == bytes_of_weights


def test_a_run_that_goes_on_has_the_same_average(
    tmp_path: Path, problem: Problem, configure: Configure, record_of: RecordOf
) -> None:
    config = configure(average=DECAY, checkpoint=tmp_path / "state.pt")

    def run(of: RunConfig, epochs: int) -> tuple[RunRecord, dict[str, Tensor]]:
        made = Run(SupervisedTraining(of, problem), record_of(of))
        made.prepare()
        for _ in range(epochs):
            record = made.epoch()
        return record, made._training.averages[""].state_dict()

    record, whole = run(config, 3)
    run(config, 1)
    continued, resumed = run(replace(config, resume=True), 2)
    assert continued.history.validation_loss == record.history.validation_loss
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_gan_is_scored_by_the_average_of_its_generator(tmp_path: Path) -> None:
    players = {"generator": PlayerConfig("sgd", {"lr": 0.5, "average": DECAY}), "critic": ADAM}
    config = configuration(tmp_path, players=players, dtype="float64")
    averaged = run_of(config)
    plain = run_of(replace(config, players={**players, "generator": PlayerConfig("sgd", {"lr": 0.5})}))
    expected = recursion(averaged, averaged._training.players.generator)
    record, usual = averaged.epoch(), plain.epoch()
    for name, value in averaged._training.averages["generator"].module.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-13, atol=1e-14)
    assert record.history.train_loss == usual.history.train_loss
    assert record.history.metrics["classifier_fid"] != usual.history.metrics["classifier_fid"]
    assert record.phases["generator/average"].calls == EXAMPLES // BATCH


class Indexed(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("index", torch.tensor([5, 7]))
        self.register_buffer("mask", torch.tensor([0.0, value]))


def test_integers_stay_what_they_are(configure: Configure) -> None:
    network = Indexed(1.0)
    average = weight_average(configure(average=0.99), "torch.optim.SGD", {}, network)
    assert average is not None
    for _ in range(3):
        average.update_parameters(network)
    assert average.module.index.tolist() == [5, 7]
    assert weight_average(configure(average=0.99), "torch.optim.SGD", {"average": None}, network) is None


class TwoWeights(torch.optim.SGD):
    def train(self) -> None: ...

    def eval(self) -> None: ...


def test_what_has_no_average_is_refused(tmp_path: Path, configure: Configure) -> None:
    def refused(message: str) -> Any:
        return pytest.raises(ParameterError, match=re.escape(message))

    with refused("average=0.9 is not allowed with dtype=bfloat16"):
        weight_average(configure(average=0.9, dtype="bfloat16"), "torch.optim.SGD", {}, Indexed(1.0))
    with refused("the buffer mask of its network is not finite"):
        weight_average(configure(average=0.9), "torch.optim.SGD", {}, Indexed(-torch.inf))
    average = weight_average(configure(average=0.9), "torch.optim.SGD", {}, Indexed(1.0))
    with refused("average is not allowed with optimizer mine, which has weights of its own to judge by"):
        refuse_two_averages(average, "mine", TwoWeights([torch.zeros(1, requires_grad=True)]))
    players = {"generator": ADAM, "critic": PlayerConfig("adam", {"lr": 1e-3, "average": 0.9})}
    with refused("average is not allowed for the critic"):
        generator_average(configuration(tmp_path, players=players), run_of(configuration(tmp_path))._training.players)
