"""The pages name every key of the languages that users write, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from ngbench.experiments.studies import claims, models
from ngbench.experiments.studies.settings import MEASURE_KEYS, StudySettings
from ngbench.records.claim_rule import Relation
from ngbench.records.quantities import QUANTITIES

DOCS = Path(__file__).parents[1] / "docs"
STUDIES = (DOCS / "studies.md").read_text(encoding="utf-8")
SECTIONS = {
    "The study": models.Study,
    "Settings": StudySettings,
    "Panels": models.Panel,
    "Arms": models.StudyArm,
    "Search": models.Tune,
    "Scales": models.Scale,
    "Claims": claims.Claim,
    "Sides": claims.Side,
    "When": claims.At,
}


def section(title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", STUDIES, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def table(text: str, head: str = "key") -> list[str]:
    """What stands in code in the first column of the tables that begin with ``head``."""
    names: list[str] = []
    for rows in re.findall(rf"^\| `?{head}`? \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE):
        for row in rows.splitlines():
            names += re.findall(r"`([^`]+)`", row.split("|")[1])
    return names


@pytest.mark.parametrize(("title", "model"), SECTIONS.items())
def test_a_table_names_every_key_of_a_mapping_and_no_other(title: str, model: type[BaseModel]) -> None:
    own = set(model.model_fields)
    if issubclass(model, StudySettings) and model is not StudySettings:
        own -= set(StudySettings.model_fields)
    # Tables of other things than keys stand in the section of claims.
    assert sorted(table(section(title))) == sorted(own)


def test_both_tables_of_the_figure_name_every_key() -> None:
    keys = table(section("Figure"))
    assert set(keys) == {*models.Figure.model_fields, *models.Cell.model_fields}
    assert sorted(keys) == sorted([*models.Figure.model_fields, *models.Cell.model_fields])


@pytest.mark.parametrize("model", [models.SearchedRange, models.Selector, models.Published, models.Scales])
def test_small_mappings_are_named_in_the_text(model: type[BaseModel]) -> None:
    for key in model.model_fields:
        assert re.search(rf"[`{{ ]{key}[`:]", STUDIES), key


def test_the_page_says_for_which_studies_a_setting_is() -> None:
    rows = [row.split("|") for row in section("Settings").splitlines() if row.startswith("| `")]
    for row in rows:
        (key,) = re.findall(r"`([^`]+)`", row[1])
        said = row[3].split(";")[0]
        kinds = set(MEASURE_KEYS) if "all" in said else set(re.findall(r"`([^`]+)`", said))
        assert kinds == {kind for kind, keys in MEASURE_KEYS.items() if key in keys}, key


def test_every_relation_and_every_measurement_of_a_study_is_named() -> None:
    trends = {"falls_with_batch_size", "rises_with_batch_size"}
    assert set(table(section("Claims"), "relation")) == {relation.value for relation in Relation} | trends
    asked = {one.form for one in QUANTITIES.values() if one.asked & set(MEASURE_KEYS)}
    assert set(table(section("Measurements"), "measurement")) == asked
