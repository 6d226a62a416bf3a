# ruff: noqa: F401, F811 - pytest hands over fixtures by their names
from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import ngbench.report.renderers.study_figure
from ngbench.experiments.studies.evaluation import CellRuns
from ngbench.experiments.studies.models import Selector
from ngbench.experiments.studies.published import find_curve
from ngbench.report.renderers.study_figure import draw_study
from tests.experiments.studies.conftest import parse, run, text


class Ran:
    def __init__(self, runs, directory=Path()):
        self.runs, self.directory = runs, directory


@pytest.fixture
def draw(parse, tmp_path, monkeypatch):
    """Draws the study, and returns its axes from left to right, row by row."""
    figures = []
    drawing = ngbench.report.renderers.study_figure
    made = drawing.new_figure
    monkeypatch.setattr(drawing, "new_figure", lambda *size: figures.append(made(*size)) or figures[-1])

    def draw(ran, *changes):
        file = draw_study(parse(*changes).study, "laptop", ran, tmp_path / "figure.png")
        assert Image.open(file).size[0] > 400
        return figures[-1].axes

    return draw


@pytest.fixture
def ran(run):
    def make(batch_size=64, **fields):
        runs = [run("Adam", [1.0, 0.5, 0.25], seed=seed, **fields) for seed in range(2)]
        return Ran(CellRuns("toy", batch_size, {"Adam": runs, "KFAC 0.1": [run("KFAC 0.1", [0.9, 0.4])]}))

    return make


def _line(axes, label):
    return next(line for line in axes.get_lines() if line.get_label() == label)


def test_curves_are_drawn_by_epoch_and_by_time(draw, ran):
    rows = "rows: [[{panel: toy}, {panel: toy, x: seconds, log: true}]]"
    first, second = draw([ran(epoch_seconds=2.0)], ("rows: [[{panel: toy, batch_size: 64}]]", rows))
    assert list(_line(first, "Adam").get_xdata()) == [1, 2, 3]
    assert list(_line(first, "Adam").get_ydata()) == [1.0, 0.5, 0.25]
    assert list(_line(second, "Adam").get_xdata()) == [2.0, 4.0, 6.0]
    assert (first.get_yscale(), second.get_yscale()) == ("linear", "log")


def test_metrics_are_drawn_on_training_and_on_validation_data(draw, ran):
    rows = "rows: [[{panel: toy, y: training_metric.accuracy}, {panel: toy, y: metric.accuracy}]]"
    first, second = draw([ran()], ("rows: [[{panel: toy, batch_size: 64}]]", rows))
    assert [axes.get_ylabel() for axes in (first, second)] == ["training accuracy", "validation accuracy"]
    assert list(_line(first, "Adam").get_ydata()) == [1.0, 1.5, 1.75]
    assert list(_line(second, "Adam").get_ydata()) == [0.0, 0.5, 0.75]


def test_a_place_that_did_not_run_says_so_and_an_empty_one_stays_empty(draw, ran):
    axes = draw([ran()], ("rows: [[{panel: toy, batch_size: 64}]]", "rows: [[{panel: toy, batch_size: 128}], [null]]"))
    assert [text.get_text() for text in axes[0].texts] == ["not run at this scale"]
    assert not axes[1].axison


def test_a_run_that_diverged_ends_in_a_cross(draw, ran, run):
    cell = ran()
    wild = run("KFAC 0.1", [0.9, None], status="diverged")
    cell.runs = CellRuns("toy", 64, {**cell.runs.arms, "KFAC 0.1": [wild]})
    (axes,) = draw([cell])
    assert _line(axes, "KFAC 0.1").get_marker() == "X"
    assert list(_line(axes, "KFAC 0.1").get_ydata()) == [0.9]


