from __future__ import annotations

import pytest

from ngbench.report.figures import band_of
from ngbench.report.page.charts import cost_chart, fisher_chart, loss_chart
from ngbench.report.page.extras import FisherError
from ngbench.report.summary import OTHER, summarise


def test_curves_are_the_bands_of_the_seeds_that_did_not_fail(comparison):
    chart = loss_chart(summarise(comparison))
    assert [axis["key"] for axis in chart["axes"]] == ["epoch", "step", "time"]
    assert [measure["key"] for measure in chart["measures"]] == ["training_loss", "validation_loss"]
    sgd, kfac = chart["series"]
    band = band_of(comparison.runs[:2], "validation_loss")
    view = sgd["views"]["validation_loss"]
    assert view["x"]["epoch"] == band.epochs
    assert view["x"]["step"] == band.steps
    for key, values in (("mean", band.mean), ("low", band.low), ("high", band.high)):
        assert view[key] == pytest.approx(values, rel=1e-6)
    assert view["x"]["time"] == pytest.approx(band.seconds, rel=1e-6)
    assert (kfac["runs"], kfac["ended"][0]["label"]) == (1, "seed 1 diverged")
    assert "low" not in kfac["views"]["training_loss"]
    assert kfac["ended"][0]["views"]["training_loss"]["x"]["epoch"] == [1, 2, 3]


def test_metrics_are_measures_and_a_measure_that_nobody_has_is_none(make_document, make_run):
    run = make_run(epochs=2)
    run.history.metrics = {"accuracy": [0.5, 0.6], "empty": [None, None]}
    run.history.validation_loss = [None, None]
    chart = loss_chart(summarise(make_document(run)))
    assert [measure["key"] for measure in chart["measures"]] == ["training_loss", "metric.accuracy"]
    assert chart["series"][0]["views"]["metric.accuracy"]["mean"] == [0.5, 0.6]


def test_metrics_on_training_data_are_told_from_those_on_validation_data(make_document, make_run):
    run = make_run(epochs=2)
    run.history.metrics = {"accuracy": [0.5, 0.6], "fid": [9.0, 8.0]}
    run.history.training_metrics = {"accuracy": [0.25, 0.75]}
    chart = loss_chart(summarise(make_document(run)))
    labels = {measure["key"]: measure["label"] for measure in chart["measures"][2:]}
    assert labels == {
        "training_metric.accuracy": "training accuracy",
        "metric.accuracy": "validation accuracy",
        "metric.fid": "fid",
    }
    assert chart["series"][0]["views"]["training_metric.accuracy"]["mean"] == [0.25, 0.75]


def test_nothing_to_draw_is_no_chart(make_document, make_run):
    arms = summarise(make_document(make_run(epochs=0)))
    assert (loss_chart(arms), cost_chart(arms)) == (None, None)


def test_parts_of_an_update_are_those_of_the_summary(comparison):
    arms = summarise(comparison)
    chart = cost_chart(arms)
    assert chart["phases"][-1] == OTHER
    for arm, bar in zip(arms, chart["arms"], strict=True):
        assert [part["phase"] for part in bar["parts"]] == [phase.name for phase in arm.phases]
        assert sum(part["seconds"] for part in bar["parts"]) == pytest.approx(arm.step.value, rel=1e-5)


def test_fisher_errors_leave_out_what_is_no_number(fisher_error):
    chart = fisher_chart(FisherError.model_validate(fisher_error()))
    assert [measure["key"] for measure in chart["measures"]] == ["error_1", "error_2", "iterations", "seconds"]
    kfac, deflation = chart["series"]
    assert kfac["views"]["error_2"] == {"x": {"step": [0, 10]}, "mean": [0.6, 0.5]}
    assert "iterations" not in kfac["views"]
    assert deflation["views"]["seconds"]["mean"] == [0.02, 0.03, 0.04]


def test_no_measured_fisher_error_is_no_chart(fisher_error):
    empty = {**fisher_error(), "approximations": {}}
    assert fisher_chart(FisherError.model_validate(empty)) is None
