"""An option that results depend on is a field with ``decides``: record, resumption and comparison follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ngbench.arms import parse_arms
from ngbench.errors import OutputError, RecordError
from ngbench.experiments.search.plan import plan_search
from ngbench.experiments.search.request import SearchRequest
from ngbench.records.comparability import match_arms
from ngbench.records.environment import describe_environment
from ngbench.records.record import Document, RunRecord
from ngbench.records.store import Store
from ngbench.running.option_fields import conditions_of, option
from ngbench.running.plan import make_plan
from ngbench.running.request import Request, RunOptions
from ngbench.running.resume import with_output


@dataclass(frozen=True)
class Options(RunOptions):
    """With two options more."""

    bound: float | None = option(None, "Bound of a gradient's norm.", convert=float, decides=True)
    words: str = option("", "Something that results do not depend on.")


def planned(bound: float | None, words: str = ""):
    options = Options(steps=1, batch_size=32, bound=bound, words=words)
    ((run,),) = make_plan(Request("curves-autoencoder", parse_arms(["sgd"]), {"examples": "64"}, options)).groups
    assert run.config.conditions == run.record.conditions
    return run


def done(bound: float | None, words: str = "") -> RunRecord:
    return planned(bound, words).record.model_copy(update={"status": "done"})


def test_the_record_keeps_what_was_set_of_what_results_depend_on() -> None:
    assert done(None).conditions == {}
    assert done(0.5, "said").conditions == {"bound": 0.5}
    assert conditions_of(RunOptions(steps=3, seed=4)) == {}


@pytest.mark.parametrize(("bound", "words", "refused"), [(0.25, "", True), (0.5, "said", False)])
def test_a_run_under_other_conditions_is_not_gone_on_with(
    tmp_path: Path, bound: float, words: str, refused: bool
) -> None:
    Store(tmp_path, describe_environment(), resume=False).write(done(0.5))
    store = Store(tmp_path, describe_environment(), resume=True)
    if refused:
        with pytest.raises((OutputError, RecordError), match="bound"):
            with_output([[planned(bound, words)]], store)
    else:
        with_output([[planned(bound, words)]], store)


@pytest.mark.parametrize(("bound", "words", "refused"), [(0.25, "", True), (0.5, "said", False)])
def test_runs_under_other_conditions_are_not_compared(bound: float, words: str, refused: bool) -> None:
    environment = describe_environment()
    before, now = (Document(environment=environment, runs=[run]) for run in (done(0.5), done(bound, words)))
    pairs, obstacles, _ = match_arms(before, now)
    assert (len(pairs), bool(obstacles)) == ((0, True) if refused else (1, False))
    assert not refused or "bound" in str(obstacles[0])


@pytest.mark.parametrize(("bound", "kept"), [(0.5, {"conditions": {"bound": 0.5}}), (None, {})])
def test_a_search_is_of_one_set_of_conditions(bound: float | None, kept: dict[str, object]) -> None:
    options = Options(steps=1, batch_size=32, bound=bound)
    run = Request("curves-autoencoder", parse_arms(["sgd"]), {"examples": "64"}, options)
    common = plan_search(SearchRequest(run, {"sgd": {"lr": [0.1, 0.2]}})).common
    assert {name: value for name, value in common.items() if name == "conditions"} == kept
