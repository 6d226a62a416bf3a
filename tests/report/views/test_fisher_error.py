"""Fisher errors over several seeds."""

from __future__ import annotations

from typing import Any

import pytest

from ngbench.records.record import FisherCurve, FisherErrorRecord, RunRecord
from ngbench.report import view
from ngbench.report.blocks import Chart, Summary, Table, Warnings
from ngbench.report.views.fisher_error import repeats_of
from ngbench.units import format_estimate


def measured(make_run: Any, seed: int, errors: list[float], status: str = "done", **curve: Any) -> RunRecord:
    curves = {
        "kfac": FisherCurve(error_1=errors, error_2=errors, **curve),
        "kpsvd": FisherCurve(error_1=[value / 2 for value in errors], error_2=errors),
    }
    steps = [1, 11, 21][: len(errors)]
    error = FisherErrorRecord(layer=1, layer_name="0", fisher="sampled", steps=steps, approximations=curves)
    run: RunRecord = make_run(epochs=0, seed=seed)
    return run.model_copy(update={"fisher_errors": [error], "status": status})


def test_means_are_of_the_seeds_and_bands_reach_over_them(make_run, make_document):
    document = make_document(measured(make_run, 0, [0.1, 0.3]), measured(make_run, 1, [0.3, 0.5]))
    blocks = view(document)
    (table,) = [block for block in blocks if isinstance(block, Table)]
    cells = {column.key or column.name: column.cells[0] for column in table.columns}
    # Two seeds whose means are 0.2 and 0.4: Student's t for one degree of freedom is 12.706.
    assert cells["error_1"] == format_estimate(0.3, 12.7062 * 0.1)
    assert cells["error_1.maximum"] == "0.500"
    assert cells["error_1.final"] == format_estimate(0.4, 12.7062 * 0.1)
    (chart,) = [block for block in blocks if isinstance(block, Chart)]
    curve = chart.series[0].views["error_1"]
    assert list(curve.mean) == pytest.approx([0.2, 0.4])
    assert (curve.low, curve.high) == ([0.1, 0.3], [0.3, 0.5])
    assert "band: lowest to highest seed" in chart.caption
    (summary,) = [block for block in blocks if isinstance(block, Summary)]
    assert "of 2 seeds" in str(summary)


def test_a_seed_that_did_not_come_to_its_end_is_told_and_in_no_mean(make_run, make_document):
    document = make_document(measured(make_run, 0, [0.1, 0.3]), measured(make_run, 1, [0.9], "interrupted"))
    blocks = view(document)
    (chart,) = [block for block in blocks if isinstance(block, Chart)]
    assert chart.series[0].views["error_1"].low is None
    (warnings,) = [block for block in blocks if isinstance(block, Warnings)]
    assert list(warnings.warnings) == ["The run of seed 1 interrupted; it is no part of the means."]


def test_other_measurements_and_repeated_seeds_stand_apart(make_run):
    one, other = measured(make_run, 0, [0.1, 0.3]), measured(make_run, 1, [0.1, 0.3])
    again, shorter = measured(make_run, 0, [0.1, 0.4]), measured(make_run, 2, [0.1])
    assert [[run.seed for run in found.runs] for found in repeats_of([one, other, again, shorter])] == [
        [0, 1],
        [0],
        [2],
    ]
