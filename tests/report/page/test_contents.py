from __future__ import annotations

import re

from ngbench.records.record import FisherErrorRecord
from ngbench.records.statistics import mean_interval
from ngbench.records.studies import ClaimRecord
from ngbench.report.page.contents import environments_table, overview
from ngbench.report.page.sections import Environment, MeasuredLayer, Section
from ngbench.report.summary import summarise
from ngbench.report.views.charts import epochs_table
from ngbench.report.views.fisher_error import errors_table
from ngbench.report.views.study import claims_table, count_verdicts
from ngbench.units import format_estimate, format_number


def table(found):
    return {column.name.replace("\n", " "): list(column.cells) for column in found}


def test_losses_at_epochs_have_the_interval_over_the_seeds_that_did_not_fail(comparison):
    found = table(epochs_table(summarise(comparison)))
    assert list(found) == ["arm", *(f"epoch {at}" for at in (1, 2, 4, 5, 6, 7, 9, 10))]
    losses = [run.history.train_loss[4] for run in comparison.runs[:3]]
    estimate = mean_interval(losses[:2])
    assert found["epoch 5"] == [format_estimate(estimate.value, estimate.error, 4), format_number(losses[2], 4)]


def test_an_arm_without_the_epoch_has_a_dash(make_document, make_run):
    found = table(epochs_table(summarise(make_document(make_run(epochs=2), make_run("adam", epochs=1)))))
    assert found["epoch 2"][1] == "—"


def test_fisher_errors_are_summarised_over_what_was_measured(fisher_error):
    found = table(errors_table([FisherErrorRecord.model_validate(fisher_error())]))
    assert found["Error 1 mean"] == ["0.400", "0.0800"]
    assert found["Error 2 maximum"] == ["0.600", "0.200"]
    assert found["Error 2 final"] == ["0.500", "0.100"]
    assert found["iterations mean"] == ["—", "10.0"]
    assert found["time mean"] == ["—", "30.0 ms"]


def test_claims_show_numbers_text_and_what_is_missing(claims):
    read = [ClaimRecord.model_validate(claim) for claim in claims]
    found = table(claims_table(read))
    assert found["interval"] == ["-0.02000 to -0.01000", "—", "—"]
    assert found["observed"] == ["-0.01500", "—", "—"]
    assert found["tolerance"] == ["0", "10 %", "—"]


def test_verdicts_are_counted_in_their_order(claims):
    read = [ClaimRecord.model_validate(claim) for claim in (*reversed(claims), claims[0])]
    assert str(count_verdicts(read)) == "2 reproduced, 1 contradicted, 1 not tested"


def test_overview_names_the_arm_that_ended_lowest_and_those_that_failed(comparison, make_document, make_run):
    diverged = make_document(make_run(diverge_at=2))
    found = table(overview([Section("a", comparison), Section("b", diverged), Section("c")]))
    lowest = f"lowest final train loss {format_number(comparison.runs[2].history.train_loss[-1], 4)} (kfac)"
    first, *others = found["outcome"]
    assert re.fullmatch(rf"{re.escape(lowest)}, at equal time 0\.\d+ \(\w+\); kfac diverged with 1 of 2 seeds", first)
    assert others == ["sgd diverged", "—"]
    assert (found["arms"], found["runs"]) == (["2", "1", "—"], ["4", "1", "—"])
    assert "Fisher errors" not in found


def test_overview_counts_fisher_errors_where_there_are_any(comparison, fisher_error):
    measured = MeasuredLayer("layer 1", "", [FisherErrorRecord.model_validate(fisher_error())])
    found = table(overview([Section("a", comparison), Section("b", fisher_errors=[measured])]))
    assert (found["runs"], found["Fisher errors"]) == (["4", "—"], ["—", "1"])
    assert re.fullmatch(r"lowest mean Error 1 0\.\d+ \(\w+\)", found["outcome"][1])


def test_environments_name_a_few_of_their_sources(comparison):
    (facts, found) = environments_table([Environment(comparison.environment, list("abcde"))])
    assert found.name == "a, b, c and 2 more"
    assert dict(zip(facts.cells, found.cells, strict=True))["memory"] == "8.00 GiB"
