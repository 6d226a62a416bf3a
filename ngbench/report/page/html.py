"""The report as one HTML page that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from ngbench import __version__
from ngbench.report.advice import find_warnings
from ngbench.report.columns import format_breakdown, format_cost, format_notes, format_progress
from ngbench.report.heading import ORIGINS, arm_descriptions, data_descriptions, describe_conditions
from ngbench.report.page import markup
from ngbench.report.page.charts import cost_chart, fisher_chart, loss_chart
from ngbench.report.page.columns import (
    count_verdicts,
    format_claims,
    format_environments,
    format_epochs,
    format_fisher_error,
    format_overview,
)
from ngbench.report.page.markup import escape
from ngbench.report.page.sections import Report, Section
from ngbench.report.summary import arms_of, recorded_target, shared_seconds, summarise

__all__ = ["describe_report", "format_html"]

_ASSETS = files("ngbench.report.page") / "assets"
_SCRIPTS = ("elements.js", "lines.js", "bars.js", "page.js")


def format_html(report: Report, *, title: str, reference: str | None = None, target_loss: float | None = None) -> str:
    """The whole page.

    Args:
        report: what to show.
        title: of the page.
        reference: label of the arm that others are compared with, in the sections that have it; the first by
            default.
        target_loss: training loss to reach; the recorded one by default.
    """
    charts: dict[str, Any] = {}
    parts = []
    if report.claims:
        parts += ['<section id="claims" aria-labelledby="claims-title"><h2 id="claims-title">Claims</h2>']
        parts.append(markup.unordered((markup.counted(*pair) for pair in count_verdicts(report.claims)), "verdicts"))
        parts += [markup.table(format_claims(report.claims), "What became of each claim"), "</section>"]
    for at, section in enumerate(report.sections):
        name = f"section-{at}"
        parts.append(f'<section id="{name}" aria-labelledby="{name}-title">')
        parts.append(f'<h2 id="{name}-title">{escape(section.title)}</h2>')
        parts += _section(section, name, charts, reference, target_loss)
        parts.append("</section>")
    parts.append('<section id="environment" aria-labelledby="environment-title">')
    parts.append('<h2 id="environment-title">Environment</h2>')
    parts += [markup.table(format_environments(report.environments), "Where the runs were made"), "</section>"]
    overview = []
    if len(report.sections) > 1:
        names = [f"section-{at}" for at in range(len(report.sections))]
        overview.append(markup.table(format_overview(report.sections), "Sections", links=names))
    return _filled(
        title=escape(title),
        lead=escape(describe_report(report)),
        contents=_contents(report),
        content="\n".join([*overview, *parts]),
        data=markup.embedded(charts),
    )


def describe_report(report: Report) -> str:
    """How much there is, in one line."""
    runs = sum(len(section.document.runs) for section in report.sections if section.document)
    arms = sum(len(arms_of(section.document)) for section in report.sections if section.document)
    counts = [(len(report.sections), "section"), (arms, "arm"), (runs, "run"), (len(report.claims), "claim")]
    return " · ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count)


def _contents(report: Report) -> str:
    links = [("claims", "Claims")] if report.claims else []
    # Several have a table that leads to them.
    links += [("section-0", section.title) for section in report.sections if len(report.sections) == 1]
    links.append(("environment", "Environment"))
    return markup.unordered((f'<a href="#{name}">{escape(text)}</a>' for name, text in links), "contents")


def _filled(**values: str) -> str:
    style = _asset("page.css")
    # In a function of its own, so that the parts share their names with each other and with nothing else.
    script = '(() => {\n"use strict";\n\n' + "\n".join(map(_asset, _SCRIPTS)) + "})();"
    values |= {"style": style, "script": script, "version": __version__}
    values |= {"style_digest": _digest(style), "script_digest": _digest(script)}
    # In one pass, so that what a record says is never taken for a place to fill.
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], _asset("page.html"))
    # A record may hold half of a surrogate pair, which has no encoding.
    return page.encode("utf-8", "replace").decode("utf-8")


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """How the page's content policy names the one style and the one script that may act."""
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _section(
    section: Section, name: str, charts: dict[str, Any], reference: str | None, target_loss: float | None
) -> Iterator[str]:
    yield from (f'<p class="note">{escape(remark)}</p>' for remark in section.remarks)
    if section.document is not None:
        yield from _runs(section, name, charts, reference, target_loss)
    for at, measured in enumerate(section.fisher_errors):
        yield f"<h3>Fisher error: {escape(measured.heading)}</h3>"
        if measured.conditions:
            yield markup.unordered([f"<b>Conditions</b> {escape(measured.conditions)}"], "facts")
        drawn = fisher_chart(measured.error)
        if drawn is not None:
            charts[f"{name}-fisher-{at}"] = drawn
            yield markup.chart(f"{name}-fisher-{at}", "lines", "Error of each approximation on the same samples.")
            yield markup.table(format_fisher_error(measured.error), f"Fisher error, {measured.heading}")
    if section.samples:
        yield "<h3>Samples</h3>"
        for row in section.samples:
            yield f"<p><b>{escape(row.label)}</b>, seed {row.seed}</p>"
            yield f'<div class="samples">{"".join(map(markup.sample, row.samples))}</div>'


