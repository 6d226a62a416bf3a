"""The blocks of a report: an overview, what became of claims, a section for each task, search and study, and where it
all ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ngbench.records.provenance import EnvironmentRecord
from ngbench.report import headline, view
from ngbench.report.blocks import Block, Column, Fact, Facts, Heading, Images, Notes, Table
from ngbench.report.page.sections import Environment, Report, Section
from ngbench.report.summary import arms_of
from ngbench.report.views.fisher_error import layer_blocks, nearest
from ngbench.report.views.study import claims_by_kind, claims_table, count_verdicts
from ngbench.units import DASH, counted, format_bytes

__all__ = ["describe_report", "missing_images", "report_blocks"]

_MOST_SOURCES = 3


def report_blocks(report: Report, *, reference: str | None = None, target_loss: float | None = None) -> list[Block]:
    """All that the report shows.

    Args:
        report: what to show.
        reference: label of the arm that others are compared with, in the sections that have it; the first by
            default.
        target_loss: training loss to reach; the recorded one by default.
    """
    return [*_blocks(report, reference, target_loss)]


def _blocks(report: Report, reference: str | None, target_loss: float | None) -> Iterator[Block]:
    if len(report.sections) > 1:
        yield Table("", overview(report.sections), links=[_anchor(at) for at in range(len(report.sections))])
    if report.claims:
        yield Heading("Claims", anchor="claims")
        yield count_verdicts(report.claims)
        yield Table("", claims_table(report.claims, studies=True))
        yield from claims_by_kind(report.claims)
    for at, section in enumerate(report.sections):
        yield Heading(section.title, anchor=_anchor(at))
        yield from _section(section, reference, target_loss)
    yield Heading("Environment", anchor="environment")
    yield Table("", environments_table(report.environments))


def _anchor(at: int) -> str:
    return f"section-{at}"


def _section(section: Section, reference: str | None, target_loss: float | None) -> Iterator[Block]:
    if section.remarks:
        yield Notes(section.remarks)
    if section.calls:
        yield Facts(section.calls)
    if section.document is not None:
        known = reference if reference in {run.label for run in section.document.runs} else None
        shown = view(section.document, reference=known, target_loss=target_loss)
        # The section has a heading already.
        yield from shown[1:] if isinstance(shown[0], Heading) else shown
    for at, measured in enumerate(section.fisher_errors):
        blocks = [
            *layer_blocks(
                measured.errors,
                f"Fisher error: {measured.heading}",
                f"fisher-error-{at}",
                about=[f"{section.title} · {measured.heading}"],
            )
        ]
        yield from blocks[:1]
        if measured.conditions:
            yield Facts([Fact("conditions", measured.conditions)])
        yield from blocks[1:]


def missing_images(blocks: Sequence[Block]) -> list[str]:
    """Where images should have been that are not there."""
    rows = (row for block in blocks if isinstance(block, Images) for row in block.rows)
    return [str(image.path) for row in rows for image in row.images if image.png is None]


def describe_report(report: Report) -> str:
    """How much there is, in one line."""
    runs = sum(len(section.document.runs) for section in report.sections if section.document)
    arms = sum(map(_arms, report.sections))
    counts = [(len(report.sections), "section"), (arms, "arm"), (runs, "run"), (len(report.claims), "claim")]
    return " · ".join(counted(count, noun) for count, noun in counts if count)


def overview(sections: Sequence[Section]) -> list[Column]:
    """One row for each section: how much ran, what is best in it and what failed."""

    def counts(count: Callable[[Section], int]) -> list[str]:
        return [str(count(section) or DASH) for section in sections]

    columns = [
        Column("section", [section.title for section in sections], left=True),
        Column("arms", counts(_arms)),
        Column("runs", counts(lambda section: len(section.document.runs) if section.document else 0)),
        Column("outcome", [_outcome(section) or DASH for section in sections], left=True),
    ]
    if any(section.fisher_errors for section in sections):
        columns.insert(3, Column("Fisher\nerrors", counts(lambda section: len(section.fisher_errors))))
    return columns


def _arms(section: Section) -> int:
    document = section.document
    if document is None:
        return 0
    return len(arms_of(document)) if document.search is None else len(document.search.arms)


def _outcome(section: Section) -> str:
    if section.document is not None:
        return headline(section.document)
    return nearest(section.fisher_errors[0].errors) if len(section.fisher_errors) == 1 else ""


def environments_table(environments: Sequence[Environment]) -> list[Column]:
    """One column for each environment, one row for each fact."""
    packages = dict.fromkeys(name for environment in environments for name in environment.record.packages)
    facts: dict[str, Callable[[EnvironmentRecord], str]] = {
        "ngbench": lambda record: _package("ngbench", record) if record.packages else record.ngbench,
        "Python": lambda record: record.python,
        "torch": lambda record: record.torch or DASH,
        "CUDA": lambda record: record.cuda or DASH,
        "platform": lambda record: record.platform,
        "processor": lambda record: record.processor,
        "cores": lambda record: str(record.cores),
        "threads": lambda record: DASH if record.threads is None else str(record.threads),
        "memory": lambda record: format_bytes(record.memory_bytes),
        "host": lambda record: record.host or DASH,
        **{name: partial(_package, name) for name in packages if name not in ("ngbench", "torch")},
    }
    columns = [Column("", list(facts), left=True)]
    for environment in environments:
        named, rest = environment.sources[:_MOST_SOURCES], environment.sources[_MOST_SOURCES:]
        heading = ", ".join(named) + (f" and {len(rest)} more" if rest else "")
        columns.append(Column(heading, [fact(environment.record) for fact in facts.values()], left=True))
    return columns


def _package(name: str, record: EnvironmentRecord) -> str:
    package = record.packages.get(name)
    if package is None:
        return DASH
    commit = "" if package.commit is None else f", commit {package.commit[:12]}"
    return f"{package.version or DASH}{commit}{' with changes' if package.dirty else ''}"
