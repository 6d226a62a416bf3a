"""What the tables, exports and figures of two-player runs say, on worked examples."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from ngbench.records.experiments import BudgetRecord
from ngbench.records.provenance import EnvironmentRecord
from ngbench.records.record import (
    AdversarialRecord,
    DataRecord,
    Document,
    FidRecord,
    OptimizerRecord,
    PhaseRecord,
    RunRecord,
)
from ngbench.report import view
from ngbench.report.exports.formats import format_csv
from ngbench.report.exports.tidy import tidy
from ngbench.report.renderers import markdown, terminal
from ngbench.report.renderers.figures import draw
from ngbench.report.sample_images import with_images
from ngbench.report.views.gan_summary import shared_budget, summarise_gan
from ngbench.running.samples import add_sample, grid_of, relocated, sample_paths, write_grid
from tests.blank_run import blank_run

ENVIRONMENT = EnvironmentRecord(ngbench="0", python="3", platform="here", processor="one", cores=2, memory_bytes=2**30)


def gan_run(
    label: str, scores: list[float | None], *, seed: int = 0, metric: str = "classifier_fid", status: str = "done"
) -> RunRecord:
    """Epochs of ten iterations of 0.1 s, three quarters of which are the critic's."""
    epochs = len(scores)
    run = blank_run(
        label=label,
        task="gan-digits",
        data=DataRecord(
            name="DIGITS", origin="original", description="ten", digest="0", train_examples=10, validation_examples=1
        ),
        optimizer=OptimizerRecord(name="adam+kfac", hyperparameters={}),
        seed=seed,
        device="cpu",
        dtype="float32",
        batch_size=8,
    )
    run.history.epoch = list(range(1, epochs + 1))
    run.history.validation_loss = [None] * epochs
    run.history.step = [10 * (at + 1) for at in range(epochs)]
    run.history.elapsed_seconds = [1.0 * (at + 1) for at in range(epochs)]
    run.history.train_loss = [0.5 + at for at in range(epochs)]
    run.history.metrics = {"critic_loss": [-2.0] * epochs, "gradient_penalty": [0.25] * epochs, metric: list(scores)}
    run.steps.seconds, run.steps.kind = [0.1] * (10 * epochs), ["plain"] * (10 * epochs)
    calls = 10 * epochs
    run.phases = {
        "critic/penalty": PhaseRecord(seconds_total=0.05 * calls, calls=5 * calls),
        "critic/forward": PhaseRecord(seconds_total=0.025 * calls, calls=5 * calls),
        "generator/forward": PhaseRecord(seconds_total=0.02 * calls, calls=calls),
    }
    run.adversarial = AdversarialRecord(
        players={
            "generator": OptimizerRecord(name="adam", hyperparameters={}),
            "critic": OptimizerRecord(name="kfac", hyperparameters={}),
        },
        critic_steps=5,
        penalty=10.0,
        fid=FidRecord(
            metric=metric,
            network="a classifier of digits" if metric != "fid" else "Inception, 64 features",
            digest=metric,
            features=64,
            every=1,
            samples=500,
            real_samples=500,
        ),
    )
    return run.model_copy(update={"status": status})


def document(*runs: RunRecord) -> Document:
    return Document(environment=ENVIRONMENT, runs=list(runs))


