"""What a report says, in the order in which it says it: one section for each task."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ngbench.records.documents import merge
from ngbench.records.record import Document, EnvironmentRecord
from ngbench.report.columns import format_hyperparameters
from ngbench.report.heading import describe_conditions
from ngbench.report.page.arms import Found, label_arms, without_repeats
from ngbench.report.page.extras import (
    Claim,
    FisherError,
    Sample,
    read_claims,
    read_fisher_errors,
    read_part,
    read_samples,
)
from ngbench.report.page.sources import Source

__all__ = ["Environment", "MeasuredLayer", "Report", "SampleRow", "Section", "gather"]


@dataclass(frozen=True)
class SampleRow:
    """The images of one run."""

    label: str
    seed: int
    samples: Sequence[Sample]


@dataclass(frozen=True)
class MeasuredLayer:
    """The Fisher errors of one layer.

    Attributes:
        heading: the layer, and the run that it was measured in, if that is known.
        conditions: of that run, in words; empty if they are not known.
        error: what was measured.
    """

    heading: str
    conditions: str
    error: FisherError


@dataclass
class Section:
    """What ran on one task with one set of options (in one study).

    Attributes:
        title: the task, its options, and the study.
        document: the runs; ``None`` where only Fisher errors are known.
        samples: runs that made images.
        fisher_errors: of each measured layer.
        remarks: what was left out or renamed, in sentences.
    """

    title: str
    document: Document | None = None
    samples: list[SampleRow] = field(default_factory=list)
    fisher_errors: list[MeasuredLayer] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Environment:
    """Where runs were made, and what was found of it where."""

    record: EnvironmentRecord
    sources: Sequence[str]


@dataclass(frozen=True)
class Report:
    """Everything that a report shows."""

    sections: Sequence[Section]
    claims: Sequence[Claim]
    environments: Sequence[Environment]


_Key = tuple[str, str, str]


def gather(sources: Sequence[Source]) -> Report:
    """The report on these files.

    Raises:
        RecordError: a Fisher error, claim or sample image in them has not the right shape.
    """
    by_key: dict[_Key, list[Found]] = {}
    for source in sources:
        study = _study(source)
        for at, run in enumerate(source.document.runs):
            prefix = f"runs.{at}."
            samples = read_samples(run, source.file, prefix)
            fisher_errors = read_fisher_errors(run.model_extra, source.file, prefix)
            key = (study, run.task, json.dumps(run.task_options, sort_keys=True, default=str))
            by_key.setdefault(key, []).append(Found(run, source, samples, fisher_errors))
    sections = {key: _section(key, runs) for key, runs in by_key.items()}
    for source in sources:
        _add_fisher_errors(sections, source)
    claims = [claim for source in sources for claim in read_claims(source.document.model_extra, source.file)]
    distinct = [claim for at, claim in enumerate(claims) if claim not in claims[:at]]
    return Report([*sections.values()], distinct, _environments(sources))


def _study(source: Source) -> str:
    """The study that the file belongs to: its key ``study``, else that of all its claims."""
    extra = source.document.model_extra or {}
    if isinstance(extra.get("study"), str):
        return str(extra["study"])
    studies = {claim.study for claim in read_claims(extra, source.file)}
    return studies.pop() if len(studies) == 1 else ""


def _section(key: _Key, found: Sequence[Found]) -> Section:
    # A run that only measured Fisher errors trained nothing to compare.
    measuring = [one for one in found if _only_measured(one)]
    kept, left_out = without_repeats([one for one in found if not _only_measured(one)])
    labelled, renamed = label_arms(kept)
    section = Section(_title(*key), remarks=[*left_out, *renamed])
    if labelled:
        section.document = merge(
            [Document(environment=one.source.document.environment, runs=[one.run]) for one in labelled]
        )
    section.samples = [SampleRow(one.run.label, one.run.seed, one.samples) for one in labelled if one.samples]
    for one in [*labelled, *measuring]:
        conditions = describe_conditions(Document(environment=one.source.document.environment, runs=[one.run]))
        for error in one.fisher_errors:
            _add_fisher_error(section, f"{_layer(error)}, {one.run.label}, seed {one.run.seed}", conditions, error, one)
    return section


def _only_measured(found: Found) -> bool:
    return bool(found.fisher_errors) and not found.run.history.epoch and not found.run.steps.seconds


def _layer(error: FisherError) -> str:
    return f"layer {error.layer}" + (f" ({error.layer_name})" if error.layer_name else "")


def _add_fisher_error(
    section: Section, heading: str, conditions: str, error: FisherError, found: Found | Source
) -> None:
    """Add what the section does not show yet, under a heading that it does not have yet."""
    if any(other.error == error and other.heading == heading for other in section.fisher_errors):
        return
    file = found.file if isinstance(found, Source) else found.source.file
    headings = {other.heading for other in section.fisher_errors}
    distinct = [heading, f"{heading}, {file.stem}", f"{heading}, {file}"]
    name = next((name for name in distinct if name not in headings), f"{heading} #{len(headings)}")
    section.fisher_errors.append(MeasuredLayer(name, conditions, error))


def _title(study: str, task: str, options: str) -> str:
    shown = " ".join([task, format_hyperparameters(json.loads(options))]).strip()
    return f"{study}: {shown}" if study else shown


def _add_fisher_errors(sections: dict[_Key, Section], source: Source) -> None:
    """Put the file's own Fisher errors into the section of their task, which is made if there is none."""
    study = _study(source)
    tasks = {run.task for run in source.document.runs}
    beside = tasks.pop() if len(tasks) == 1 else (source.document.model_extra or {}).get("task")
    for error in read_fisher_errors(source.document.model_extra, source.file):
        task = error.task or (beside if isinstance(beside, str) else None)
        key = next((key for key in sections if key[:2] == (study, task)), None)
        if key is None:
            key = (study, task or source.name, "{}")
            sections.setdefault(key, Section(_title(*key)))
        _add_fisher_error(sections[key], _layer(error), "", error, source)


def _environments(sources: Sequence[Source]) -> list[Environment]:
    found: list[tuple[EnvironmentRecord, str]] = []
    for source in sources:
        found += [(record, source.name) for record in _recorded(source)]
    distinct = [record for at, (record, _) in enumerate(found) if record not in [other for other, _ in found[:at]]]
    return [
        Environment(record, list(dict.fromkeys(name for other, name in found if other == record)))
        for record in distinct
    ]


def _recorded(source: Source) -> Iterator[EnvironmentRecord]:
    """The document's environment if anything in it was made there, and that of runs merged from elsewhere."""
    elsewhere = [(run.model_extra or {}).get("environment") for run in source.document.runs]
    if not elsewhere or None in elsewhere:
        yield source.document.environment
    for at, environment in enumerate(elsewhere):
        if environment is not None:
            yield read_part(EnvironmentRecord, environment, source.file, f"runs.{at}.environment")
