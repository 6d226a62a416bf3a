"""Labels, messages, names of phases and metrics that would act, in every output at once."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from ngbench.escaping import WorkflowLog
from ngbench.experiments.gate import gate_document
from ngbench.records.gate import check
from ngbench.records.record import Document
from ngbench.records.thresholds import parse_threshold
from ngbench.report import view
from ngbench.report.exports.gate import format_annotations
from ngbench.report.page.contents import report_blocks
from ngbench.report.page.record_files import Source
from ngbench.report.page.sections import gather
from ngbench.report.renderers import html, markdown, terminal
from ngbench.report.views import gate
from tests.records.gate_documents import build_document, build_run
from tests.test_escaping import HOSTILE

NAMES = [name for name in HOSTILE if name.strip() and len(name) < 1000 and name.isascii() | ("\ud800" not in name)]


def document_of(name: str, slower: float = 1.0) -> Document:
    run = build_run("kfac", every=5, rounds=4, slower={"refresh": slower}, losses=[0.4, 0.3, 0.2, 0.1 * slower])
    phases = {**run.phases, name: run.phases["refresh"]}
    run.history.metrics = {name: [0.1, 0.2, 0.3, 0.4]}
    update = {"label": name, "task": name, "message": name, "status": "timeout", "phases": phases, "device_name": name}
    reference = build_run("sgd", rounds=4).model_copy(update={"task": name})
    return build_document(reference, run.model_copy(update=update), processor=name)


def shown(renderable: object) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(renderable)
    return WorkflowLog().passed(console.file.getvalue())  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_acts_on_a_terminal_or_in_a_log(name: str) -> None:
    before, now = document_of(name), document_of(name, slower=3.0)
    report = check(now, before, [parse_threshold("training_loss:1%"), parse_threshold("phase.*.seconds:5%")], floor=0.0)
    assert report.regressions
    for text in (shown(terminal.render(view(now), 100)), shown(terminal.render(gate.view(gate_document(report)), 100))):
        assert text.replace("\n", "").isprintable()
        assert not re.search(r"(?m)^\s*::|##\[", text)
    lines = re.split("[\r\n]", format_annotations(report).rstrip("\n"))
    assert all(line.startswith(("::error title=ngbench", "::warning title=ngbench")) for line in lines)


class _Parts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, frozenset[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, frozenset(key for key, _ in attrs)))


def parts_of(text: str) -> list[tuple[str, frozenset[str]]]:
    parser = _Parts()
    parser.feed(text)
    # Where a line may end within a label is not the same in another one.
    return [part for part in parser.found if part[0] != "wbr"]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_the_elements_that_it_has_for_any_name(name: str, tmp_path) -> None:
    def page(name: str) -> str:
        return html.render(report_blocks(gather([Source(tmp_path / "a.json", "a", document_of(name))])), title=name)

    assert parts_of(page(name)) == parts_of(page("a plain name"))


@pytest.mark.parametrize("name", NAMES)
def test_markdown_has_no_markup_of_a_name(name: str) -> None:
    before, now = document_of(name), document_of(name, slower=3.0)
    report = check(now, before, [parse_threshold("training_loss:1%")], floor=0.0)
    for text in (markdown.render(view(now)), markdown.render(gate.view(gate_document(report)))):
        outside = re.sub(r"(`+).*?[^`]\1(?!`)", "", text).replace("&#8203;", "\0")
        assert parts_of(outside) == []
        assert not re.search(r"@\w|(?<!\\)\[|#\d|https://|<!--", outside)


@pytest.mark.parametrize("name", ["$x^$ \\frac", "[/]", "\x1b[31m", "_hidden"])
def test_figures_are_drawn_for_any_name(name: str, tmp_path) -> None:
    report = gather([Source(tmp_path / "a.json", "a", document_of(name))])
    text = markdown.render(report_blocks(report), title=name, file=tmp_path / "page.md")
    assert len(list(tmp_path.glob("page-figures/*/*.png"))) == text.count("![") > 0
