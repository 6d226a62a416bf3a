from __future__ import annotations

import pytest

from ngbench.records.quantities import ArmRun
from ngbench.records.record import FisherErrorRecord
from ngbench.report.bands import band_of
from ngbench.report.blocks import Chart
from ngbench.report.summary import OTHER, summarise
from ngbench.report.views.charts import cost_bars, loss_chart
from ngbench.report.views.fisher_error import layer_blocks


def test_curves_are_the_bands_of_the_seeds_that_did_not_fail(comparison):
    chart = loss_chart(comparison, summarise(comparison))
    assert [axis.key for axis in chart.axes] == ["epoch", "step", "time"]
    assert [measure.key for measure in chart.measures] == ["training_loss", "validation_loss"]
    sgd, kfac = chart.series
    assert sgd.views["validation_loss"] == band_of([*map(ArmRun, comparison.runs[:2])], "validation_loss")
    assert len(sgd.views["validation_loss"].low) == 10
    assert (kfac.runs, kfac.ended[0].label) == (1, "seed 1 diverged")
    assert kfac.views["training_loss"].low is None
    assert kfac.ended[0].views["training_loss"].x["epoch"] == [1, 2, 3]


def test_metrics_are_measures_and_a_measure_that_nobody_has_is_none(make_document, make_run):
    run = make_run(epochs=2)
    run.history.metrics = {"accuracy": [0.5, 0.6], "empty": [None, None]}
    run.history.validation_loss = [None, None]
    document = make_document(run)
    chart = loss_chart(document, summarise(document))
    assert [measure.key for measure in chart.measures] == ["training_loss", "metric.accuracy"]
    assert chart.series[0].views["metric.accuracy"].mean == [0.5, 0.6]


def test_metrics_on_training_data_are_told_from_those_on_validation_data(make_document, make_run):
    run = make_run(epochs=2)
    run.history.metrics = {"accuracy": [0.5, 0.6], "fid": [9.0, 8.0]}
    run.history.training_metrics = {"accuracy": [0.25, 0.75]}
    document = make_document(run)
    chart = loss_chart(document, summarise(document))
    assert {measure.key: measure.label for measure in chart.measures[2:]} == {
        "training_metric.accuracy": "training accuracy",
        "metric.accuracy": "validation accuracy",
        "metric.fid": "fid",
    }
    assert chart.series[0].views["training_metric.accuracy"].mean == [0.25, 0.75]


def test_nothing_to_draw_is_no_chart(make_document, make_run):
    document = make_document(make_run(epochs=0))
    arms = summarise(document)
    assert (loss_chart(document, arms), cost_bars(document, arms)) == (None, None)


def test_parts_of_an_update_are_those_of_the_summary(comparison):
    arms = summarise(comparison)
    bars = cost_bars(comparison, arms)
    assert bars.parts[-1] == OTHER
    for arm, bar in zip(arms, bars.bars, strict=True):
        assert [part.name for part in bar.parts] == [phase.name for phase in arm.phases]
        assert sum(part.seconds for part in bar.parts) == pytest.approx(arm.step.value, rel=1e-5)


def chart_of(error):
    blocks = layer_blocks([FisherErrorRecord.model_validate(error)], "layer", "error", about=[])
    return next((block for block in blocks if isinstance(block, Chart)), None)


def test_fisher_errors_leave_out_what_is_no_number(fisher_error):
    chart = chart_of(fisher_error())
    assert [measure.key for measure in chart.measures] == ["error_1", "error_2", "iterations", "seconds"]
    kfac, deflation = chart.series
    assert (kfac.views["error_2"].x, kfac.views["error_2"].mean) == ({"step": [0, 10]}, [0.6, 0.5])
    assert "iterations" not in kfac.views
    assert deflation.views["seconds"].mean == [0.02, 0.03, 0.04]


def test_no_measured_fisher_error_is_no_chart(fisher_error):
    assert chart_of({**fisher_error(), "approximations": {}}) is None
