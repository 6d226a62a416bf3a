"""A search as Python calls it: in this process, without a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ngbench.arms import parse_arms
from ngbench.errors import ParameterError
from ngbench.experiments.search.request import SearchOptions, SearchRequest
from ngbench.experiments.search.results import write_best
from ngbench.experiments.search.search import search
from ngbench.running.best_settings import load_settings
from ngbench.running.request import Request, RunOptions
from ngbench.running.workers import LocalWorker, RunStarter


def request(values: list[float], **options: object) -> SearchRequest:
    run = Request(
        task="curves-autoencoder",
        arms=parse_arms(["sgd"]),
        task_options={"examples": "32", "reduction": "4"},
        options=RunOptions(steps=1, batch_size=16, threads=1),
    )
    return SearchRequest(run, {"sgd": {"lr": values}}, SearchOptions(**options))  # type: ignore[arg-type]


def test_a_search_returns_a_document_and_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = search(request([0.1, 0.01]), make_worker=lambda plan: LocalWorker(RunStarter(plan.problem)))
    assert (result.interrupted, result.problem, result.error) == (False, None, None)
    found = result.arms["sgd"]
    values = {found.searched["lr"].decode(one.point["lr"]): one.outcome.value for one in found.attempts}
    assert set(values) == {0.1, 0.01}
    assert found.hyperparameters is not None
    assert values[found.hyperparameters["lr"]] == found.score == min(values.values())
    assert len(result.document.runs) == 2
    write_best(result.document, tmp_path / "best.yaml")
    best = yaml.safe_load((tmp_path / "best.yaml").read_text())["arms"]["sgd"]
    assert (best["hyperparameters"]["lr"], best["score"], best["trials"]) == (
        found.hyperparameters["lr"],
        found.score,
        2,
    )
    assert capsys.readouterr().out == ""


def test_a_search_covers_schedules_and_its_best_names_what_all_trials_had(tmp_path: Path) -> None:
    run = Request(
        task="curves-autoencoder",
        arms=parse_arms(["sgd:lr=1"]),
        task_options={"examples": "32", "reduction": "4"},
        options=RunOptions(steps=4, batch_size=16, threads=1, warmup=1),
    )
    asked = SearchRequest(run, {"sgd:lr=1": {"schedule": ["steps:1e-9@0.5", "cosine"]}})
    result = search(asked, make_worker=lambda plan: LocalWorker(RunStarter(plan.problem)))
    slow, quick = (
        next(run for run in result.document.runs if run.optimizer.hyperparameters["schedule"] == schedule)
        for schedule in ("steps:1e-09@0.5", "cosine")
    )
    assert slow.history.train_loss[0] == quick.history.train_loss[0]
    assert slow.history.train_loss[1] > quick.history.train_loss[1]
    write_best(result.document, tmp_path / "best.yaml")
    best = load_settings(tmp_path / "best.yaml", "curves-autoencoder").for_arm("sgd:lr=1", "sgd")
    assert best is not None
    assert (best["schedule"], best["warmup"]) == ("cosine", "1")


def test_a_search_without_any_value_says_so_and_keeps_what_it_tried() -> None:
    result = search(request([1e38]), make_worker=lambda plan: LocalWorker(RunStarter(plan.problem)))
    assert not result.has_best
    assert "no trial has a value for sgd (1 diverged)" in str(result.error)


@pytest.mark.parametrize(("name", "value"), [("workers", 0), ("trials", 0), ("sampler_seed", -1)])
def test_options_are_checked_whoever_gives_them(name: str, value: int) -> None:
    with pytest.raises(ParameterError, match=f"{name}={value} is not allowed"):
        SearchOptions(**{name: value})