def test_numbers_are_bars_by_arm_and_lines_by_batch_size(draw, ran):
    rows = "rows: [[{panel: toy, x: arm, y: step_time, batch_size: 64}, {panel: toy, x: batch_size, at: best}]]"
    bars, lines = draw([ran(128), ran(64, epoch_seconds=3.0)], ("rows: [[{panel: toy, batch_size: 64}]]", rows))
    assert [bar.get_height() for bar in bars.patches] == pytest.approx([0.3, 0.1])
    assert [label.get_text() for label in bars.get_xticklabels()] == ["Adam", "KFAC 0.1"]
    assert list(_line(lines, "Adam").get_xdata()) == [64, 128]
    assert list(_line(lines, "Adam").get_ydata()) == [0.25, 0.25]


def test_published_curves_are_drawn_beside_ours_as_far_as_ours_go(draw, run):
    losses = [0.2] * 10
    cell = Ran(CellRuns("toy", 256, {"Adam": [run("Adam", losses)], "KFAC 0.1": [run("KFAC 0.1", losses)]}))
    changes = (
        ("task: toy-mlp-mnist5000, batch_sizes: [64, 128]", "task: curves-autoencoder, batch_sizes: [256, 64]"),
        (
            "rows: [[{panel: toy, batch_size: 64}]]",
            "rows: [[{panel: toy, batch_size: 256}]]\npublished: {figure: 3.2/3.3}",
        ),
        ("name: Adam, optimizer: adam", "name: Adam, optimizer: adam, published: none"),
    )
    (axes,) = draw([cell], *changes)
    dotted = [line for line in axes.get_lines() if line.get_linestyle() == ":"]
    published = find_curve("3.2/3.3", "curves-autoencoder", 256, Selector(optimizer="kfac"), "training_loss")
    within = [epoch for epoch in published.epochs if epoch <= 15]
    assert [list(line.get_xdata()) for line in dotted] == [within]
    assert len(within) < len(published.epochs)
    assert list(dotted[0].get_ydata()) == published.values[: len(within)]
    assert dotted[0].get_color() == _line(axes, "KFAC 0.1").get_color()


def test_the_published_curves_of_what_did_not_run_stand_alone(draw):
    changes = (
        ("task: toy-mlp-mnist5000, batch_sizes: [64, 128]", "task: curves-autoencoder, batch_sizes: [256]"),
        ("rows: [[{panel: toy, batch_size: 64}]]", "rows: [[{panel: toy}]]\npublished: {figure: 3.2/3.3}"),
    )
    (axes,) = draw([], *changes)
    assert axes.get_title() == "toy, not run: published"
    assert max(axes.get_lines()[0].get_xdata()) == 200


def test_published_curves_are_told_apart_by_their_kind():
    def find(optimizer, kind=None):
        arm = Selector(optimizer=optimizer, position_pairs=kind)
        return find_curve("3.4", "cuda-convnet-cifar10", 128, arm, "training_loss")

    near, every = find("deflation", "radius = filter size"), find("deflation", "all position pairs")
    assert near.values != every.values
    assert find("deflation") is None
    assert find("kfac").seconds_per_epoch > 0
    assert "A100" in find("kfac").device
    assert find_curve("3.4", "cuda-convnet-cifar10", 128, Selector(optimizer="kfac"), "error_1") is None


def test_grids_of_samples_are_drawn_epoch_by_epoch(draw, run, tmp_path):
    (tmp_path / "samples").mkdir()
    for epoch in (1, 2):
        Image.new("L", (8, 8)).save(tmp_path / "samples" / f"{epoch}.png")
    samples = [{"epoch": epoch, "path": f"samples/{epoch}.png"} for epoch in (1, 2, 3)]
    cell = Ran(CellRuns("toy", 64, {"Adam": [run("Adam", [1.0] * 3, samples=samples)]}), tmp_path)
    changes = (
        ("measure: compare", "measure: gan"),
        ("optimizer: adam", "players: adam"),
        ("optimizer: kfac, product", "players: kfac1, product"),
        ("batch_size: 64", "y: samples, arm: Adam"),
    )
    axes = draw([cell], *changes)
    assert [inset.get_title() for inset in axes[0].child_axes] == ["epoch 1", "epoch 2"]
