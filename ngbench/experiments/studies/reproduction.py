"""A study from its file to its verdicts: everything is checked, then run, then the claims are judged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ngbench.disk.files import check_directory, exists, make_directory, write_text
from ngbench.disk.located_yaml import load_yaml
from ngbench.disk.locks import directory_taken
from ngbench.errors import ParameterError, RecordError
from ngbench.experiments.studies.cells import Conditions, RanCell, batch_size_of, run_cell
from ngbench.experiments.studies.checking import check_study
from ngbench.experiments.studies.claims import ScaleName
from ngbench.experiments.studies.evaluation import CellRuns, evaluate
from ngbench.experiments.studies.loader import LoadedStudy, dump_study, find_study, load_study
from ngbench.experiments.studies.models import Study
from ngbench.experiments.studies.plan import PlannedCell, plan_cells
from ngbench.experiments.studies.verdicts import claim_record
from ngbench.plugins import registry
from ngbench.records.documents import dump, load_document
from ngbench.records.environment import describe_environment
from ngbench.records.experiments import ClaimRecord, StudyRecord
from ngbench.records.record import Document
from ngbench.records.store import check_unused
from ngbench.running.best_settings import Settings, load_settings
from ngbench.running.session import one_interrupt

__all__ = ["StudyOutcome", "document_of_all", "load_studies", "run_study", "settings_for"]

STUDY_FILE = "study.json"


@dataclass
class StudyOutcome:
    """What became of a study.

    Attributes:
        study: that ran.
        scale: how much of it.
        directory: of its records.
        claims: with their verdicts, also those of a study that ended early.
        document: of them, with the time that all calls took; ``None`` if nothing began.
        ran: the comparisons that were made.
        seconds: that it took now.
        interrupted: whether the user stopped it.
        error: what ended it, if anything did; the other studies do not depend on it.
    """

    study: Study
    scale: ScaleName
    directory: Path
    claims: Sequence[ClaimRecord] = ()
    document: Document | None = None
    ran: list[RanCell] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False
    error: Exception | None = None

    @property
    def failed(self) -> bool:
        """Whether a run did not do what was asked."""
        return self.interrupted or any(cell.failed for cell in self.ran)


def load_studies(names: Sequence[str], output: Path, *, resume: bool) -> list[LoadedStudy]:
    """The studies, after everything was checked that can be before anything runs.

    Args:
        names: of studies that come with the package, or paths.
        output: each gets a directory in it.
        resume: whether these may hold runs.

    Raises:
        UsageError: a study is not well formed, or its directory cannot be used.
    """
    check_directory(output)
    loaded = [load_study(find_study(name)) for name in names]
    called = [one.study.study for one in loaded]
    for at, one in enumerate(loaded):
        if called[at] in called[:at]:
            raise ParameterError(f"the study {called[at]!r} is given twice")
        check_unused(output / called[at], resume=resume)
        check_study(one)
    return loaded


def settings_for(loaded: Sequence[LoadedStudy], file: Path) -> Settings:
    """A file of best hyper-parameters, which must be for a task of the studies.

    Raises:
        ParameterError: it is not, or cannot be read.
    """
    content = load_yaml(file).value
    task = content.get("task") if isinstance(content, dict) else None
    tasks = sorted({panel.task for one in loaded for panel in one.study.panels})
    if task not in tasks:
        raise ParameterError(
            f"{str(file)!r} is for the task {task!r}, which is none of the studies' ({', '.join(tasks)})"
        )
    if any(one.study.measure == "gan" and task in {panel.task for panel in one.study.panels} for one in loaded):
        raise ParameterError(
            f"{str(file)!r} is for the task {task!r}, whose two players take their hyper-parameters "
            "from the study alone"
        )
    return load_settings(file, task)


def run_study(study: Study, scale: ScaleName, output: Path, conditions: Conditions) -> StudyOutcome:
    """Make the comparisons of the study, judge its claims, and keep both; whatever goes wrong is in the outcome.

    Args:
        study: what to run, checked.
        scale: how much of it.
        output: the study gets a directory in it, with a record of each run and the verdicts.
        conditions: how to run.
    """
    started = time.perf_counter()
    outcome = StudyOutcome(study, scale, output / study.study)
    try:
        make_directory(outcome.directory)
        with directory_taken(outcome.directory), one_interrupt():
            _run(outcome, conditions)
    except KeyboardInterrupt:
        outcome.interrupted = True
    except Exception as error:
        outcome.error = error
    outcome.seconds = time.perf_counter() - started
    return outcome


def _run(outcome: StudyOutcome, conditions: Conditions) -> None:
    started = time.perf_counter()
    study, scale, ran = outcome.study, outcome.scale, outcome.ran
    before = _seconds_before(outcome)
    planned = plan_cells(study, scale)
    try:
        for cell in planned:
            ran.append(run_cell(study, scale, cell, outcome.directory, conditions))
            if ran[-1].interrupted:
                raise KeyboardInterrupt
    finally:
        # What was finished before an interruption or an error is judged too.
        runs = [cell.runs for cell in ran] + [_without_runs(cell) for cell in planned[len(ran) :]]
        outcome.claims = [claim_record(study.study, result) for result in evaluate(study, scale, runs)]
        outcome.document = document_of(outcome, before + time.perf_counter() - started)
        write_text(dump(outcome.document), outcome.directory / STUDY_FILE)


def _without_runs(cell: PlannedCell) -> CellRuns:
    """A comparison that an interruption or an error kept from running."""
    return CellRuns(cell.panel.name, batch_size_of(cell), {arm.name: () for arm in cell.arms})


def _seconds_before(outcome: StudyOutcome) -> float:
    """The time that went into what the directory holds.

    Raises:
        RecordError: that is of another scale, which a single record would say less clearly.
    """
    file = outcome.directory / STUDY_FILE
    if not exists(file):
        return 0.0
    held = next((one for one in load_document(file).studies if one.study == outcome.study.study), None)
    if held is None or held.scale != outcome.scale:
        there = f"the study {held.study} at the scale {held.scale}, not {outcome.scale}" if held else "another study"
        raise RecordError(f"{str(outcome.directory)!r} holds {there}; give another output directory")
    return held.seconds or 0.0


def document_of(outcome: StudyOutcome, seconds: float) -> Document:
    """The verdicts of the study, which took so many seconds."""
    return Document(
        environment=describe_environment(registry.providers()), runs=[], studies=[_record_of(outcome, seconds)]
    )


def document_of_all(outcomes: Sequence[StudyOutcome]) -> Document:
    """The verdicts of several studies, also of those that ended before anything was judged."""
    return _document(
        [
            study
            for one in outcomes
            for study in (one.document.studies if one.document is not None else [_record_of(one, one.seconds)])
        ]
    )


def _document(studies: list[StudyRecord]) -> Document:
    return Document(environment=describe_environment(registry.providers()), runs=[], studies=studies)


def _record_of(outcome: StudyOutcome, seconds: float) -> StudyRecord:
    study = outcome.study
    return StudyRecord(
        study=study.study,
        title=study.title,
        source=study.source,
        question=study.question,
        scale=outcome.scale,
        seconds=seconds,
        definition=dump_study(study),
        claims=list(outcome.claims),
    )
