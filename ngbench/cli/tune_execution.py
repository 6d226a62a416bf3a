"""What ``tune`` does once its options are parsed: plan, search, report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from ngbench import escaping
from ngbench.arms import file_slug
from ngbench.cli.reporting import check_exports, console_for_results, do_each, raise_last
from ngbench.cli.tune_progress import progress_for
from ngbench.disk import files
from ngbench.disk.files import STANDARD_OUTPUT, check_directory
from ngbench.errors import NgbenchError, OutputError
from ngbench.experiments.search.documents import search_document, write_best
from ngbench.experiments.search.plan import SearchPlan, SearchRequest, plan_search
from ngbench.experiments.search.search import ArmResult, SearchResult, open_ledger, run_search
from ngbench.experiments.search.space import describe
from ngbench.experiments.search.trials import trial_label
from ngbench.records.environment import describe_environment
from ngbench.records.record import EnvironmentRecord, RunRecord
from ngbench.records.store import Store
from ngbench.report import view
from ngbench.report.exports.files import export_steps
from ngbench.report.renderers import terminal
from ngbench.report.views.search import describe_search
from ngbench.running.session import introduce, one_interrupt

__all__ = ["BEST_FILE", "STORAGE_FILE", "TuneOutputs", "run_tune"]

STORAGE_FILE = "trials.journal"
BEST_FILE = "hyperparameters.yaml"


@dataclass(frozen=True)
class TuneOutputs:
    """Where results go; ``None`` is nowhere, ``-`` is standard output."""

    directory: Path | None = None
    storage: Path | None = None
    hyperparameters: str | None = None
    json: str | None = None
    markdown: str | None = None

    def check(self) -> None:
        """Refuse what could not be written in the end.

        Raises:
            OutputError: naming it.
            ParameterError: two exports go to standard output.
        """
        check_exports(self.hyperparameters, self.json, self.markdown)
        if self.directory is not None:
            check_directory(self.directory)

    @property
    def use_stdout(self) -> bool:
        """Whether an export goes to standard output, which then holds nothing else."""
        return STANDARD_OUTPUT in (self.hyperparameters, self.json, self.markdown)

    @property
    def best(self) -> str | Path | None:
        """Where the best hyper-parameters are written."""
        if self.hyperparameters is not None or self.directory is None:
            return self.hyperparameters
        return self.directory / BEST_FILE

    @contextmanager
    def trials(self) -> Iterator[Path]:
        """The file of the trials; one that lasts as long as the command, where nothing is to be kept."""
        if self.storage is not None:
            yield self.storage
        elif self.directory is not None:
            files.make_directory(self.directory)
            yield self.directory / STORAGE_FILE
        else:
            with TemporaryDirectory(prefix="ngbench-tune-") as scratch:
                yield Path(scratch) / STORAGE_FILE


def run_tune(request: SearchRequest, outputs: TuneOutputs, *, workers: int, quiet: bool) -> int:
    """Make the search that is asked for and report on it.

    Returns:
        The exit code: 0, or 1 if the user stopped it.

    Raises:
        NgbenchError: no trial of an arm has a value; said after the report.
    """
    outputs.check()
    environment = describe_environment()
    # A plugin that prints must not write into an export that goes to stdout.
    with redirect_stdout(sys.stderr):
        plan = plan_search(request, workers=workers)
    environment.threads = plan.threads
    _check_directory_is_ours(plan, outputs)
    with outputs.trials() as path, one_interrupt():
        ledger = open_ledger(plan, path)
        planned = {arm.label: arm.trials for arm in plan.arms}
        with redirect_stdout(sys.stderr), progress_for(Console(stderr=True), planned, plan.metric, quiet=quiet) as news:
            for line in introduce(request.run.options.device, plan.device, plan.threads, plan.problem.data):
                news.note(line)
            for line in _introduction(plan):
                news.note(line)
            if outputs.directory is None and outputs.storage is None:
                news.note("nothing is kept of the trials: --output or --storage would")
            result = run_search(
                plan,
                ledger,
                output=outputs.directory,
                workers=workers,
                reporter=news,
                environment=environment,
            )
        steps = [partial(_report, plan, result, environment, outputs)]
        if result.problem is not None:
            steps.append(partial(raise_last, [result.problem]))
        do_each(*steps)
    _refuse_nothing(result)
    return 1 if result.interrupted else 0


def _check_directory_is_ours(plan: SearchPlan, outputs: TuneOutputs) -> None:
    """Refuse an output directory that holds anything but this search.

    Raises:
        OutputError: naming it, and what it holds.
    """
    directory = outputs.directory
    if directory is None or not files.is_directory(directory):
        return
    kept = directory / STORAGE_FILE
    known = {kept.name, BEST_FILE} | {f"{path.name}{end}" for path in (kept,) for end in (".claim", ".lock")}
    if outputs.storage is not None and outputs.storage.parent.absolute() == directory.absolute():
        known |= {path.name for path in files.entries(directory) if path.name.startswith(outputs.storage.name)}
    labels = [trial_label(arm.label, number) for arm in plan.arms for number in range(arm.trials)]
    slugs = {file_slug(label) for label in labels}
    for path in files.entries(directory):
        record = path.name.rpartition("-seed")[0]
        if path.name in known or record in slugs or path.name.endswith(".part"):
            continue
        raise OutputError(
            f"the output directory {str(directory)!r} holds {path.name!r}, which is not of this search; give another"
        )


def _introduction(plan: SearchPlan) -> Iterator[str]:
    """What will be searched, in a line for each arm."""
    yield f"search for {describe_search(plan.common)}"
    for arm in plan.arms:
        space = plan.templates[arm.label].space
        searched = " ".join(f"{name}={describe(dimension)}" for name, dimension in space.items())
        yield f"{arm.label}: {arm.trials} trials over {searched}"


def _report(plan: SearchPlan, result: SearchResult, environment: EnvironmentRecord, outputs: TuneOutputs) -> None:
    found = any(arm.hyperparameters is not None for arm in result.arms.values())
    console = console_for_results(on_stderr=outputs.use_stdout)

    def show() -> None:
        runs = _all_runs(plan, result, environment, outputs.directory)
        document = search_document(plan, result, environment, runs)
        written = export_steps(document, json=outputs.json, markdown_file=outputs.markdown)
        do_each(*written, lambda: terminal.show(view(document), console))

    steps: list[Callable[[], object]] = [show]
    if outputs.best is not None and found:
        steps.insert(0, partial(write_best, plan, result, outputs.best))
    if outputs.best not in (None, STANDARD_OUTPUT) and found:
        best = Text(escaping.terminal(f"Best hyper-parameters: {outputs.best}"))
        steps.append(partial(console.print, best, soft_wrap=True))
    do_each(*steps)


def _all_runs(
    plan: SearchPlan, result: SearchResult, environment: EnvironmentRecord, directory: Path | None
) -> Sequence[RunRecord]:
    """The records of all processes, where they share a directory; else those of this one."""
    if directory is None:
        return result.records
    labels = {trial_label(arm.label, number) for arm in plan.arms for number in range(arm.trials)}
    return [run for run in Store(directory, environment, resume=True).recorded() if run.label in labels]


def _refuse_nothing(result: SearchResult) -> None:
    empty = [arm for arm in result.arms.values() if arm.hyperparameters is None and arm.trials]
    if not empty:
        return
    texts = [f"{arm.label} ({_outcomes(arm)})" for arm in empty]
    raise NgbenchError(f"no trial has a value for {'; '.join(texts)}: search other values, or give a larger budget")


def _outcomes(arm: ArmResult) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(arm.outcomes.items()))
