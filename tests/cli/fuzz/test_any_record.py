"""Whatever is read as a record stands in every view and every export; all else is refused in one sentence.

Hypothesis draws the faults here, also those that nobody thought of, and makes what it finds small.
"""

from __future__ import annotations

import copy
import io
import json
from contextlib import suppress
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from ngbench.errors import NotComparableError, RecordError, UsageError
from ngbench.experiments.gate import gate_document
from ngbench.records.documents import dump, load_document
from ngbench.records.gate import check
from ngbench.records.record import Document
from ngbench.records.thresholds import parse_threshold
from ngbench.report import view
from ngbench.report.exports.formats import format_csv
from ngbench.report.exports.gate import format_annotations
from ngbench.report.exports.pytest_benchmark import format_pytest_benchmark
from ngbench.report.exports.tidy import tidy
from ngbench.report.page.contents import report_blocks
from ngbench.report.page.record_files import Source
from ngbench.report.page.sections import Report, gather
from ngbench.report.renderers import html, markdown, terminal
from ngbench.report.views import gate
from tests.cli.fuzz.contents import ALL_METRICS, comparison, players
from tests.cli.fuzz.mutation import HOSTILE, places

CONTENTS = (comparison(0), players(0))
PLACES = tuple(sorted(places(content), key=lambda place: (len(place), str(place))) for content in CONTENTS)

# With halves of surrogate pairs.
texts = st.text(st.characters(), max_size=20)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from(HOSTILE),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(texts, part, max_size=3),
    max_leaves=6,
)
alike: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(0, 2**63 - 1),
    float: st.floats(0, 1e60) | st.none(),
    str: texts,
    type(None): st.floats(),
}


GONE = "gone"


@st.composite
def faults(draw: st.DrawFn) -> tuple[int, list[tuple[tuple[str | int, ...], str, Any]]]:
    """Which of the contents, and up to three places in it with what is there instead.

    Half of them are replaced by what is like them, which more often makes a record.
    """
    at = draw(st.integers(0, 1))
    made = []
    for _ in range(draw(st.integers(1, 3))):
        depth = draw(st.integers(1, len(PLACES[at][-1])))
        place = draw(st.sampled_from([place for place in PLACES[at] if len(place) == depth]))
        how = draw(st.sampled_from(["like it"] * 5 + ["anything"] * 4 + [GONE]))
        there = reduce(getitem, place, CONTENTS[at])
        strategy = alike.get(type(there), anything) if how == "like it" else anything
        made.append((place, how, None if how == GONE else draw(strategy)))
    return at, made


def content_of(at: int, made: list[tuple[tuple[str | int, ...], str, Any]]) -> Any:
    content: Any = copy.deepcopy(CONTENTS[at])
    for (*path, key), how, value in made:
        # An earlier fault may have taken the place away.
        with suppress(KeyError, IndexError, TypeError):
            holder = reduce(getitem, path, content)
            if how == GONE:
                del holder[key]
            else:
                holder[key] = value
    return content


def views(document: Document, good: Document, path: Path) -> None:
    try:
        report = gather([Source(path, "record", document)])
    except RecordError:
        # An image is none.
        report = Report([], [], [])
    sections = {section.title: section.document for section in report.sections if section.document}
    format_csv(tidy(document))
    html.render(report_blocks(report), title="t")
    if any(run.steps.seconds for found in sections.values() for run in found.runs):
        format_pytest_benchmark(sections)
    for found in sections.values():
        markdown.render(view(found))
        shown(terminal.render(view(found), 80))
    for pair in ((document, good), (good, document)):
        try:
            verdict = check(*pair, [parse_threshold(metric) for metric in ALL_METRICS], floor=1e-5)
        except (UsageError, NotComparableError):
            continue
        shown(terminal.render(gate.view(gate_document(verdict)), 80))
        markdown.render(gate.view(gate_document(verdict)))
        format_annotations(verdict)


def shown(renderable: Any) -> None:
    Console(file=io.StringIO(), width=80, color_system=None).print(renderable)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(found=faults())
def test_what_is_read_is_shown(found: tuple[int, Any], directory: Path) -> None:
    at, made = found
    path, good = directory / "record.json", directory / "good.json"
    good.write_text(json.dumps(CONTENTS[at]))
    path.write_text(json.dumps(content_of(at, made)))
    try:
        document = load_document(path)
    except RecordError as refused:
        text = str(refused)
        assert "\n" not in text
        return
    views(document, load_document(good), path)
    # What is written of it is read again, and is the same.
    path.write_text(dump(document))
    assert load_document(path) == document