def shown(made: Document) -> str:
    console = Console(file=io.StringIO(), width=220)
    terminal.show(view(made), console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_scores_are_compared_at_the_time_and_step_that_all_had() -> None:
    made = document(gan_run("long", [8.0, 4.0, 2.0, 3.0]), gan_run("short", [9.0, 6.0]))
    shared = shared_budget(made)
    assert shared is not None
    assert (shared.seconds, shared.step) == (2.0, 20)
    long, short = summarise_gan(made)
    values = [getattr(long, name).value for name in ("best", "best_step", "final", "at_seconds", "at_step")]
    assert values == [2.0, 30.0, 3.0, 4.0, 4.0]
    assert short.final is not None
    assert short.final.value == 6.0


def test_early_stopping_on_the_score_is_told() -> None:
    early = gan_run("kfac3", [8.0, 4.0, 5.0]).model_copy(update={"budget": BudgetRecord(epochs=9, early_stopping=1)})
    made = document(gan_run("adam", [8.0, 4.0]), early)
    note = "kfac3 stopped early after 3 of 9 epochs: 1 epoch without a new lowest score."
    assert note in shown(made)
    assert note in markdown.render(view(made))


def test_a_score_between_two_that_were_measured_is_linear() -> None:
    made = document(gan_run("sparse", [None, 8.0, None, 4.0]), gan_run("dense", [9.0, 7.0, 6.0]))
    sparse, _ = summarise_gan(made)
    assert sparse.at_step is not None
    assert sparse.at_step.value == pytest.approx(6.0)


def test_a_diverged_run_has_no_score_and_shortens_no_one_s_budget() -> None:
    made = document(gan_run("good", [8.0, 4.0]), gan_run("bad", [90.0], status="diverged"))
    shared = shared_budget(made)
    assert shared is not None
    assert shared.step == 20
    _, bad = summarise_gan(made)
    assert bad.best is None
    assert bad.final is None
    assert "diverged" in shown(made)


def test_cost_is_told_by_player_in_the_order_of_a_turn() -> None:
    (one,) = summarise_gan(document(gan_run("only", [8.0, 4.0])))
    assert one.seconds == {"generator": pytest.approx(0.02), "critic": pytest.approx(0.075)}
    assert one.shares["critic"] == pytest.approx(0.75)
    assert [phase.name for phase in one.arm.phases] == [
        "critic/forward",
        "critic/penalty",
        "generator/forward",
        "other",
    ]
    assert "75.0 ms" in shown(document(gan_run("only", [8.0, 4.0])))


def test_seeds_are_averaged() -> None:
    (one,) = summarise_gan(document(gan_run("a", [8.0, 4.0]), gan_run("a", [8.0, 6.0], seed=1)))
    assert one.best is not None
    assert (one.best.value, one.best.n) == (5.0, 2)
    assert one.best.error is not None


def test_a_classifier_s_score_is_never_called_fid_alone() -> None:
    text = shown(document(gan_run("a", [8.0, 4.0])))
    assert "best\nclassifier-FID" in text or "classifier-FID" in text
    assert " FID" not in text
    assert "classifier-FID: 500 generated against 500 real images by a classifier of digits" in text
    inception = shown(document(gan_run("a", [8.0, 4.0], metric="fid")))
    assert "FID: 500 generated against 500 real images by Inception, 64 features" in inception
    assert "classifier" not in inception
    csv = format_csv(tidy(document(gan_run("a", [8.0, 4.0]))))
    assert "metric.classifier_fid" in csv
    assert "metric.fid" not in csv


def test_too_few_images_for_the_features_and_different_networks_are_warned_of() -> None:
    run = gan_run("a", [8.0])
    assert run.adversarial is not None
    run.adversarial.fid.samples = 60
    assert "have no covariance of full rank" in shown(document(run))
    mixed = shown(document(gan_run("a", [8.0]), gan_run("b", [1.0], metric="fid")))
    assert "scored by different networks" in mixed


def test_markdown_has_the_same_tables() -> None:
    text = markdown.render(view(document(gan_run("a", [8.0, 4.0]), gan_run("b", [9.0, 5.0]))))
    assert "### Scores and losses" in text
    assert "classifier-FID at step 20" in text
    assert "### Cost of an iteration: b" in text
    assert "critic per step" in text
    assert "A step is an iteration: 5 of the critic and one of the generator." in text


def test_figures_show_scores_losses_costs_and_the_images_of_each_epoch(tmp_path: Path) -> None:
    run = gan_run("a", [8.0, 4.0])
    write_grid(np.zeros((4, 1, 9, 9), np.uint8), tmp_path / "samples" / "a-epoch001.png")
    add_sample(run, 1, "a-epoch001.png")
    add_sample(run, 2, "missing.png")
    written = draw(view(document(with_images(run, tmp_path / "record.json"))), tmp_path / "figures")
    assert [path.name for path in written] == [
        "classifier_fid_by_epoch.png",
        "classifier_fid_by_step.png",
        "classifier_fid_by_time.png",
        "losses_by_step.png",
        "cost_by_player.png",
        "samples_a-seed0.png",
    ]
    with Image.open(written[-1]) as picture:
        levels = np.asarray(picture.convert("L"))
    # The images are black, the lines between them grey, the rest of the sheet white but for the titles.
    left, right = np.array_split(levels[levels.shape[0] // 3 :], 2, axis=1)
    assert (left == 0).mean() > 0.3
    assert (left == 128).any()
    assert (right == 0).mean() < 0.05


def test_without_a_score_or_images_there_are_no_figures_of_them(tmp_path: Path) -> None:
    written = draw(view(document(gan_run("a", [None, None]))), tmp_path)
    assert [path.name for path in written] == ["losses_by_step.png", "cost_by_player.png"]


def test_grid_puts_images_in_rows_with_a_line_between() -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 2), np.uint8)
    grid = grid_of(images)
    assert grid.shape == (5, 8)
    assert grid[0].tolist() == [0, 0, 128, 1, 1, 128, 2, 2]
    assert grid[2].tolist() == [128] * 8
    assert grid[3].tolist() == [3, 3, 128, 4, 4, 128, 128, 128]
    assert grid_of(np.zeros((4, 3, 2, 2), np.uint8)).shape == (5, 5, 3)


def test_paths_of_samples_lead_from_the_file_that_holds_them(tmp_path: Path) -> None:
    run = gan_run("a", [8.0])
    add_sample(run, 1, "a.png")
    assert sample_paths(run) == {1: "samples/a.png"}
    moved = relocated(run, tmp_path / "out", tmp_path / "exports")
    assert sample_paths(moved) == {1: "../out/samples/a.png"}
    assert sample_paths(relocated(run, tmp_path / "out", tmp_path)) == {1: "out/samples/a.png"}
    assert sample_paths(run) == {1: "samples/a.png"}


def test_an_image_elsewhere_becomes_a_part_of_the_record(tmp_path: Path) -> None:
    write_grid(np.zeros((4, 1, 9, 9), np.uint8), tmp_path / "out" / "samples" / "a.png")
    run = gan_run("a", [8.0])
    add_sample(run, 1, "a.png")
    moved = relocated(run, tmp_path / "out", tmp_path / "exports")
    (sample,) = moved.samples
    assert base64.b64decode(sample.png) == (tmp_path / "out" / "samples" / "a.png").read_bytes()
    assert sample_paths(moved) == {}
