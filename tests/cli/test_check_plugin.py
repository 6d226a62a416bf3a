from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench.experiments import conformance
from ngbench.experiments.conformance import optimizers
from ngbench.experiments.conformance.outcome import Check, CheckFailed, CheckNotApplicable, Passed, run_checks

Ngbench = Callable[..., Any]


def _passes(subject: object) -> Passed:
    return Passed("fine", {"seconds": 1.5})


def _fails(subject: object) -> Passed:
    raise CheckFailed("it limps: walk")


def _raises(subject: object) -> Passed:
    raise ZeroDivisionError("by\n zero")


def _inapplicable(subject: object) -> Passed:
    raise CheckNotApplicable("no legs")


CHECKS = (
    Check("one", "walk", _passes),
    Check("two", "run", _fails),
    Check("three", "swim", _inapplicable),
    Check("four", "fly", _raises),
    Check("five", "rest", _passes, needs=("two",)),
)


@pytest.fixture
def few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers, "OPTIMIZER_CHECKS", CHECKS)


@pytest.mark.usefixtures("few_checks")
def test_rows_and_summary_are_printed_and_a_failure_is_exit_code_one(ngbench: Ngbench) -> None:
    outcome = ngbench("check-plugin sgd")
    rows = [line.split(maxsplit=1) for line in outcome.out.splitlines()]
    assert outcome.code == 1
    assert [" ".join(row).split() for row in rows[:5]] == [
        ["passed", "one", "fine"],
        ["failed", "two", "it", "limps:", "walk"],
        ["not", "applicable", "three", "no", "legs"],
        ["failed", "four", "it", "raised", "ZeroDivisionError:", "by", "zero;", "it", "must", "fly"],
        ["not", "applicable", "five", "not", "without", "two"],
    ]
    assert outcome.out.splitlines()[5] == "sgd (optimizer, ngbench): 1 passed, 2 failed, 2 not applicable"


@pytest.mark.usefixtures("few_checks")
def test_the_export_holds_every_row_and_its_numbers(ngbench: Ngbench, tmp_path: Path) -> None:
    outcome = ngbench(f"check-plugin sgd:lr=0.5 --export-json {tmp_path}/rows.json")
    (report,) = json.loads((tmp_path / "rows.json").read_text())["conformance"]["plugins"]
    assert outcome.code == 1
    assert (report["plugin"], report["kind"], report["distribution"]) == ("sgd", "optimizer", "ngbench")
    assert report["failed"] == ["two", "four"]
    assert report["checks"][0] == {"name": "one", "status": "passed", "message": "fine", "values": {"seconds": 1.5}}
    on_stdout = ngbench("check-plugin sgd --export-json -")
    assert json.loads(on_stdout.out)["conformance"]["plugins"][0]["failed"] == ["two", "four"]
    assert "it limps" in on_stdout.err


def test_all_is_well_is_exit_code_zero(ngbench: Ngbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers, "OPTIMIZER_CHECKS", CHECKS[:1])
    assert ngbench("check-plugin sgd").code == 0


@pytest.mark.usefixtures("few_checks")
def test_a_name_of_several_kinds_is_tested_as_each(ngbench: Ngbench, monkeypatch: pytest.MonkeyPatch) -> None:
    from ngbench.experiments.conformance import approximations

    monkeypatch.setattr(approximations, "APPROXIMATION_CHECKS", CHECKS[:1])
    lines = ngbench("check-plugin kfac").out.splitlines()
    assert lines[0] == "kfac as optimizer"
    assert lines[-1] == "kfac (approximation, ngbench): 1 passed"
    assert ngbench("check-plugin kfac --approximation").code == 0
    assert ngbench("check-plugin kfac --optimizer").code == 1


def test_nothing_is_checked_without_what_the_rest_needs() -> None:
    def broken(subject: object) -> Passed:
        raise CheckFailed("broken", fatal=True)

    rows = run_checks(None, (Check("first", "be", broken), *CHECKS))
    assert [row.status for row in rows] == ["failed", *["not applicable"] * 5]
    assert {row.message for row in rows[1:]} == {"not without first"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nothing", "unknown plugin 'nothing'"),
        ("sgd --task", "unknown task 'sgd'"),
        ("sgd,adam", "names 2 plugins, check-plugin takes one"),
        ("sgd --task --optimizer", "give one of --optimizer, --task and --approximation"),
        ("sgd:rate=1", "optimizer sgd: unknown parameter 'rate'"),
        ("sgd:lr=-1", "lr=-1 is not allowed, it must be a number > 0"),
        ("torch.optim.Nothing", "'Nothing'"),
        ("sgd --export-json nowhere/rows.json", "nowhere"),
    ],
)
def test_bad_input_is_one_sentence(ngbench: Ngbench, line: str, message: str) -> None:
    outcome = ngbench(f"check-plugin {line}")
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_a_plugin_that_cannot_be_imported_fails_its_first_check(ngbench: Ngbench) -> None:
    outcome = ngbench("check-plugin broken --optimizer")
    assert outcome.code == 1
    first, *rest = outcome.out.splitlines()
    assert "failed" in first
    assert "optimizer 'broken' (from dist-laboratory) cannot be imported: ImportError: no such reagent" in first
    assert all("not without signature" in line for line in rest[:-1])


def test_kinds_are_found_by_name(laboratory: None) -> None:
    assert conformance.kinds_of("pond") == ["task"]
    assert conformance.kinds_of("chatters") == ["optimizer"]
    assert conformance.kinds_of("deflation") == ["optimizer", "approximation"]
