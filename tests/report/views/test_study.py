"""The tables of a study: verdicts with what they cover and rest on, beside the thesis, counted by kind."""

from __future__ import annotations

from typing import Any

from ngbench.records.provenance import EnvironmentRecord
from ngbench.records.record import Document
from ngbench.records.studies import ClaimRecord, StudyRecord
from ngbench.report import view
from ngbench.report.blocks import Counts, Facts, Table, tone_of
from ngbench.report.views.study import claims_by_kind, count_verdicts

ENVIRONMENT = EnvironmentRecord(ngbench="0", python="3", platform="p", processor="p", cores=2, memory_bytes=1)
BASIS = {
    "seeds": 5,
    "epochs": 6,
    "of_published": 1.23,
    "published_epochs": 200,
    "estimates": 12,
    "settings": {"KFAC": "searched", "Adam": "searched", "SGD": "defaults"},
    "data": ["stand-in"],
}
PARTLY: dict[str, Any] = {
    "kind": "training",
    "verdict": "reproduced",
    "cells": 9,
    "cells_tested": 1,
    "pairs": 18,
    "pairs_tested": 2,
    "scale": "ratio",
    "interval": [0.81, 0.9],
    "level": 0.011,
    "p_value": 0.01,
    "basis": BASIS,
    "published": {"here": "contradicted", "end": "reproduced", "horizon": 5},
}
OPEN = {
    "kind": "training",
    "verdict": "inconclusive",
    "level": 0.011,
    "p_value": 0.3,
    "seeds_needed": 8,
    "basis": BASIS,
}
PROVEN = {"kind": "theorem", "verdict": "reproduced", "cells": 1, "cells_tested": 1, "p_value": 0.0}
UNTESTED = {"kind": "training", "verdict": "not tested", "reason": "too early", "observed": "too early", "cells": 3}


def claims(*given: dict[str, Any]) -> list[ClaimRecord]:
    named = [{"study": "s", "claim": f"claim-{at}: text", "name": f"claim-{at}", **one} for at, one in enumerate(given)]
    return [ClaimRecord.model_validate(one) for one in named]


def tables(found: list[ClaimRecord], **parts: Any) -> dict[str, dict[str, list[str]]]:
    study = StudyRecord(
        study="s",
        title="t",
        source="x",
        question="q",
        scale="laptop",
        seconds=1,
        definition=None,
        claims=found,
        **parts,
    )
    blocks = view(Document(environment=ENVIRONMENT, runs=[], studies=[study]))
    facts = next(block for block in blocks if isinstance(block, Facts))
    shown = {"facts": {fact.name: [fact.text] for fact in facts.facts}}
    for block in blocks:
        if isinstance(block, Table):
            shown[block.title] = {column.name.replace("\n", " "): list(column.cells) for column in block.columns}
    return shown


def test_verdicts_say_what_they_cover_and_what_the_thesis_says() -> None:
    shown = tables(claims(PARTLY, OPEN, UNTESTED))["Claims"]
    assert shown["verdict"] == ["reproduced on 1 of 9 cells", "inconclusive", "not tested"]
    assert shown["the thesis at this epoch"] == ["contradicted", "—", "—"]
    assert shown["the thesis at its end"] == ["reproduced", "—", "—"]
    assert shown["98.9 % interval"] == ["× 0.8100 to 0.9000", "—", "—"]
    assert shown["observed"][2] == "too early"
    assert tone_of("reproduced on 1 of 9 cells") == tone_of("reproduced") == "good"


def test_intervals_of_several_levels_have_no_one_confidence() -> None:
    assert "interval" in tables(claims(PARTLY, {**OPEN, "level": 0.1}))["Claims"]


def test_claims_without_published_curves_have_no_columns_for_them() -> None:
    assert not any("thesis" in name for name in tables(claims(OPEN))["Claims"])


def test_a_table_says_what_verdicts_rest_on() -> None:
    shown = tables(claims(PARTLY, OPEN, UNTESTED))["What the verdicts rest on"]
    assert shown["kind"] == ["training"] * 3
    assert shown["pairs"] == ["2 of 18", "0 of 0", "0 of 0"]
    assert shown["seeds"] == ["5", "5, needs 8", "—"]
    assert (shown["epochs"][0], shown["of the thesis'"][0], shown["horizon"][0]) == ("6", "1.23 of 200", "5")
    assert (shown["estimates"][0], shown["settings"][0], shown["data"][0]) == ("12", "searched, defaults", "stand-in")


def test_kinds_are_counted_apart_with_what_passes_a_false_discovery_rate() -> None:
    doubtful = {**PARTLY, "p_value": 0.06}
    found = claims(PARTLY, doubtful, OPEN, UNTESTED, PROVEN)
    (table,) = claims_by_kind(found)
    columns = {column.name.replace("\n", " "): list(column.cells) for column in table.columns}
    assert columns["kind"] == ["theorem", "training"]
    assert columns["reproduced in part"] == ["0", "2"]
    assert columns["decided at a false discovery rate of 5 %"] == ["1", "1"]
    assert str(count_verdicts(found)) == "1 reproduced, 2 reproduced in part, 1 inconclusive, 1 not tested"
    assert isinstance(count_verdicts(found), Counts)
    assert claims_by_kind(claims({"verdict": "reproduced"})) == []


def test_one_pair_contradicts_all_and_reproduces_any() -> None:
    whole = {"cells": 2, "cells_tested": 2, "pairs": 4, "pairs_tested": 3}
    found = claims(
        {**whole, "verdict": "contradicted"},
        {**whole, "verdict": "reproduced", "holds": "any"},
        {**whole, "verdict": "contradicted", "holds": "any"},
        {**whole, "verdict": "reproduced"},
    )
    assert [claim.shown_verdict for claim in found] == [
        "contradicted",
        "reproduced",
        "contradicted on 3 of 4 pairs",
        "reproduced on 3 of 4 pairs",
    ]


def test_added_seeds_and_what_ended_them_are_told() -> None:
    assert "seeds" not in tables(claims(OPEN))["facts"]
    assert tables(claims(OPEN), looks=[3])["facts"]["seeds"] == ["3"]
    ended = "8 seeds would take about 9.0 minutes, more than 5"
    assert tables(claims(OPEN), looks=[3, 5], sequential=True, ended=ended)["facts"]["seeds"] == [
        f"3, then 5 (added until every claim is decided); {ended}"
    ]
