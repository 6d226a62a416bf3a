"""What may be asked of a run, from the command line, from a study and from Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from ngbench.errors import ParameterError
from ngbench.running.option_fields import option, options_of
from ngbench.running.request import AdversarialOptions, RunOptions

PACKAGE = Path(__file__).parents[2] / "ngbench"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("90", 90), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("2m 5s", 125), (None, None), (7, 7)],
)
def test_durations(text: Any, seconds: float | None) -> None:
    assert RunOptions(time_limit=text).time_limit == seconds


@pytest.mark.parametrize("text", ["", "0s", "ten", "5x", "-3s", "5m2h", "nan", 0, float("nan"), True])
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(ParameterError, match=r"time_limit=.* must be a duration longer than 0 such as 90s"):
        RunOptions(time_limit=text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "epochs=0 is not allowed, it must be an integer >= 1"),
        ({"batch_size": "many"}, "batch_size=many is not allowed"),
        ({"seed": 2**63 - 1, "seeds": 2}, "the last seed must be < 2**63"),
        ({"seed": None}, "seed=none is not allowed"),
        ({"diagnostics_damping": 0}, "diagnostics_damping=0 is not allowed"),
        ({"data_dir": ""}, "an empty path is not allowed"),
    ],
)
def test_options_are_checked_whoever_makes_them(given: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)):
        RunOptions(**given)
    with pytest.raises(ParameterError, match=re.escape(message)):
        replace(RunOptions(), **given)


def test_options_are_converted() -> None:
    asked = AdversarialOptions(epochs="3", data_dir="here", penalty="2.5", fid_features="64")  # type: ignore[arg-type]
    assert (asked.epochs, asked.data_dir, asked.penalty, asked.fid_features) == (3, Path("here"), 2.5, 64)


def test_each_option_is_declared_with_its_help() -> None:
    declared = options_of(RunOptions)
    assert set(declared) | {"count_operations"} == {field.name for field in fields(RunOptions)}
    assert all(one.help.endswith(".") for one in declared.values())
    assert declared["batch_size"].flags == ("--batch-size",)
    assert declared["batch_size"].convert is not None
    assert declared["diagnostics"].convert is None


def test_options_without_a_meaning_are_left_out() -> None:
    assert "target_loss" in options_of(RunOptions)
    assert "target_loss" not in options_of(AdversarialOptions)
    assert options_of(AdversarialOptions)["epochs"].help != options_of(RunOptions)["epochs"].help


@dataclass(frozen=True)
class _WithMore(RunOptions):
    clipping: float | None = option(None, "Largest norm of a gradient.", metavar="NORM")


def test_a_new_field_is_an_option_of_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    from ngbench.cli import options

    taken = {}

    @options.spliced
    def command(*, run: _WithMore) -> None:
        taken["run"] = run

    command(clipping=2.0, **{name: getattr(RunOptions(), name) for name in options_of(RunOptions)})
    assert taken["run"] == _WithMore(clipping=2.0)


def test_an_option_is_written_down_in_one_place_and_obeyed_in_another() -> None:
    """The field, and what ends the run; studies, records and searches have words for it."""
    places = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search("early[-_]stopping", path.read_text(encoding="utf-8"))
    }
    assert places == {
        "experiments/search/arm_results.py",
        "experiments/studies/cells.py",
        "experiments/studies/settings.py",
        "records/endings.py",
        "records/experiments.py",
        "running/config.py",
        "running/request.py",
        "running/stopping.py",
        "running/turns.py",
    }
