from __future__ import annotations

import json
from pathlib import Path

import pytest

BASE = "compare pond --epochs 2 --device cpu --threads 1 --dtype float64 --export-json -"


def _runs(text: str):
    return {run["label"]: run for run in json.loads(text)["runs"]}


def test_measuring_steps_does_not_change_the_run(ngbench):
    arms = "-o sgd:lr=0.05,kfac:curvature_interval=2"
    plain, measured = (_runs(ngbench(f"{BASE} {arms} {option}").out) for option in ("", "--diagnostics"))
    for label, run in plain.items():
        assert run["history"]["train_loss"] == measured[label]["history"]["train_loss"]
        assert "exact_angle" not in run["diagnostics"]
        assert [step for step, _ in measured[label]["diagnostics"]["exact_angle"]] == [1]


def test_with_a_large_damping_the_exact_step_is_the_gradient_over_it(ngbench):
    done = ngbench(
        f"{BASE} -o sgd:lr=0.05,momentum=0,adam --set depth=3 --diagnostics --diagnostics-interval 3"
        " --diagnostics-damping 1e6"
    )
    diagnostics = _runs(done.out)["sgd:lr=0.05,momentum=0"]["diagnostics"]
    assert [step for step, _ in diagnostics["exact_angle"]] == [1, 4, 7]
    # Dropout draws other units in the replica, so the gradients agree in expectation only; the scale is exact.
    assert all(angle < 60 for _, angle in diagnostics["exact_angle"])
    assert all(distance == pytest.approx(1e6, rel=0.5) for _, distance in diagnostics["exact_distance"])


def test_energy_gaps_of_a_correction_are_never_positive_and_drawn(ngbench):
    arms = "-o kfac:curvature_interval=1,two-level:curvature_interval=1,previous@two-level:coarse_space=previous"
    done = ngbench(f"{BASE} {arms} --diagnostics --figures drawn")
    runs = _runs(done.out)
    gaps = [gap for _, gap in runs["two-level:curvature_interval=1"]["diagnostics"]["energy_gap"]]
    assert len(gaps) == 8
    assert all(gap <= 0 for gap in gaps)
    assert runs["previous"]["diagnostics"]["energy_gap"]
    assert "energy_gap" not in runs["kfac:curvature_interval=1"]["diagnostics"]
    assert "energy gap" in done.err
    for name in ("energy_gap", "exact_angle", "exact_distance"):
        assert Path(f"drawn/{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("option", ["--diagnostics-interval 0", "--diagnostics-damping 0", "--diagnostics-damping nan"])
def test_a_value_out_of_range_is_refused(ngbench, option):
    done = ngbench(f"compare pond -o sgd,adam --diagnostics {option}")
    assert done.code == 2
    assert "is not allowed" in done.err
