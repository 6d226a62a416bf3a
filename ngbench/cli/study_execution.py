"""What ``reproduce`` does once its options are parsed: check all studies, run them, judge their claims, draw."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ngbench import escaping
from ngbench.cli.reporting import console_for_results, do_each, say_error
from ngbench.cli.study_cells import Conditions, RanCell, batch_size_of, run_cell
from ngbench.disk.files import (
    STANDARD_OUTPUT,
    check_destination,
    check_directory,
    exists,
    make_directory,
    write_text,
)
from ngbench.disk.located_yaml import load_yaml
from ngbench.disk.locks import directory_taken
from ngbench.errors import OUR_ERROR, ParameterError, RecordError
from ngbench.experiments.studies.checking import check_study
from ngbench.experiments.studies.claims import ScaleName
from ngbench.experiments.studies.evaluation import CellRuns, evaluate
from ngbench.experiments.studies.loader import LoadedStudy, dump_study, find_study, load_study
from ngbench.experiments.studies.models import Study
from ngbench.experiments.studies.plan import PlannedCell, plan_cells, search_of
from ngbench.experiments.studies.verdicts import claim_record
from ngbench.records.documents import dump, load_document
from ngbench.records.environment import describe_environment
from ngbench.records.record import Document, EnvironmentRecord
from ngbench.records.store import check_unused
from ngbench.report import view
from ngbench.report.blocks import Column, Table
from ngbench.report.exports.files import export_steps
from ngbench.report.extras import Claim
from ngbench.report.renderers import markdown, terminal
from ngbench.report.renderers.study_figure import draw_study
from ngbench.report.views.study import count_verdicts
from ngbench.running.settings import Settings, load_settings
from ngbench.units import format_seconds

__all__ = ["Reproduction", "reproduce_studies"]

STUDY_FILE = "study.json"
FIGURE_FILE = "figure.png"


@dataclass(frozen=True)
class Reproduction:
    """What the user asks for.

    Attributes:
        names: studies, by name or path.
        scale: how much of them is run.
        output: each study gets a directory in it.
        conditions: how they run.
        hyperparameters: a file of best settings.
        json: where all verdicts go; ``None`` is nowhere, ``-`` is standard output.
        markdown: likewise.
    """

    names: Sequence[str]
    scale: ScaleName
    output: Path
    conditions: Conditions
    hyperparameters: Path | None = None
    json: str | None = None
    markdown: str | None = None


@dataclass
class _Outcome:
    """What became of a study."""

    study: Study
    claims: list[Claim] = field(default_factory=list)
    document: Document | None = None
    seconds: float = 0.0
    exit_code: int = 0
    interrupted: bool = False


def reproduce_studies(request: Reproduction) -> int:
    """Run the studies one after the other; what goes wrong with one does not stop the others.

    Returns:
        The exit code: 0 if everything ran, whatever the verdicts; else that of the first study with something wrong.

    Raises:
        UsageError: a study, or anything else that was asked for, is not well formed: nothing has run then.
    """
    _check_outputs(request)
    loaded = [load_study(find_study(name)) for name in request.names]
    names = [one.study.study for one in loaded]
    for at, one in enumerate(loaded):
        if names[at] in names[:at]:
            raise ParameterError(f"the study {names[at]!r} is given twice")
        check_unused(request.output / names[at], resume=request.conditions.resume)
        check_study(one)
    request = replace(request, conditions=replace(request.conditions, tuned=_tuned(request, loaded)))
    console = console_for_results(on_stderr=STANDARD_OUTPUT in (request.json, request.markdown))
    started = time.perf_counter()
    outcomes: list[_Outcome] = []
    for one in loaded:
        outcomes.append(_run_or_explain(one.study, request, console))
        if outcomes[-1].interrupted:
            break
    steps = _exports(request, outcomes)
    if len(loaded) > 1:
        steps.append(partial(_print_summary, outcomes, console))
    total = Text(f"total time: {format_seconds(time.perf_counter() - started)}")
    do_each(*steps, partial(console.print, total))
    return next((outcome.exit_code for outcome in outcomes if outcome.exit_code), 0)


def _check_outputs(request: Reproduction) -> None:
    exports = [name for name in (request.json, request.markdown) if name is not None]
    if exports.count(STANDARD_OUTPUT) > 1:
        raise ParameterError("only one export can go to stdout: give the other a file instead of '-'")
    for name in exports:
        check_destination(name)
    check_directory(request.output)


def _tuned(request: Reproduction, loaded: Sequence[LoadedStudy]) -> Settings | None:
    """The file of hyper-parameters, which must be for a task of the studies."""
    if request.hyperparameters is None:
        return None
    content = load_yaml(request.hyperparameters).value
    task = content.get("task") if isinstance(content, dict) else None
    tasks = sorted({panel.task for one in loaded for panel in one.study.panels})
    if task not in tasks:
        raise ParameterError(
            f"{str(request.hyperparameters)!r} is for the task {task!r}, "
            f"which is none of the studies' ({', '.join(tasks)})"
        )
    if any(one.study.measure == "gan" and task in {panel.task for panel in one.study.panels} for one in loaded):
        raise ParameterError(
            f"{str(request.hyperparameters)!r} is for the task {task!r}, whose two players take their hyper-parameters "
            "from the study alone"
        )
    return load_settings(request.hyperparameters, task)


def _run_or_explain(study: Study, request: Reproduction, console: Console) -> _Outcome:
    """Run a study, and print its verdicts or why there are none."""
    started = time.perf_counter()
    outcome = _Outcome(study)
    directory = request.output / study.study
    try:
        make_directory(directory)
        with directory_taken(directory):
            _run(study, request, directory, outcome)
    except KeyboardInterrupt:
        outcome.interrupted, outcome.exit_code = True, 1
    except Exception as error:
        # Whatever it is, it is not worth the next study, nor the exports.
        outcome.exit_code = say_error(error, study.study)
    outcome.seconds = time.perf_counter() - started
    if outcome.document is not None:
        try:
            _print_study(outcome, outcome.document, request, console)
        except Exception as error:
            outcome.exit_code = say_error(error, study.study)
    return outcome


def _run(study: Study, request: Reproduction, directory: Path, outcome: _Outcome) -> None:
    started = time.perf_counter()
    conditions, tune = request.conditions, search_of(study, request.scale)
    environment = describe_environment()
    before = _seconds_before(directory, request.scale, study)
    planned, ran = plan_cells(study, request.scale), list[RanCell]()
    try:
        for cell in planned:
            conditions.note(f"{study.study} ({request.scale}): {cell.panel.shown}, {len(cell.arms)} arms")
            ran.append(run_cell(study, cell, tune, directory, conditions))
            if ran[-1].interrupted:
                raise KeyboardInterrupt
    finally:
        # What was finished before an interruption or an error is judged and drawn too.
        if ran:
            outcome.exit_code = int(any(cell.failed for cell in ran))
        runs = [cell.runs for cell in ran] + [_without_runs(cell) for cell in planned[len(ran) :]]
        outcome.claims = [claim_record(study.study, result) for result in evaluate(study, request.scale, runs)]
        seconds = before + time.perf_counter() - started
        outcome.document = _write(study, request.scale, directory, environment, outcome.claims, seconds)
        if ran:
            draw_study(study, request.scale, ran, directory / FIGURE_FILE)


def _without_runs(cell: PlannedCell) -> CellRuns:
    """A comparison that an interruption or an error kept from running."""
    return CellRuns(cell.panel.name, batch_size_of(cell), {arm.name: () for arm in cell.arms})


def _seconds_before(directory: Path, scale: ScaleName, study: Study) -> float:
    """The time that went into what the directory holds.

    Raises:
        RecordError: that is of another scale, which a single record would say less clearly.
    """
    file = directory / STUDY_FILE
    if not exists(file):
        return 0.0
    held = load_document(file).model_extra or {}
    if held.get("scale") != scale:
        raise RecordError(
            f"{str(directory)!r} holds the study {study.study} at the scale {held.get('scale')}, not {scale}; "
            "give another output directory"
        )
    return float(held.get("seconds", 0.0))


def _write(
    study: Study,
    scale: ScaleName,
    directory: Path,
    environment: EnvironmentRecord,
    claims: Sequence[Claim],
    seconds: float,
) -> Document:
    document = Document(
        environment=environment,
        runs=[],
        study=study.study,
        scale=scale,
        title=study.title,
        source=study.source,
        question=study.question,
        seconds=seconds,
        definition=dump_study(study),
        claims=[claim.model_dump() for claim in claims],
    )
    write_text(dump(document), directory / STUDY_FILE)
    return document


def _print_study(outcome: _Outcome, document: Document, request: Reproduction, console: Console) -> None:
    console.print()
    terminal.show(view(document), console)
    taken = f"{format_seconds(outcome.seconds)} · {request.output / outcome.study.study}"
    console.print(Text(escaping.terminal(taken)), soft_wrap=True)
    # Who reads along in a pipe should not wait for the next study.
    console.file.flush()


def _print_summary(outcomes: Sequence[_Outcome], console: Console) -> None:
    columns = [
        Column("study", [outcome.study.study for outcome in outcomes], left=True),
        Column("time", [format_seconds(outcome.seconds) for outcome in outcomes]),
        Column("verdicts", [_ending(outcome) for outcome in outcomes], left=True),
    ]
    claims = [claim for outcome in outcomes for claim in outcome.claims]
    console.print()
    terminal.show([Table("Studies", columns), count_verdicts(claims)], console)


def _ending(outcome: _Outcome) -> str:
    verdicts = str(count_verdicts(outcome.claims))
    if outcome.interrupted:
        return f"{verdicts} (interrupted)"
    if outcome.exit_code == OUR_ERROR:
        return f"{verdicts} (an error of ngbench)"
    if outcome.exit_code:
        return f"{verdicts} (a run failed or diverged)" if outcome.exit_code == 1 else f"{verdicts} (did not run)"
    return verdicts


def _exports(request: Reproduction, outcomes: Sequence[_Outcome]) -> list[Callable[[], object]]:
    steps: list[Callable[[], object]] = []
    if request.json is not None:
        claims = [claim for outcome in outcomes for claim in outcome.claims]
        studies = [
            {"study": one.study.study, "title": one.study.title, "scale": request.scale, "seconds": one.seconds}
            for one in outcomes
        ]
        document = Document(
            environment=describe_environment(),
            runs=[],
            studies=studies,
            claims=[claim.model_dump() for claim in claims],
        )
        steps += export_steps(document, json=request.json)
    if request.markdown is not None:
        destination = request.markdown
        blocks = [block for one in outcomes if one.document is not None for block in view(one.document)]
        steps.append(lambda: write_text(markdown.render(blocks, title="Studies"), destination))
    return steps
