"""The Python API: what a program gives, by name or as an object, and what it gets back."""

from __future__ import annotations

import csv
import io
import re
import sys
import types
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch
from torch import nn

import ngbench
from ngbench.errors import NgbenchError, UnknownNameError, UsageError
from ngbench.experiments.runs import SilentObserver
from ngbench.plugins import registry
from ngbench.report.exports.formats import format_csv
from ngbench.report.exports.tidy import tidy
from ngbench.running.option_fields import options_of
from tests.cli.test_reproduce import MINE
from tests.running.adversarial import small_task

ROOT = Path(__file__).parents[1]
TASK = "curves-autoencoder"
SMALL: dict[str, Any] = {"task_options": {"examples": 120}, "batch_size": 40, "threads": 1, "own_processes": False}


class Descent(torch.optim.SGD):
    """Descends."""


class Refusing(torch.optim.SGD):
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        raise RuntimeError("not today")


def cautious(model: nn.Module, task: ngbench.Task, *, lr: float = 0.25) -> torch.optim.Optimizer:
    """Goes slowly."""
    return torch.optim.SGD(model.parameters(), lr=lr)


class Told(SilentObserver):
    """Keeps what an observer is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.trials: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)

    def begun(self, plan: Any) -> None:
        self.notes.append("begun")

    def ended(self, news: Any) -> None:
        self.trials.append(news.arm)


def half_space(**parts: Any) -> ngbench.Task:
    inputs = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    classes = (inputs[:, 0] > 0).long()
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    data = ngbench.Data.from_tensors(inputs, classes)
    return ngbench.task_of(parts.pop("model", model), data, ngbench.Categorical(), batch_size=10, **parts)


@pytest.fixture(scope="module")
def compared() -> ngbench.ResultDocument:
    return ngbench.compare(TASK, "sgd,adam:lr=0.002", epochs=2, **SMALL)


def losses(document: Any) -> dict[str, list[float | None]]:
    return {run.label: run.history.train_loss for run in document.runs}


def test_what_comes_back_is_told_and_saved(compared: ngbench.ResultDocument, tmp_path: Path) -> None:
    final = {label: values[-1] for label, values in losses(compared).items()}
    best = min(final, key=lambda label: final[label] or 0)
    assert re.match(rf"After 2 epochs {re.escape(best)} has the lowest training loss, \S+; ", compared.summary())
    compared.save(tmp_path / "runs.json")
    again = ngbench.load(tmp_path / "runs.json")
    assert again.runs == compared.runs
    assert again.summary() == compared.summary()
    with pytest.raises(UnknownNameError, match="nobody"):
        compared.summary(reference="nobody")


def test_rows_are_those_of_the_export(compared: ngbench.ResultDocument, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    rows = compared.to_frame()
    exported = list(csv.DictReader(io.StringIO(format_csv(tidy(compared)))))
    assert [(row["label"], row["epoch"], row["training_loss"]) for row in rows] == [
        (row["label"], int(row["epoch"]), float(row["training_loss"])) for row in exported
    ]
    assert len(rows) == 4
    pandas = types.ModuleType("pandas")
    pandas.DataFrame = lambda given, columns: (given, columns)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    assert compared.to_frame() == (rows, tidy(compared).names)
    assert [row["label"] for row in compared.to_frame("costs")[0]] == [run.label for run in compared.runs]
    with pytest.raises(UnknownNameError, match="unknown table 'cost'"):
        compared.to_frame("cost")


def test_a_figure_shows_a_line_for_each_arm(compared: ngbench.ResultDocument) -> None:
    from matplotlib.figure import Figure

    figure = compared.figure()
    assert isinstance(figure, Figure)
    assert figure.axes[0].lines
    nothing = ngbench.ResultDocument(environment=compared.environment, runs=[])
    with pytest.raises(NgbenchError, match="nothing to draw"):
        nothing.figure()


def test_objects_take_the_place_of_names() -> None:
    found = ngbench.compare(
        {"half-space": half_space()},
        {"class": (Descent, {"lr": 0.25}), "function": cautious, "name": "sgd:lr=0.25,momentum=0"},
        epochs=2,
        threads=1,
    )
    assert {run.task for run in found.runs} == {"half-space"}
    assert [run.optimizer.name.rpartition(".")[2] for run in found.runs] == ["Descent", "cautious", "sgd"]
    assert losses(found)["class"] == losses(found)["function"] == losses(found)["name"]
    with pytest.raises(UnknownNameError):
        registry.task_plugin("half-space")


def test_a_model_starts_each_run_anew_and_a_function_follows_the_seed() -> None:
    still = (torch.optim.SGD, {"lr": 1e-30})
    same = ngbench.train({"fixed": half_space()}, still, epochs=1, seeds=2, threads=1)
    assert same.runs[0].history.train_loss == pytest.approx(same.runs[1].history.train_loss, rel=1e-5)
    drawn = half_space(model=lambda: nn.Linear(3, 2))
    other = ngbench.train({"drawn": drawn}, still, epochs=1, seeds=2, threads=1)
    assert other.runs[0].history.train_loss != pytest.approx(other.runs[1].history.train_loss, rel=1e-5)


def test_classes_of_modules_run_in_a_process_of_their_own_by_their_place() -> None:
    asked = ngbench.library.arguments.Asked()
    assert [arm.optimizer for arm in asked.arms([torch.optim.AdamW])] == ["torch.optim.adamw.AdamW"]
    assert asked.objects == {}

    class Local(Descent):
        pass

    assert [arm.optimizer for arm in asked.arms([Local])] == ["Local"]
    assert asked.objects == {("optimizer", "Local"): Local}
    other = type("Local", (Descent,), {})
    assert [arm.optimizer for arm in asked.arms({"a": Local, "b": other})] == ["Local", "Local-2"]


def test_a_run_that_fails_is_a_record_and_not_an_error() -> None:
    (run,) = ngbench.train({"half-space": half_space()}, {"refusing": Refusing}, epochs=1, threads=1).runs
    assert run.status == "failed"
    assert "not today" in (run.message or "")


def test_two_players_are_trained(tmp_path: Path) -> None:
    found = ngbench.gan(
        {"stripes": small_task()}, "a@sgd+sgd,adam+adam", epochs=1, fid_samples=10, threads=1, output=tmp_path / "out"
    )
    assert [run.label for run in found.runs] == ["a", "adam+adam"]
    assert all(run.adversarial is not None and run.status == "done" for run in found.runs)
    assert list((tmp_path / "out" / "samples").rglob("*.png"))
    assert "has the lowest classifier-FID" in found.summary()


def test_records_are_kept_and_gone_on_with(tmp_path: Path) -> None:
    task = {"half-space": half_space()}
    first = ngbench.train(task, "sgd", epochs=1, threads=1, output=tmp_path / "out")
    again = ngbench.train(task, "sgd", epochs=1, threads=1, output=tmp_path / "out", resume=True)
    assert again.runs == first.runs == ngbench.load(tmp_path / "out").runs
    with pytest.raises(NgbenchError, match="already used"):
        ngbench.train(task, "sgd", epochs=1, threads=1, output=tmp_path / "out")


def test_a_search_and_a_measurement_take_objects() -> None:
    task = {"half-space": half_space()}
    told = Told()
    found = ngbench.tune(task, {"mine": Descent}, {"mine": {"lr": [0.5, 1e-9]}}, observer=told, epochs=2, threads=1)
    assert (told.notes[0], told.trials) == ("begun", ["mine", "mine"])
    assert {run.optimizer.hyperparameters["lr"] for run in found.runs} == {0.5, 1e-9}
    errors = ngbench.fisher_error(task, "kfac", layer="1", steps=3, every=2, threads=1)
    assert [row["step"] for row in _rows(errors)] == [1, 3]


def test_studies_are_judged_in_one_document_and_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = dedent(MINE).replace("task: pond, set: {depth: 2}", f"task: {TASK}, set: {{examples: 60}}")
    Path("mine.yaml").write_text(study)
    Path("other.yaml").write_text(study.replace("study: mine", "study: other"))
    told = Told()
    found = ngbench.reproduce(["mine.yaml", "other.yaml"], scale="smoke", threads=1, observer=told)
    assert [study.study for study in found.studies] == ["mine", "other"]
    kept = [ngbench.load(Path("ngbench-studies", name)) for name in ("mine", "other")]
    assert [study for one in kept for study in one.studies] == found.studies
    assert all(study.figure for study in found.studies)
    assert len(found.figure().axes) == 2
    assert [line for line in told.notes if line.startswith(("mine (smoke)", "other (smoke)"))]
    with pytest.raises(UsageError, match="unknown option 'epochs'"):
        ngbench.reproduce("mine.yaml", epochs=3)


def _rows(document: ngbench.ResultDocument) -> list[dict[str, Any]]:
    return list(tidy(document).rows)


def test_a_check_says_what_is_worse(compared: ngbench.ResultDocument, tmp_path: Path) -> None:
    report = ngbench.check(compared, compared, "training_loss:1%")
    assert report.gate is not None
    assert report.gate.error is None
    assert "no regression" in report.summary().lower()
    worse = compared.model_copy(deep=True)
    worse.runs[1].memory.peak_bytes *= 4
    compared.save(tmp_path / "before.json")
    report = ngbench.check(worse, tmp_path / "before.json", ["peak_memory:1%"])
    assert report.gate is not None
    assert "peak_memory of adam:lr=0.002" in str(report.gate.error)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ngbench.compare(TASK, "sgd", epoch=3), "unknown option 'epoch'; did you mean 'epochs'?"),
        (lambda: ngbench.gan("gan-mnist", target_loss=3), "unknown option 'target_loss'"),
        (lambda: ngbench.fisher_error(TASK, epochs=3), "unknown option 'epochs'"),
        (lambda: ngbench.check("a", "b", floor=1), "unknown option 'floor'"),
        (lambda: ngbench.compare(TASK, "sgd", epochs="many"), "epochs=many is not allowed"),
        (lambda: ngbench.compare(TASK, "sgd,kfac", reference="adam"), "unknown arm 'adam'"),
        (lambda: ngbench.train(TASK, "sgd,kfac"), "train takes one optimizer, not 2; use compare"),
        (lambda: ngbench.compare(TASK, [Descent, Descent]), "two arms are called 'Descent'"),
        (lambda: ngbench.compare(TASK, {"a": "sgd,kfac"}), "optimizer 'sgd,kfac' is not allowed here"),
        (lambda: ngbench.compare(TASK, [3]), "optimizer 3 is not allowed, it must be a text, a class or a function"),
        (lambda: ngbench.compare({}, "sgd"), "task={} is not allowed, a mapping must be {NAME: TASK} with one entry"),
        (lambda: ngbench.compare("pond", "sgd"), "unknown task 'pond'"),
        (lambda: ngbench.compare(TASK, "sgd", resume=True), "`resume` needs `output`"),
    ],
)
def test_what_the_caller_can_put_right_is_one_sentence(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        call()
    assert "\n" not in str(error.value)


def test_each_public_name_is_there_and_is_all_that_readers_are_told_of() -> None:
    assert sorted(ngbench._HOMES) == ngbench.__all__
    assert all(getattr(ngbench, name) is not None for name in ngbench.__all__)
    told = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "ngbench/plugins/templates").rglob("*.tmpl")]
    found = {path.name: re.findall(r"^(?:from|import) ngbench\..*", path.read_text("utf-8"), re.M) for path in told}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_options_of_a_run_are_documented_where_they_are_declared() -> None:
    documentation = ngbench.compare.__doc__ or ""
    assert "RunOptions" in documentation
    assert all(option.help for option in options_of(ngbench.RunOptions).values())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ngbench.compare("curves-autoencoder", []), "there is no optimizer to run"),
        (lambda: ngbench.compare("curves-autoencoder", 5), "optimizers=5 is not allowed"),
        (lambda: ngbench.compare("curves-autoencoder", "sgd", task_options=3), "task_options=3 is not allowed"),
        (lambda: ngbench.tune("curves-autoencoder", "sgd", "lr=0.1"), "spaces='lr=0.1' is not allowed"),
        (lambda: ngbench.reproduce("figure-3.1", scale="tiny"), "unknown scale 'tiny'"),
    ],
)
def test_arguments_that_are_none_are_one_sentence(call, message) -> None:
    with pytest.raises(ngbench.UsageError, match=message):
        call()
