"""What a report says, in the order in which it says it: a section for each task, search and study."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ngbench.records.documents import merge
from ngbench.records.provenance import EnvironmentRecord
from ngbench.records.record import Document, DocumentKind, FisherErrorRecord
from ngbench.records.studies import ClaimRecord
from ngbench.report.blocks import Fact
from ngbench.report.page.merging import Found, label_arms, without_repeats
from ngbench.report.page.record_files import Source
from ngbench.report.sample_images import with_figure, with_images
from ngbench.report.views.conditions import describe_conditions
from ngbench.report.views.fisher_error import repeats_of
from ngbench.units import format_hyperparameters

__all__ = ["Environment", "Report", "Section", "gather"]


@dataclass(frozen=True)
class MeasuredLayer:
    """The Fisher errors of one layer.

    Attributes:
        heading: the layer, and the run that it was measured in, if that is known.
        conditions: of that run, in words; empty if they are not known.
        errors: what was measured, of each seed.
    """

    heading: str
    conditions: str
    errors: Sequence[FisherErrorRecord]


@dataclass
class Section:
    """What ran on one task with one set of options (in one study), or a search, or a study.

    Attributes:
        title: what it is about.
        document: what a view shows of it; ``None`` where only Fisher errors are known.
        measured: the runs that did nothing but measure Fisher errors.
        fisher_errors: of each measured layer.
        remarks: what was left out or renamed, in sentences.
        calls: what made it.
        directory: of the records of a study.
    """

    title: str
    document: Document | None = None
    measured: Document | None = None
    fisher_errors: list[MeasuredLayer] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    calls: list[Fact] = field(default_factory=list)
    directory: Path | None = None


@dataclass(frozen=True)
class Environment:
    """Where runs were made, and what was found of it where."""

    record: EnvironmentRecord
    sources: Sequence[str]


@dataclass(frozen=True)
class Report:
    """Everything that a report shows; ``claims`` are those that no section shows."""

    sections: Sequence[Section]
    claims: Sequence[ClaimRecord]
    environments: Sequence[Environment]


_Key = tuple[str, str, str]


def gather(sources: Sequence[Source]) -> Report:
    """The report on these files.

    Raises:
        RecordError: a sample image in them cannot be read, or is none.
    """
    by_key: dict[_Key, list[Found]] = {}
    places: dict[_Key, float] = {}
    placed: list[tuple[float, Section]] = []
    claims: list[ClaimRecord] = []
    searched = {source.file.parent for source in sources if source.document.search is not None}
    for place, source in enumerate(map(partial(_with_trials, sources), sources)):
        study = _study(source)
        if (section := _of_one_file(source)) is not None:
            section.calls = _calls([source.document.environment])
            # A study stands before the comparisons that it is made of.
            parts = [at for at, other in enumerate(sources[:place]) if study and _study(other).startswith(study)]
            placed.append((parts[0] - 0.5 if parts else place, section))
            continue
        claims += [claim for one in source.document.studies for claim in one.claims]
        for at, run in enumerate(source.document.runs):
            if run.trial is not None and source.file.parent in searched:
                continue
            prefix = f"runs.{at}."
            about = study if run.trial is None else "trials of a search"
            key = (about, run.task, json.dumps(run.task_options, sort_keys=True, default=str))
            places.setdefault(key, place)
            shown = with_images(run, source.file, prefix)
            by_key.setdefault(key, []).append(Found(shown, source))
    sections = {key: _section(key, runs) for key, runs in by_key.items()}
    for place, source in enumerate(sources):
        for key in _add_fisher_errors(sections, source):
            places.setdefault(key, place)
    placed += [(places[key], section) for key, section in sections.items()]
    distinct = [claim for at, claim in enumerate(claims) if claim not in claims[:at]]
    ordered = [section for _, section in sorted(placed, key=lambda one: one[0])]
    return Report(ordered, distinct, _environments(sources))


def _with_trials(sources: Sequence[Source], source: Source) -> Source:
    """The file; a search with the runs of its trials, which have files of their own beside it."""
    if source.document.search is None or source.document.runs:
        return source
    beside = [other.document.runs for other in sources if other.file.parent == source.file.parent]
    trials = [run for runs in beside for run in runs if run.trial is not None]
    return replace(source, document=source.document.model_copy(update={"runs": trials}))


_TITLES: dict[DocumentKind, str] = {
    "gate": "comparison with a baseline",
    "doctor": "the machine",
    "conformance": "plugins",
}


def _of_one_file(source: Source) -> Section | None:
    """The section of a file that is one search, one study or one report; ``None`` for a file of runs."""
    document = source.document
    if document.search is not None:
        options = format_hyperparameters(document.search.task_options)
        return Section(f"search: {document.search.task} {options}".strip(), document)
    if document.kind == "study" and not document.runs and len(document.studies) == 1:
        (study,) = document.studies
        title = f"{study.study}: {study.title or ''}".rstrip(": ")
        return Section(title, with_figure(document, source.file.parent), directory=source.file.parent)
    if document.kind in _TITLES:
        return Section(f"{_TITLES[document.kind]}: {source.file.stem}", document)
    return None


def _study(source: Source) -> str:
    """The study that the file belongs to, or is about."""
    document = source.document
    if document.part_of is not None:
        return document.part_of
    return document.studies[0].study if len(document.studies) == 1 else ""


def _section(key: _Key, found: Sequence[Found]) -> Section:
    # A run that only measured Fisher errors trained nothing to compare.
    measuring, repeated = without_repeats([one for one in found if one.run.kind == "fisher-error"])
    kept, left_out = without_repeats([one for one in found if one.run.kind != "fisher-error"])
    labelled, renamed = label_arms(_in_order(kept))
    calls = _calls([one.run.environment or one.source.document.environment for one in [*kept, *measuring]])
    section = Section(_title(*key), remarks=[*left_out, *repeated, *renamed], calls=calls)
    section.document, section.measured = map(_together, (labelled, label_arms(measuring)[0]))
    by_run = {id(one.run): one for one in [*labelled, *measuring]}
    for measured in repeats_of([one.run for one in by_run.values()]):
        first = by_run[id(measured.runs[0])]
        conditions = describe_conditions(Document(environment=first.source.document.environment, runs=measured.runs))
        seeds = ", ".join(str(run.seed) for run in measured.runs)
        heading = f"{_layer(measured.errors[0])}, {first.run.label}, seed{'s' * (len(measured.runs) > 1)} {seeds}"
        _add_fisher_error(section, heading, conditions, measured.errors, first)
    return section


def _together(found: Sequence[Found]) -> Document | None:
    documents = [Document(environment=one.source.document.environment, runs=[one.run]) for one in found]
    return merge(documents) if documents else None


def _in_order(found: Sequence[Found]) -> list[Found]:
    """The runs of each directory in the order of its arms, which names of files have lost."""
    places = {file: at for at, file in enumerate(dict.fromkeys(one.source.file.parent for one in found))}

    def place(one: Found) -> tuple[int, int]:
        position = one.run.position
        return places[one.source.file.parent], len(found) if position is None else position

    return sorted(found, key=place)


def _layer(error: FisherErrorRecord) -> str:
    return f"layer {error.layer}" + (f" ({error.layer_name})" if error.layer_name else "")


def _add_fisher_error(
    section: Section, heading: str, conditions: str, errors: Sequence[FisherErrorRecord], found: Found | Source
) -> None:
    """Add what the section does not show yet, under a heading that it does not have yet."""
    if any(other.errors == errors and other.heading == heading for other in section.fisher_errors):
        return
    file = found.file if isinstance(found, Source) else found.source.file
    headings = {other.heading for other in section.fisher_errors}
    distinct = [heading, f"{heading}, {file.stem}", f"{heading}, {file}"]
    name = next((name for name in distinct if name not in headings), f"{heading} #{len(headings)}")
    section.fisher_errors.append(MeasuredLayer(name, conditions, errors))


def _title(study: str, task: str, options: str) -> str:
    shown = " ".join([task, format_hyperparameters(json.loads(options))]).strip()
    return f"{study}: {shown}" if study else shown


def _add_fisher_errors(sections: dict[_Key, Section], source: Source) -> Iterator[_Key]:
    """Put the file's own Fisher errors into the section of their task, which is made if there is none.

    Yields:
        The keys of the sections.
    """
    study = _study(source)
    tasks = {run.task for run in source.document.runs}
    beside = tasks.pop() if len(tasks) == 1 else None
    for error in source.document.fisher_errors:
        task = error.task or beside
        key = next((key for key in sections if key[:2] == (study, task)), None)
        if key is None:
            key = (study, task or source.name, "{}")
            sections.setdefault(key, Section(_title(*key)))
        _add_fisher_error(sections[key], _layer(error), "", [error], source)
        yield key


def _calls(environments: Sequence[EnvironmentRecord]) -> list[Fact]:
    """What made it: each command once, to be copied."""
    called = {(record.called_from, record.command): None for record in environments if record.called_from}
    return [
        Fact("made by", "a call from Python" if command is None else command, typed=command is not None)
        for _, command in called
    ]


def _environments(sources: Sequence[Source]) -> list[Environment]:
    found: list[tuple[EnvironmentRecord, str]] = []
    for source in sources:
        found += [(record.setting, source.name) for record in _recorded(source)]
    distinct = [record for at, (record, _) in enumerate(found) if record not in [other for other, _ in found[:at]]]
    return [
        Environment(record, list(dict.fromkeys(name for other, name in found if other == record)))
        for record in distinct
    ]


def _recorded(source: Source) -> Iterator[EnvironmentRecord]:
    """The document's environment if anything in it was made there, and that of runs merged from elsewhere."""
    elsewhere = [run.environment for run in source.document.runs]
    if not elsewhere or None in elsewhere:
        yield source.document.environment
    yield from filter(None, elsewhere)