def _runs(
    section: Section, name: str, charts: dict[str, Any], reference: str | None, target_loss: float | None
) -> Iterator[str]:
    document = section.document
    assert document is not None
    known = reference if reference in arms_of(document) else None
    target = recorded_target(document) if target_loss is None else target_loss
    arms = summarise(document, reference=known, target_loss=target)
    yield markup.unordered(_facts(section), "facts")
    warnings = find_warnings(document, reference=known, target_loss=target)
    if warnings:
        listed = markup.unordered(map(escape, warnings), "warnings")
        yield f'<div class="note warning"><b>Read with care</b>{listed}</div>'
    losses, costs = loss_chart(arms), cost_chart(arms)
    yield "<h3>Progress</h3>"
    yield markup.table(format_progress(arms, target, shared_seconds(document)), "How far each arm got")
    if losses is not None:
        charts[f"{name}-losses"] = losses
        yield markup.chart(f"{name}-losses", "lines", _caption(losses))
        epochs = format_epochs(arms)
        if epochs:
            yield _folded("Training loss by epoch, as a table", markup.table(epochs, "Training loss after epochs"))
    yield "<h3>Cost</h3>"
    yield markup.table(format_cost(arms), "What each arm cost")
    if costs is not None:
        charts[f"{name}-costs"] = costs
        caption = "Time of an update, amortised over plain and refresh steps, by phase."
        yield markup.chart(f"{name}-costs", "bars", caption)
        tables = [markup.table(format_breakdown(arm), f"{arm.label}, by phase") for arm in arms if arm.phases]
        yield _folded("Cost per update by phase, as tables", "".join(tables))
    yield markup.unordered(map(escape, format_notes(arms)), "notes")


def _caption(losses: dict[str, Any]) -> str:
    said = ["Line: mean over seeds; band: lowest to highest seed." if _banded(losses) else "One run per arm."]
    if any(series["ended"] for series in losses["series"]):
        said.append("A thin line that ends in a cross is a run that failed or diverged.")
    return " ".join(said)


def _banded(losses: dict[str, Any]) -> bool:
    return any(series["runs"] > 1 for series in losses["series"])


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _facts(section: Section) -> Iterator[str]:
    document = section.document
    assert document is not None
    for origin, described in data_descriptions(document):
        shown = escape(described)
        if origin == "stand-in":
            shown = shown.replace(ORIGINS[origin], f'<span class="stand-in">{ORIGINS[origin]}</span>')
        yield f"<b>Data</b> {shown}"
    yield f"<b>Conditions</b> {escape(describe_conditions(document))}"
    for label, described in arm_descriptions(document):
        yield f"<b>{escape(label)}</b> {escape(described)}"
