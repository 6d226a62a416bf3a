from __future__ import annotations

from dataclasses import asdict
from functools import partial

import pytest

from ngbench.curvature.kronecker.approximations import deflation, kfac, kfac_corrected, kpsvd, lanczos
from ngbench.curvature.kronecker.declaration import Setting, at_radius, declaration_of, options_of
from ngbench.records.predicted_costs import mean_iterations, predict
from ngbench.records.record import LayerRecord, RunRecord

LAYERS = {"0": (5, 3, 1), "2": (4, 2, 9)}


def _run(approximation, examples=10) -> RunRecord:
    diagnostics = {
        "iterations/0/term_1": [[1, 6.0], [101, 4.0]],
        "iterations/0/term_2": [[1, 9.0], [101, 3.0]],
        "iterations/2/term_1": [[1, 2.0]],
        "residual/0/term_1": [[1, 1e-7]],
    }
    layers = []
    for name, (d_in, d_out, positions) in LAYERS.items():
        setting = Setting(d_in, d_out, positions, examples, options_of(approximation))
        costs = {phase: asdict(cost) for phase, cost in declaration_of(approximation).costs(setting).items()}
        shape = {"name": name, "d_in": d_in, "d_out": d_out, "positions": positions}
        layers.append(LayerRecord.model_validate({**shape, "predicted": costs}))
    return RunRecord.model_construct(layers=layers, diagnostics=diagnostics)


def test_iterations_of_all_searches_of_a_layer_add_up():
    run = _run(deflation)
    assert mean_iterations(run, "0") == 5 + 6
    assert mean_iterations(run, "2") == 2


# m (d_in² + d_out²) of the two layers, with the positions of the second.
FIRST, SECOND = 10 * (25 + 9), 10 * 9 * (16 + 4)


@pytest.mark.parametrize(
    ("approximation", "examples", "operations"),
    [
        (kfac, 10, FIRST + SECOND),
        (kpsvd, 10, 2 * 11 * FIRST + 2 * 2 * SECOND),
        (deflation, 10, 2 * 11 * FIRST + 2 * 2 * SECOND),
        (kfac_corrected, 10, 23 * FIRST + 5 * SECOND),
        (partial(lanczos, dimension=7), 10, 22 * FIRST + 4 * SECOND + 2 * 343 + 7 * (34 + 20)),
        (at_radius(partial(lanczos, dimension=7), 1), 10, 22 * FIRST + 4 * SECOND + 2 * 343 + 7 * (34 + 20)),
        (kfac, 3, (FIRST + SECOND) * 3 / 10),
    ],
)
def test_estimates_follow_the_table(approximation, examples, operations):
    assert predict(_run(approximation, examples))["accumulate"].operations == pytest.approx(2 * operations)


def test_inverses_and_products_are_cubic_in_the_widths():
    predicted = predict(_run(kfac))
    assert predicted["refresh"].operations == 2 * (125 + 27 + 64 + 8)
    assert predicted["precondition"].operations == 2 * (9 * 5 + 3 * 25 + 4 * 4 + 2 * 16)
    assert predict(_run(lanczos))["refresh"].order == "c₁ℓd³"


def test_a_method_that_declares_nothing_has_no_prediction():
    assert predict(_run(lambda block, previous: None)) == {}
