"""Runs of two players: budgets, scores, divergence, checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adversarial import (
    ADAM,
    BATCH,
    EXAMPLES,
    KFAC,
    NOISE,
    STILL,
    configuration,
    first_record,
    run_of,
    small_critic,
    small_problem,
    to_the_end,
)
from PIL import Image
from torch import nn

from ngbench.adversarial_task import PLAYERS
from ngbench.errors import RecordError
from ngbench.records.endings import EarlyStop, early_stop
from ngbench.records.record import RunRecord
from ngbench.running.adversarial_config import FidConfig, PlayerConfig
from ngbench.running.adversarial_problem import epoch_draws
from ngbench.running.adversarial_training import AdversarialTraining
from ngbench.running.checkpoint import load_checkpoint
from ngbench.running.config import Budget
from ngbench.running.run import Run
from ngbench.running.samples import sample_paths


def without_times(record: RunRecord) -> dict[str, Any]:
    kept = record.model_dump(exclude={"memory", "phases"})
    kept["history"].pop("elapsed_seconds")
    for name in ("seconds", "interrupted"):
        kept["steps"].pop(name)
    return kept


def equal(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


def test_an_epoch_is_an_iteration_for_each_whole_batch(tmp_path: Path) -> None:
    record = to_the_end(run_of(configuration(tmp_path, budget=Budget(epochs=2))))
    assert record.status == "done"
    assert record.history.epoch == [1, 2]
    assert record.history.step == [EXAMPLES // BATCH, 2 * (EXAMPLES // BATCH)]
    # Twelve critic steps an epoch with an estimate every other one: each iteration has one.
    assert record.steps.kind == ["refresh"] * 12
    assert record.phases["critic/forward"].calls == 24
    assert record.phases["generator/forward"].calls == 12
    assert record.phases["critic/penalty"].flops
    assert record.memory.optimizer_state_bytes


@pytest.mark.parametrize("look_every", [4, 50])
def test_losses_that_are_looked_at_now_and_then_are_the_same(tmp_path: Path, look_every: int) -> None:
    config = configuration(tmp_path, budget=Budget(epochs=1))
    run = run_of(config)
    run._look_every = look_every
    assert without_times(run.epoch()) == without_times(run_of(config).epoch())


def test_steps_end_a_run_within_an_epoch_and_its_images_are_scored(tmp_path: Path) -> None:
    record = to_the_end(run_of(configuration(tmp_path, budget=Budget(steps=8), fid=FidConfig(every=5, samples=20))))
    assert record.history.step == [6, 8]
    first, last = record.history.metrics["classifier_fid"]
    assert first is None
    assert last is not None
    assert last > 0


@pytest.mark.parametrize("fisher", ["empirical", "sampled"])
def test_a_resumed_run_equals_one_that_was_never_interrupted(tmp_path: Path, fisher: str) -> None:
    kfac = replace(KFAC, hyperparameters={**KFAC.hyperparameters, "fisher": fisher})
    players = {"generator": ADAM, "critic": kfac} if fisher == "empirical" else {"generator": kfac, "critic": kfac}
    config = configuration(tmp_path, players=players, checkpoint=tmp_path / "whole.pt", samples=tmp_path / "whole")
    whole = to_the_end(run_of(config))
    config = replace(config, checkpoint=tmp_path / "parts.pt", samples=tmp_path / "parts")
    run_of(config).epoch()
    parts = to_the_end(run_of(replace(config, resume=True)))
    assert parts.history.epoch == [1, 2, 3]
    assert without_times(parts) == without_times(whole)
    left, right = load_checkpoint(tmp_path / "whole.pt"), load_checkpoint(tmp_path / "parts.pt")
    for player in PLAYERS:
        assert equal(left.model[player], right.model[player])
        assert equal(left.optimizer[player], right.optimizer[player])
    assert len(sample_paths(parts)) == 3
    for path in sample_paths(parts).values():
        name = Path(path).name
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_a_checkpoint_of_other_networks_does_not_fit(tmp_path: Path) -> None:
    config = configuration(tmp_path, checkpoint=tmp_path / "run.pt", budget=Budget(epochs=1))
    run_of(config).epoch()
    other = small_problem(critic=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 1)))
    with pytest.raises(RecordError, match="does not fit the run"):
        run_of(replace(config, resume=True), other)


def test_turns_in_one_process_do_not_change_what_a_run_draws(tmp_path: Path) -> None:
    alone = to_the_end(run_of(configuration(tmp_path)))
    first, second = run_of(configuration(tmp_path)), run_of(configuration(tmp_path, seed=9))
    for _ in range(3):
        together = first.epoch()
        second.epoch()
    assert together.history.train_loss == alone.history.train_loss
    assert together.history.metrics == alone.history.metrics


@pytest.mark.parametrize("turn_steps", [1, 4])
def test_turns_of_steps_change_nothing_but_where_the_run_is_cut(tmp_path: Path, turn_steps: int) -> None:
    budget = Budget(steps=8)
    config = configuration(tmp_path, budget=budget, samples=tmp_path / "whole", checkpoint=tmp_path / "whole.pt")
    whole = to_the_end(run_of(config))
    config = replace(config, turn_steps=turn_steps, samples=tmp_path / "parts", checkpoint=tmp_path / "parts.pt")
    runs = [run_of(config), run_of(replace(config, seed=9, samples=None, checkpoint=None))]
    answers = []
    while not answers or answers[-1] is None or answers[-1].status == "running":
        answers.append(runs[0].turn())
        runs[1].turn()
    # An epoch of six iterations, and what the budget leaves of one.
    assert [answer is None for answer in answers] == {
        1: [*[True] * 5, False, True, False],
        4: [True, False, False],
    }[turn_steps]
    parts = answers[-1]
    assert parts is not None
    assert parts.steps.turns == {1: list(range(1, 9)), 4: [3, 6, 8]}[turn_steps]
    assert whole.steps.turns == [6, 8]
    left, right = without_times(parts), without_times(whole)
    for one in (left, right):
        one["steps"].pop("turns")
    assert left == right
    checkpoints = load_checkpoint(tmp_path / "parts.pt"), load_checkpoint(tmp_path / "whole.pt")
    assert equal(checkpoints[0].model, checkpoints[1].model)
    assert equal(checkpoints[0].optimizer, checkpoints[1].optimizer)


@pytest.mark.parametrize(("lr", "message"), [(1e12, "became"), (float("1e38"), "became")])
def test_an_exploding_loss_is_divergence(tmp_path: Path, lr: float, message: str) -> None:
    wild = PlayerConfig("sgd", {"lr": lr})
    record = to_the_end(run_of(configuration(tmp_path, players={"generator": STILL, "critic": wild})))
    assert record.status == "diverged"
    assert message in (record.message or "")
    assert "(epoch 1)" in (record.message or "")
    assert record.history.train_loss == [None]
    assert record.history.metrics["classifier_fid"] == [None]


class Dead(nn.Module):
    """A critic that gives every image the same score, and has a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 1)
        nn.init.constant_(self.linear.bias, -1e6)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.linear(images.flatten(1))) + 0.5


