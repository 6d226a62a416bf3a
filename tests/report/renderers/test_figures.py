from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ngbench.errors import OutputError, ParameterError
from ngbench.records.quantities import ArmRun
from ngbench.report import view
from ngbench.report.bands import band_of
from ngbench.report.blocks import Bars, Chart
from ngbench.report.renderers.figures import check_place, draw, figure_of_bars, figure_of_chart, numbered
from ngbench.report.summary import summarise


def losses(document, axis):
    (chart,) = (block for block in view(document) if isinstance(block, Chart))
    return figure_of_chart(chart, axis)


def costs(document):
    (bars,) = (block for block in view(document) if isinstance(block, Bars))
    return figure_of_bars(bars)


def texts(figure):
    import matplotlib.text

    return [found.get_text() for found in figure.findobj(matplotlib.text.Text)]


def test_band_spans_the_seeds_over_the_epochs_that_all_finished(make_run):
    runs = [make_run(seed=0, epochs=3), make_run(seed=1, epochs=5)]
    curve = band_of([*map(ArmRun, runs)], "training_loss")
    assert curve.x["epoch"] == [1, 2, 3]
    second = [run.history.train_loss[1] for run in runs]
    assert (curve.low[1], curve.high[1]) == (min(second), max(second))
    assert curve.mean[1] == pytest.approx(sum(second) / 2)
    assert curve.x["time"][1] == pytest.approx(sum(run.history.elapsed_seconds[1] for run in runs) / 2)


def test_band_ends_where_the_loss_is_no_number(make_run):
    assert band_of([ArmRun(make_run(diverge_at=4))], "validation_loss").x["epoch"] == [1, 2, 3]


def test_band_has_the_mean_number_of_steps_and_reads_metrics_by_name(make_run):
    runs = [make_run(seed=0, epochs=2), make_run(seed=1, epochs=2)]
    runs[1].history.step = [100, 200]
    for run, accuracy in zip(runs, ([0.5, 0.7], [0.7, None]), strict=True):
        run.history.metrics["accuracy"] = accuracy
    assert band_of([*map(ArmRun, runs)], "training_loss").x["step"] == [(63 + 100) / 2, (126 + 200) / 2]
    curve = band_of([*map(ArmRun, runs)], "metric.accuracy")
    assert (curve.x["epoch"], curve.low, curve.high) == ([1], [0.5], [0.7])
    assert band_of([*map(ArmRun, runs)], "metric.precision").x["epoch"] == []


def test_pngs_are_written_into_a_directory_that_is_made(comparison, tmp_path):
    written = draw(view(comparison), tmp_path / "new" / "figures")
    assert [path.name for path in written] == [
        "loss_by_epoch.png",
        "loss_by_step.png",
        "loss_by_time.png",
        "cost_by_phase.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_nothing_is_drawn_of_a_run_without_epochs_and_phases(make_document, make_run, tmp_path):
    assert draw(view(make_document(make_run(epochs=0))), tmp_path) == []


def test_curves_have_bands_and_a_diverged_seed_ends_in_a_cross(comparison):
    figure = losses(comparison, "epoch")
    axes = figure.axes[0]
    assert len(axes.collections) == 1
    crosses = [line for line in axes.lines if line.get_marker() == "X"]
    assert [list(line.get_xdata()) for line in crosses] == [[1, 2, 3]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sgd", "kfac"]


def test_time_axis_shows_training_seconds(make_document, make_run):
    run = make_run()
    document = make_document(run)
    figure = losses(document, "time")
    assert list(figure.axes[0].lines[0].get_xdata()) == run.history.elapsed_seconds


def test_an_arm_that_only_diverged_is_labelled_so(make_document, make_run):
    document = make_document(make_run(), make_run("bad", diverge_at=3))
    figure = losses(document, "epoch")
    assert "bad (diverged)" in texts(figure)


def test_a_diverging_loss_does_not_stretch_the_axis(make_document, make_run):
    bad = make_run("bad", diverge_at=3)
    bad.history.train_loss[1] = 1e30
    document = make_document(make_run(), bad)
    figure = losses(document, "epoch")
    assert figure.axes[0].get_ylim()[1] < 1


def test_the_axis_is_logarithmic_when_losses_span_a_large_range(make_document, make_run):
    narrow, wide = make_document(make_run()), make_document(make_run())
    wide.runs[0].history.train_loss[-1] = 1e-4
    scales = [losses(document, "epoch").axes[0].get_yscale() for document in (narrow, wide)]
    assert scales == ["linear", "log"]


def test_the_caption_names_the_data_and_its_origin(make_document, make_run):
    document = make_document(make_run(origin="stand-in"))
    for figure in (losses(document, "time"), costs(document)):
        assert any("data: CURVES (STAND-IN)" in text for text in texts(figure))


def test_no_validation_panel_without_validation(make_document, make_run):
    document = make_document(make_run())
    document.runs[0].history.validation_loss = [None] * 10
    assert len(losses(document, "epoch").axes) == 1


def test_bars_stack_to_the_mean_step(comparison):
    arms = summarise(comparison)
    axes = costs(comparison).axes[0]
    ends = [
        max(bar.get_x() + bar.get_width() for bar in axes.patches if round(bar.get_y() + 0.4) == row) for row in (0, 1)
    ]
    assert ends == pytest.approx([1e3 * arm.step.value for arm in arms])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_figure_for_which_there_is_no_room_is_one_sentence(comparison, tmp_path):
    (tmp_path / "loss_by_epoch.png").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"cannot write to '.*loss_by_epoch.png': No space left on device"):
        draw(view(comparison), tmp_path)


def test_a_directory_that_cannot_be_made_is_one_sentence(comparison, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the directory"):
        draw(view(comparison), tmp_path / "file" / "figures")


def test_reports_need_neither_torch_nor_pyplot():
    code = (
        "import sys, ngbench.report.exports.destinations, ngbench.report.renderers.figures;"
        "import ngbench.report.views.comparison;"
        "print([name for name in ('torch', 'matplotlib', 'scipy.stats') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_suffix_of_the_place_says_the_format_and_equal_figures_are_equal_files(
    comparison, tmp_path, suffix, begins
):
    written = draw(view(comparison), tmp_path / "made" / f"mine.{suffix}")
    assert "mine-cost_by_phase." + suffix in {path.name for path in written}
    assert all(path.read_bytes().startswith(begins) and path.suffix == f".{suffix}" for path in written)
    for path, again in zip(written, draw(view(comparison), tmp_path / "again" / f"mine.{suffix}"), strict=True):
        assert path.read_bytes() == again.read_bytes()


def test_a_place_is_refused_by_a_suffix_that_is_not_drawn(tmp_path):
    with pytest.raises(ParameterError, match=r"must be a directory or end in \.png, \.svg, \.pdf"):
        check_place(tmp_path / "figure.jpg")
    assert check_place(tmp_path / "new" / "figure.PDF") == tmp_path / "new"
    assert check_place(tmp_path / "results-0.1") == tmp_path / "results-0.1"
    assert (numbered(Path("a/b.svg"), 1), numbered(Path("a/b"), 1)) == (Path("a/b-01.svg"), Path("a/b/01"))
