"""A study from its file to its verdicts: everything is checked, then run, then the claims are judged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ngbench.curvature.bounds import Positive
from ngbench.disk.files import check_directory, exists, make_directory, write_text
from ngbench.disk.located_yaml import load_yaml
from ngbench.disk.locks import directory_taken
from ngbench.errors import ParameterError, RecordError
from ngbench.experiments.studies.cells import Conditions, RanCell, run_cell
from ngbench.experiments.studies.checking import check_study
from ngbench.experiments.studies.claims import ScaleName
from ngbench.experiments.studies.coverage import all_cells
from ngbench.experiments.studies.evaluation import ClaimResult, evaluate
from ngbench.experiments.studies.loader import LoadedStudy, dump_study, find_study, load_study
from ngbench.experiments.studies.models import Study
from ngbench.experiments.studies.plan import PlannedCell, plan_cells
from ngbench.experiments.studies.verdicts import claim_record
from ngbench.plugins import registry
from ngbench.records.claim_rule import LOOKS
from ngbench.records.documents import dump, load_document
from ngbench.records.environment import describe_environment
from ngbench.records.record import Document
from ngbench.records.store import check_unused
from ngbench.records.studies import ClaimRecord, StudyRecord
from ngbench.running.best_settings import Settings, load_settings
from ngbench.running.session import one_interrupt
from ngbench.spelling import argument
from ngbench.values import Refused, alternatives, first_match

__all__ = ["StudyOutcome", "document_of_all", "load_studies", "minutes_of_seeds", "run_study", "settings_for"]

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
        looks: the numbers of seeds after which claims were judged, in all calls.
        sequential: whether there may be several.
        ended: why no more seeds were added, if claims were open.
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
    looks: list[int] = field(default_factory=list)
    sequential: bool = False
    ended: str = ""

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


def minutes_of_seeds(until: str | None, seeds: int | None, minutes: str | float | None) -> float | None:
    """The budget of a study to which seeds are added, if there is one.

    Args:
        until: ``"decided"`` where they are.
        seeds: how many there are to be, where they are not.
        minutes: the budget as it was given.

    Raises:
        ParameterError: one of them is none, or they do not go together.
    """
    if until not in (None, "decided"):
        raise ParameterError(f"until={until} is not allowed, it must be decided, or left out")
    if until is not None and seeds is not None:
        raise ParameterError(f"seeds={seeds} is not allowed where seeds are added until claims are decided")
    if minutes is None:
        return None
    if until is None:
        raise ParameterError(f"minutes={minutes} bounds the seeds that are added, but until=decided is not given")
    try:
        return float(first_match(alternatives(Positive), str(minutes)))
    except Refused:
        raise ParameterError(f"minutes={minutes} is not allowed, it must be a number > 0") from None


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
    study, scale = outcome.study, outcome.scale
    held = _held(outcome)
    before = held.seconds or 0.0 if held is not None else 0.0
    if held is not None and held.sequential and not conditions.until_decided and conditions.seeds is None:
        raise RecordError(
            f"{str(outcome.directory)!r} holds the study {held.study} with seeds that were added until claims were "
            f"decided ({argument('until', 'decided')}); give that again, or {argument('seeds')}"
        )
    planned = plan_cells(study, scale)
    results: list[ClaimResult] = []
    try:
        for seeds in LOOKS if conditions.until_decided else (conditions.seeds,):
            results = _look(outcome, planned, replace(conditions, seeds=seeds), held, results)
            taken = (before + time.perf_counter() - started) / 60
            if seeds is None or not _goes_on(outcome, results, seeds, taken, conditions.minutes):
                break
    finally:
        if not results:
            # What was finished before an interruption or an error is judged too; after a look, that look stands.
            cells = all_cells(study, scale, [cell.runs for cell in outcome.ran], "the study ended before it")
            results = evaluate(study, scale, cells, sequential=outcome.sequential)
        outcome.claims = [claim_record(study.study, result, sequential=outcome.sequential) for result in results]
        outcome.document = document_of(outcome, before + time.perf_counter() - started)
        write_text(dump(outcome.document), outcome.directory / STUDY_FILE)


def _look(
    outcome: StudyOutcome,
    planned: Sequence[PlannedCell],
    conditions: Conditions,
    held: StudyRecord | None,
    before: Sequence[ClaimResult],
) -> list[ClaimResult]:
    """Make the comparisons, of a later look those that an open claim is about, and judge the claims."""
    study, scale, ran = outcome.study, outcome.scale, outcome.ran
    open_cells = {cell for result in before if result.is_open for part in result.parts for cell in part.pair.cells}
    for at, cell in enumerate(planned):
        if before and ran[at].runs.name not in open_cells:
            continue
        own = replace(conditions, resume=conditions.resume or bool(before))
        ran[at : at + 1] = [run_cell(study, scale, cell, outcome.directory, own)]
        if ran[at].interrupted:
            raise KeyboardInterrupt
    seeds = max((len(runs) for cell in ran for runs in cell.runs.arms.values()), default=0)
    outcome.looks = sorted({*outcome.looks, *(held.looks if held is not None else ()), seeds})
    # Whoever looks again after more seeds has added them because of what was seen.
    again = len(outcome.looks) > 1 or (held is not None and held.sequential)
    outcome.sequential = conditions.until_decided or again
    cells = all_cells(study, scale, [cell.runs for cell in ran])
    return evaluate(study, scale, cells, sequential=outcome.sequential, before=before)


def _goes_on(
    outcome: StudyOutcome, results: Sequence[ClaimResult], seeds: int, taken: float, minutes: float | None
) -> bool:
    """Whether there is a further look: a claim is open, seeds are left, and it would end within the budget.

    Args:
        outcome: of the study so far.
        results: of the look after so many ``seeds``.
        seeds: of each arm.
        taken: minutes until now.
        minutes: that may be taken.
    """
    later = [look for look in LOOKS if look > seeds]
    if not later or not any(result.is_open for result in results):
        return False
    expected = taken * later[0] / seeds
    if minutes is None or expected <= minutes:
        return True
    outcome.ended = f"{later[0]} seeds would take about {expected:.1f} minutes, more than {minutes:g}"
    return False


def _held(outcome: StudyOutcome) -> StudyRecord | None:
    """What the directory holds of the study; ``None`` for nothing.

    Raises:
        RecordError: that is of another scale, which a single record would say less clearly.
    """
    file = outcome.directory / STUDY_FILE
    if not exists(file):
        return None
    held = next((one for one in load_document(file).studies if one.study == outcome.study.study), None)
    if held is None or held.scale != outcome.scale:
        there = f"the study {held.study} at the scale {held.scale}, not {outcome.scale}" if held else "another study"
        raise RecordError(f"{str(outcome.directory)!r} holds {there}; give another output directory")
    return held


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
        looks=outcome.looks,
        sequential=outcome.sequential,
        ended=outcome.ended or None,
    )