def test_a_collapsed_critic_is_divergence(tmp_path: Path) -> None:
    config = configuration(tmp_path, players={"generator": STILL, "critic": STILL})
    record = to_the_end(run_of(config, small_problem(critic=Dead)))
    assert record.status == "diverged"
    assert record.message == "the critic collapsed: it gave all images the same score through the epoch (epoch 1)"


def test_curvature_that_is_not_finite_is_divergence(tmp_path: Path) -> None:
    class Poisoned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = small_critic()
            self.calls = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            scores: torch.Tensor = self.network(images)
            return scores * (float("nan") if self.calls > 8 else 1.0)

    kfac = replace(KFAC, hyperparameters={**KFAC.hyperparameters, "curvature_interval": 1, "inverse_interval": 1})
    config = configuration(tmp_path, players={"generator": STILL, "critic": kfac})
    record = to_the_end(run_of(config, small_problem(critic=Poisoned)))
    assert record.status == "diverged"
    assert "NaN or infinite" in (record.message or "")


def test_early_stopping_is_on_the_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([5.0, 3.0, 4.0, 3.5, 1.0])
    config = configuration(tmp_path, budget=Budget(epochs=10, early_stopping=2))
    run = run_of(config)
    monkeypatch.setattr(run._training, "_score", lambda: next(scores))
    record = to_the_end(run)
    assert record.status == "done"
    assert record.history.metrics["classifier_fid"] == [5.0, 3.0, 4.0, 3.5]
    assert early_stop(record) == EarlyStop(4, 10, "epochs", 2, "score")


def test_a_time_limit_ends_a_run_between_iterations(tmp_path: Path) -> None:
    record = to_the_end(run_of(configuration(tmp_path, budget=Budget(time_limit=1e-6))))
    assert record.status == "timeout"
    assert record.history.step == [1]
    assert record.history.metrics["classifier_fid"][0] is not None


def test_grids_show_the_same_noise_after_each_epoch(tmp_path: Path) -> None:
    still = {"generator": STILL, "critic": STILL}
    config = configuration(tmp_path, players=still, samples=tmp_path / "samples", budget=Budget(epochs=2))
    record = to_the_end(run_of(config))
    assert sample_paths(record) == {1: "samples/pair-seed3-epoch001.png", 2: "samples/pair-seed3-epoch002.png"}
    with Image.open(tmp_path / "samples" / "pair-seed3-epoch001.png") as picture:
        assert picture.size == (3 * (5 * 9 - 1), 3 * (5 * 9 - 1))
        assert len(set(picture.convert("L").tobytes())) > 10


def test_draws_take_each_critic_step_its_own_batch_and_repeat_with_the_seed() -> None:
    images = torch.arange(40.0).view(40, 1, 1, 1)
    arguments: dict[str, Any] = {"critic_steps": 2, "batch_size": 8, "noise": NOISE, "limit": None}
    draws = list(epoch_draws(images, seed=1, epoch=1, **arguments))
    assert len(draws) == 5
    for step in range(2):
        seen = torch.cat([draw.real[step].flatten() for draw in draws])
        assert sorted(seen.tolist()) == list(range(40))
    assert not torch.equal(draws[0].real[0], draws[0].real[1])
    again = list(epoch_draws(images, seed=1, epoch=1, **arguments))
    assert torch.equal(draws[3].critic_noise, again[3].critic_noise)
    other = list(epoch_draws(images, seed=1, epoch=2, **arguments))
    assert not torch.equal(draws[0].generator_noise, other[0].generator_noise)


def test_a_run_leaves_the_random_state_and_the_threads_of_its_process_alone(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    config = replace(config, threads=threads + 1)
    run = Run(AdversarialTraining(config, small_problem()), first_record(config))
    run.prepare()
    run.epoch()
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
