from __future__ import annotations

import pytest
from gate_documents import build_document, build_run

from ngbench.records.comparability import match_arms
from ngbench.records.fisher_errors import holds_fisher_errors, measure_fisher_errors
from ngbench.records.metric_changes import NotApplicable
from ngbench.records.quantities import quantity_of
from ngbench.records.record import FisherCurve, FisherErrorRecord


def measured(layer=5, steps=(1, 2), **errors):
    curves = {name: FisherCurve(error_1=values, error_2=values) for name, values in errors.items()}
    steps = steps[: len(next(iter(errors.values())))]
    return FisherErrorRecord(layer=layer, layer_name=None, fisher=None, steps=steps, approximations=curves)


def document(*parts):
    """A document whose run holds the errors, as ``ngbench fisher-error`` writes it."""
    return build_document(build_run("adam", fisher_errors=list(parts)))


def outcomes(metric, before, now):
    pairs, _, _ = match_arms(before, now)
    return [
        (str(named), layer, outcome)
        for named, layer, outcome in measure_fisher_errors(quantity_of(metric, "check"), before, now, pairs)
    ]


def test_the_mean_error_is_compared_exactly():
    before, now = document(measured(kpsvd=[0.2, 0.4])), document(measured(kpsvd=[0.2, 0.5]))
    ((metric, layer, change),) = outcomes("fisher_error.kpsvd", before, now)
    assert (metric, layer) == ("fisher_error.kpsvd", "adam, layer 5")
    assert (change.baseline, change.current) == (pytest.approx(0.3), pytest.approx(0.35))
    assert change.low == change.high == pytest.approx(0.05)


def test_errors_at_the_top_of_a_document_count_too():
    before, now = (build_document(fisher_errors=[measured(kfac=[error])]) for error in (0.1, 0.2))
    ((_, layer, change),) = outcomes("fisher_error.kfac", before, now)
    assert layer == "layer 5"
    assert change.low == pytest.approx(0.1)


def test_any_approximation_of_every_layer():
    before = document(measured(3, kfac=[0.1, 0.1], kpsvd=[0.1, 0.1]), measured(5, kfac=[0.1, 0.1]))
    assert [(metric, layer) for metric, layer, _ in outcomes("fisher_error.*", before, before)] == [
        ("fisher_error.kfac", "adam, layer 3"),
        ("fisher_error.kpsvd", "adam, layer 3"),
        ("fisher_error.kfac", "adam, layer 5"),
    ]


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (measured(4, kfac=[0.1, 0.1]), "the layer has vanished"),
        (measured(5, (1, 3), kfac=[0.1, 0.1]), "steps changed"),
        (measured(5, kpsvd=[0.1, 0.1]), "the approximation kfac has vanished"),
        (measured(5, kfac=[0.1]), "steps changed"),
    ],
)
def test_what_cannot_be_compared_is_named(now, message):
    ((_, _, problem),) = outcomes("fisher_error.kfac", document(measured(kfac=[0.1, 0.1])), document(now))
    assert message in problem.reason


def test_an_error_that_is_no_number_any_more_is_kept():
    before, now = document(measured(kfac=[0.1, 0.3])), document(measured(kfac=[0.1, None]))
    ((_, _, change),) = outcomes("fisher_error.kfac", before, now)
    assert (change.baseline, change.current) == (pytest.approx(0.2), None)
    ((_, _, problem),) = outcomes("fisher_error.kfac", *[document(measured(kfac=[None]))] * 2)
    assert problem.reason == "it is no number in the baseline nor now"


def test_an_approximation_that_nobody_measured_is_no_problem():
    ((_, _, outcome),) = outcomes("fisher_error.lanczos", *[document(measured(kfac=[0.1, 0.1]))] * 2)
    assert isinstance(outcome, NotApplicable)


def test_runs_that_cannot_be_compared_give_no_errors():
    before = document(measured(kfac=[0.1, 0.1]))
    now = build_document(build_run("adam", batch_size=1, fisher_errors=[measured(kfac=[0.1, 0.1])]))
    assert outcomes("fisher_error.kfac", before, now) == []


def test_a_document_holds_errors_at_its_top_or_in_its_runs():
    assert holds_fisher_errors(document(measured(kfac=[0.1])))
    assert holds_fisher_errors(build_document(fisher_errors=[measured(kfac=[0.1])]))
    assert not holds_fisher_errors(build_document(build_run("adam")))
