from __future__ import annotations

import pytest

from ngbench.records.predicted_costs import mean_iterations, predict
from ngbench.records.record import LayerRecord, OptimizerRecord, RunRecord

LAYERS = [LayerRecord(name="0", d_in=5, d_out=3), LayerRecord(name="2", d_in=4, d_out=2, positions=9)]


def _run(optimizer: str, **hyperparameters) -> RunRecord:
    diagnostics = {
        "iterations/0/term_1": [[1, 6.0], [101, 4.0]],
        "iterations/0/term_2": [[1, 9.0], [101, 3.0]],
        "iterations/2/term_1": [[1, 2.0]],
        "residual/0/term_1": [[1, 1e-7]],
    }
    return RunRecord.model_construct(
        optimizer=OptimizerRecord(name=optimizer, hyperparameters=hyperparameters),
        batch_size=10,
        layers=LAYERS,
        diagnostics=diagnostics,
    )


def test_iterations_of_all_searches_of_a_layer_add_up():
    run = _run("deflation")
    assert mean_iterations(run, "0") == 5 + 6
    assert mean_iterations(run, "2") == 2


# m (d_in² + d_out²) of the two layers, with the positions of the second.
FIRST, SECOND = 10 * (25 + 9), 10 * 9 * (16 + 4)


@pytest.mark.parametrize(
    ("optimizer", "hyperparameters", "operations"),
    [
        ("kfac", {}, FIRST + SECOND),
        ("kpsvd", {}, 2 * 11 * FIRST + 2 * 2 * SECOND),
        ("deflation", {}, 2 * 11 * FIRST + 2 * 2 * SECOND),
        ("kfac-corrected", {}, 23 * FIRST + 5 * SECOND),
        ("lanczos", {"krylov_dimension": 7}, 22 * FIRST + 4 * SECOND + 2 * 343 + 7 * (34 + 20)),
        ("kfac", {"curvature_fraction": 0.25}, (FIRST + SECOND) * 3 / 10),
    ],
)
def test_estimates_follow_the_table(optimizer, hyperparameters, operations):
    assert predict(_run(optimizer, **hyperparameters))["accumulate"].operations == pytest.approx(2 * operations)


def test_inverses_and_products_are_cubic_in_the_widths():
    predicted = predict(_run("kfac"))
    assert predicted["refresh"].operations == 2 * (125 + 27 + 64 + 8)
    assert predicted["precondition"].operations == 2 * (9 * 5 + 3 * 25 + 4 * 4 + 2 * 16)
    assert predict(_run("lanczos"))["refresh"].order == "c₁ℓd³"


def test_a_method_outside_the_table_has_no_prediction():
    assert predict(_run("adam")) == {}
