from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest

APPROXIMATIONS = ("kfac", "kpsvd", "kfac-corrected", "lanczos", "deflation")
BASE = "fisher-error pond --steps 5 --every 2 --device cpu --threads 1 --dtype float64"


def _errors(text: str):
    (run,) = json.loads(text)["runs"]
    errors = run["fisher_errors"]
    return errors[0] if len(errors) == 1 else errors


def test_every_approximation_is_measured_on_the_same_samples(ngbench):
    done = ngbench(f"{BASE} --layer 1 --export-json -")
    assert done.code == 0
    error = _errors(done.out)
    assert error["layer"] == 1
    assert error["layer_name"] == "0"
    assert error["steps"] == [1, 3, 5]
    assert set(error["approximations"]) == set(APPROXIMATIONS)
    for curve in error["approximations"].values():
        assert {len(curve[key]) for key in ("error_1", "error_2", "iterations", "seconds")} == {3}
        assert all(seconds > 0 for seconds in curve["seconds"])
    first = {name: curve["error_1"] for name, curve in error["approximations"].items()}
    for kfac, kpsvd, corrected, lanczos, deflation in zip(*(first[name] for name in APPROXIMATIONS), strict=True):
        assert deflation < kpsvd < kfac
        assert corrected < kfac
        assert lanczos == pytest.approx(deflation, abs=1e-4)
    assert all(count > 0 for count in error["approximations"]["kpsvd"]["iterations"])
    assert error["approximations"]["kfac"]["iterations"] == [0, 0, 0]


def test_the_driver_and_not_the_approximations_moves_the_run(ngbench):
    def losses(arguments: str):
        return json.loads(ngbench(f"{BASE} --layer 1 --export-json - {arguments}").out)["runs"][0]["step_losses"]

    assert losses("-a kfac") == losses("-a deflation")
    assert losses("-a kfac") != losses("-a kfac --trained-with sgd")


def test_all_layers_are_measured_in_one_run(ngbench):
    every = _errors(ngbench(f"{BASE} --layer all -a kfac --export-json -").out)
    assert [error["layer_name"] for error in every] == ["0", "3"]
    second = ngbench(f"{BASE} --layer 2 -a kfac --export-json -")
    assert _errors(second.out)["approximations"]["kfac"]["error_1"] == every[1]["approximations"]["kfac"]["error_1"]


def test_a_higher_rank_is_nearer(ngbench):
    error = _errors(ngbench(f"{BASE} --layer 1 -a deflation,three@deflation:rank=3 --export-json -").out)
    two, three = (error["approximations"][name]["error_1"] for name in ("deflation", "three"))
    assert all(a > b for a, b in zip(two, three, strict=True))


def test_the_exact_fisher_matrix_is_another_than_the_sampled_one(ngbench):
    sampled, exact = (
        _errors(ngbench(f"{BASE} --layer 1 -a kfac --fisher {kind} --export-json -").out)
        for kind in ("sampled", "exact")
    )
    assert sampled["approximations"]["kfac"]["error_1"] != exact["approximations"]["kfac"]["error_1"]


def test_exports_hold_every_number(ngbench):
    done = ngbench(f"{BASE} --layer 1 --export-csv out.csv --export-markdown out.md --figures drawn")
    assert done.code == 0
    rows = list(csv.DictReader(io.StringIO(Path("out.csv").read_text())))
    assert len(rows) == 3 * len(APPROXIMATIONS)
    assert all(math.isfinite(float(row["error_1"])) for row in rows)
    assert "| deflation" in Path("out.md").read_text()
    assert Path("drawn/fisher-error-pond-layer-1.png").read_bytes().startswith(b"\x89PNG")
    assert "Fisher error of layer 1 (module 0)" in done.out


def test_each_seed_has_a_record_that_is_gone_on_with(ngbench):
    line = f"{BASE} --layer 1 --seeds 2 --output out"
    approximations = "-a kfac,two@deflation:rank=2"
    done = ngbench(f"{line} {approximations} --export-csv out.csv")
    assert done.code == 0
    assert "±" in done.out
    assert {row["seed"] for row in csv.DictReader(io.StringIO(Path("out.csv").read_text()))} == {"0", "1"}
    files = [Path(f"out/adam-seed{seed}.json") for seed in (0, 1)]
    first, second = (_errors(file.read_text()) for file in files)
    assert first["approximations"]["two"]["hyperparameters"] == {"rank": 2}
    assert first["approximations"]["kfac"]["error_1"] != second["approximations"]["kfac"]["error_1"]
    kept = files[0].stat().st_mtime_ns
    files[1].unlink()
    assert ngbench(f"{line} {approximations} --resume").code == 0
    assert files[0].stat().st_mtime_ns == kept
    again = _errors(files[1].read_text())["approximations"]
    assert again["kfac"]["error_1"] == second["approximations"]["kfac"]["error_1"]
    for other, said in (
        ("-a kfac,two@deflation:rank=3", "approximations.two.rank is 2 there and 3 here"),
        ("-a kfac", "approximations.two is"),
        (f"{approximations} --every 3", "conditions.every is 2 there and 3 here"),
    ):
        done = ngbench(f"{line} {other} --resume")
        assert (done.code, said in done.err) == (2, True), done.err
    assert ngbench("report out --output page.md").code == 0
    page = Path("page.md").read_text()
    assert "Fisher error: layer 1 (0), adam, seeds 0, 1" in page
    assert "±" in page


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--layer 9", "layer=9 is not allowed, it must be between 1 and 2, a name or 'all'"),
        ("--layer encoder", "unknown layer 'encoder' (known: 0, 3)"),
        ("-a eigen", "unknown approximation 'eigen'"),
        ("-a kpsvd:rank=2", "unknown parameter 'rank'"),
        ("-a deflation:rank=0", "rank=0 is not allowed, it must be an integer >= 1"),
        ("-a lanczos:precision=nan", "precision=nan is not allowed, it must be a number > 0 and < 1"),
        ("-a kpsvd:max_iterations=0", "max_iterations=0 is not allowed, it must be an integer >= 1"),
        ("-a lanczos:dimension=1", "dimension=1 is not allowed"),
        ("-a kpsvd:positions=-1", "positions=-1 is not allowed"),
        ("--steps 0", "steps=0 is not allowed"),
        ("--every 0", "every=0 is not allowed"),
        ("--batch-size 999", "batch-size=999 is not allowed, it must be at most 40"),
        ("--export-json nowhere/out.json", "there is no directory 'nowhere'"),
    ],
)
def test_bad_input_is_one_sentence(ngbench, arguments, sentence):
    done = ngbench(f"fisher-error pond --steps 1 --layer 1 {arguments}")
    assert done.code == 2
    assert sentence in done.err
    assert "Traceback" not in done.err
