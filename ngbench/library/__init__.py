"""What the commands do, for Python: each function takes names or objects and returns a document.

A *task* is a name (``"curves-autoencoder"``), a function that makes one, a :class:`ngbench.Task`, or
``{NAME: any of these}``, since records name it. In its place, ``model=..., data=..., likelihood=...`` make one of
what a program has already, as :func:`ngbench.task_of` does.

*Optimizers* are a text as after ``-o`` (``"sgd,kfac:lr=0.01"``), or a list, or a mapping from labels, of: a text of one
arm, an optimizer class, a function ``build(model, task, *, ...)``, or a pair of one of these and a mapping of
hyper-parameters.

*Options* are the fields of :class:`ngbench.RunOptions`: ``epochs=3, seeds=2, device="cpu"``.

Each arm has a process of its own, as on the command line, so a script needs ``if __name__ == "__main__":``. What no
other process could import (an object of a notebook, a task of one's own) runs in this process, and so does all with
``own_processes=False``; memory is then that of all arms together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ngbench.arms import parse_arms, parse_players
from ngbench.errors import ParameterError, UnknownNameError
from ngbench.experiments.fisher_error.request import APPROXIMATIONS, FisherErrorOptions, FisherErrorRequest
from ngbench.experiments.search.request import SearchOptions, SearchRequest
from ngbench.library.arguments import Asked, OwnTask, a_mapping, checked_arguments, made_options, refuse_unknown
from ngbench.running.option_fields import options_of
from ngbench.running.request import AdversarialOptions, AdversarialRequest, Request, RunOptions

Scale = Literal["smoke", "laptop", "full"]

if TYPE_CHECKING:
    from ngbench.experiments.runs import ExperimentObserver, Ran
    from ngbench.experiments.search.crew import SearchObserver
    from ngbench.report.result import ResultDocument

__all__ = ["check", "compare", "fisher_error", "gan", "load", "reproduce", "train", "tune"]


@checked_arguments
def train(
    task: Any = None,
    optimizer: Any = None,
    *,
    model: Any = None,
    data: Any = None,
    likelihood: Any = None,
    task_options: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    observer: ExperimentObserver | None = None,
    own_processes: bool = True,
    **options: Any,
) -> ResultDocument:
    """Train a task with one optimizer, as ``ngbench train`` does.

    Args:
        task: see the module.
        optimizer: one; see the module.
        model, data, likelihood: in the place of a task, see :func:`ngbench.task_of`.
        task_options: the task's own, as after ``--set``.
        output: directory of a record and a checkpoint of each run, written as it goes.
        resume: go on with what that directory holds.
        observer: is told what happens.
        own_processes: whether the arm has a process of its own.
        options: fields of :class:`ngbench.RunOptions`.

    Returns:
        The records, also of a run that failed, diverged or was interrupted: see their ``status``.

    Raises:
        UsageError: whatever you can put right, naming the value and what is allowed, before anything runs.
    """
    optimizers = optimizer if isinstance(optimizer, (str, Mapping)) else [optimizer]
    if (count := len(Asked().arms(optimizers))) != 1:
        raise ParameterError(f"train takes one optimizer, not {count}; use compare")
    return compare(
        task,
        optimizers,
        model=model,
        data=data,
        likelihood=likelihood,
        task_options=task_options,
        output=output,
        resume=resume,
        observer=observer,
        own_processes=own_processes,
        **options,
    )


@checked_arguments
def compare(
    task: Any = None,
    optimizers: Any = None,
    *,
    model: Any = None,
    data: Any = None,
    likelihood: Any = None,
    task_options: Mapping[str, Any] | None = None,
    reference: str | None = None,
    restarts: int = 1,
    output: str | Path | None = None,
    resume: bool = False,
    observer: ExperimentObserver | None = None,
    own_processes: bool = True,
    **options: Any,
) -> ResultDocument:
    """Train a task with several optimizers side by side, as ``ngbench compare`` does.

    Args:
        task: see the module.
        optimizers: see the module; the first is what ratios refer to.
        model, data, likelihood: in the place of a task, see :func:`ngbench.task_of`.
        task_options: the task's own, as after ``--set``.
        reference: label of another arm that ratios refer to, which must be one of the arms.
        restarts: make each run in this many fresh processes, one after the other; only times differ.
        output: directory of a record and a checkpoint of each run, written as it goes.
        resume: go on with what that directory holds.
        observer: is told what happens.
        own_processes: whether each arm has a process of its own.
        options: fields of :class:`ngbench.RunOptions`.

    Returns:
        The records, also of runs that failed, diverged or were interrupted: see their ``status``.

    Raises:
        UsageError: whatever you can put right, naming the value and what is allowed, before anything runs.
    """
    from ngbench.experiments import comparison
    from ngbench.experiments.runs import Place

    asked = Asked()
    arms = asked.arms(optimizers)
    request = Request(
        asked.task(task, OwnTask(model, data, likelihood, options)),
        arms,
        a_mapping("task_options", task_options),
        made_options(RunOptions, options),
    )
    place = Place(None if output is None else Path(output), resume)
    place.check()
    own = own_processes and not asked.objects
    with asked.held():
        ran = comparison.compare(
            request, place=place, observer=observer, own_processes=own, reference=reference, restarts=restarts
        )
    return _document(ran)


@checked_arguments
def gan(
    task: Any,
    players: str | Iterable[str] = (),
    *,
    task_options: Mapping[str, Any] | None = None,
    reference: str | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    observer: ExperimentObserver | None = None,
    own_processes: bool = True,
    **options: Any,
) -> ResultDocument:
    """Train a generator and a critic with several pairs of optimizers, as ``ngbench gan`` does.

    Args:
        task: see the module; an :class:`ngbench.AdversarialTask` takes the place of a ``Task``.
        players: as after ``--players``; all settings of the task by default.
        task_options: the task's own, as after ``--set``.
        reference: label of the arm that ratios refer to; the first by default.
        output: directory of records, checkpoints and, in ``samples``, of images made after each epoch.
        resume: go on with what that directory holds.
        observer: is told what happens.
        own_processes: whether each arm has a process of its own.
        options: fields of :class:`ngbench.RunOptions`, and ``critic_steps``, ``penalty``, ``fid_every`` and so on.

    Returns:
        The records; errors as for :func:`compare`.
    """
    from ngbench.experiments.comparison import compare_players
    from ngbench.experiments.runs import Place
    from ngbench.running.samples import DIRECTORY

    asked = Asked()
    directory = None if output is None else Path(output)
    request = AdversarialRequest(
        task=asked.task(task),
        arms=parse_players(list(players)),
        task_options=a_mapping("task_options", task_options),
        options=made_options(AdversarialOptions, options),
        samples=None if directory is None else directory.absolute() / DIRECTORY,
    )
    place = Place(directory, resume)
    place.check()
    with asked.held():
        own = own_processes and not asked.objects
        ran = compare_players(request, place=place, observer=observer, own_processes=own, reference=reference)
    return _document(ran)


@checked_arguments
def fisher_error(
    task: Any = None,
    approximations: str | Iterable[str] = APPROXIMATIONS,
    *,
    model: Any = None,
    data: Any = None,
    likelihood: Any = None,
    task_options: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    observer: ExperimentObserver | None = None,
    own_processes: bool = True,
    **options: Any,
) -> ResultDocument:
    """Measure how well approximations match Fisher blocks along a run, as ``ngbench fisher-error`` does.

    Args:
        task: see the module.
        approximations: as after ``--approximations``.
        model, data, likelihood: in the place of a task, see :func:`ngbench.task_of`.
        task_options: the task's own, as after ``--set``.
        output: directory of a record of each run; nothing is kept by default.
        resume: take the finished runs that it holds as they are, and begin the others again.
        observer: is told what happens.
        own_processes: whether the runs have a process of their own.
        options: ``layer``, ``every``, ``fisher``, ``trained_with``, ``steps``, ``batch_size``, ``seed``, ``seeds``,
            ``device``, ``dtype``, ``threads`` and ``data_dir``.

    Returns:
        The records of the runs; errors as for :func:`compare`.
    """
    from ngbench.experiments.fisher_error.measure import measure_fisher_errors
    from ngbench.experiments.runs import Place

    asked = Asked()
    request = FisherErrorRequest(
        task=asked.task(task, OwnTask(model, data, likelihood, options)),
        approximations=parse_arms(list(approximations)),
        task_options=a_mapping("task_options", task_options),
        options=made_options(FisherErrorOptions, options),
    )
    place = Place(None if output is None else Path(output), resume)
    place.check()
    own = own_processes and not asked.objects
    with asked.held():
        ran = measure_fisher_errors(request, place=place, observer=observer, own_processes=own)
    return _document(ran)


@checked_arguments
def tune(
    task: Any = None,
    optimizers: Any = None,
    spaces: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    model: Any = None,
    data: Any = None,
    likelihood: Any = None,
    task_options: Mapping[str, Any] | None = None,
    observer: SearchObserver | None = None,
    **options: Any,
) -> ResultDocument:
    """Search for the hyper-parameters of optimizers, as ``ngbench tune`` does.

    Args:
        task: see the module.
        optimizers: see the module; the hyper-parameters that are given are fixed.
        spaces: by label, for each hyper-parameter a list of values, or ``{"low": 1e-4, "high": 1, "log": True}``; the
            task's published grid by default.
        model, data, likelihood: in the place of a task, see :func:`ngbench.task_of`.
        task_options: the task's own, as after ``--set``.
        observer: is told what happens.
        options: fields of :class:`ngbench.RunOptions` for each trial, and of the search: ``sampler``, ``trials``,
            ``metric``, ``sampler_seed``, ``workers``, ``storage`` and ``output``.

    Returns:
        The trials and the best of each arm.

    Raises:
        UsageError: as for :func:`compare`.
        NgbenchError: no trial of an arm has a value.
    """
    from ngbench.experiments.search.search import search
    from ngbench.experiments.search.trials import KeptProcess
    from ngbench.report.result import ResultDocument
    from ngbench.running.workers import LocalWorker, RunStarter, Worker

    asked = Asked()
    of_search = {name: options.pop(name) for name in options_of(SearchOptions) if name in options}
    request = SearchRequest(
        run=Request(
            asked.task(task, OwnTask(model, data, likelihood, options)),
            asked.arms(optimizers),
            a_mapping("task_options", task_options),
            made_options(RunOptions, options),
        ),
        spaces=a_mapping("spaces", spaces),
        options=made_options(SearchOptions, of_search),
    )

    def worker(plan: Any) -> Worker:
        return LocalWorker(RunStarter(plan.problem)) if asked.objects else KeptProcess()

    with asked.held():
        result = search(request, reporter=observer, make_worker=worker)
    if result.problem is not None:
        raise result.problem
    if result.error is not None and not result.interrupted:
        raise result.error
    return ResultDocument.of(result.document)


@checked_arguments
def reproduce(
    studies: str | Iterable[str],
    *,
    scale: Scale = "laptop",
    output: str | Path = "ngbench-studies",
    resume: bool = False,
    observer: ExperimentObserver | None = None,
    own_processes: bool = True,
    until: Literal["decided"] | None = None,
    minutes: float | None = None,
    **options: Any,
) -> ResultDocument:
    """Run studies and judge their claims, as ``ngbench reproduce`` does.

    Args:
        studies: names or YAML files.
        scale: how much of them is run; at ``smoke`` all arms share this process, and no operations are counted.
        output: each study gets a directory in it, of records, verdicts and figure.
        resume: go on with what these directories hold.
        observer: is told what happens.
        own_processes: whether each arm has a process of its own.
        until: ``"decided"`` begins with 3 seeds, and goes on to 5, 8 and 12 where a claim is still open.
        minutes: of a study, that adding seeds must not exceed.
        options: ``seeds``, ``device``, ``threads`` and ``data_dir``, in the place of what the studies say.

    Returns:
        The claims, verdicts and figures of all studies, until one is interrupted.

    Raises:
        UsageError: a study is not well formed, or its directory is used; nothing has run then.
        NgbenchError: what ended a study; those before it are in their directories.
    """
    from ngbench.experiments.runs import SilentObserver
    from ngbench.experiments.studies.cells import Conditions
    from ngbench.experiments.studies.reproduction import document_of_all, load_studies, minutes_of_seeds, run_study
    from ngbench.report.renderers.study_figure import draw_study
    from ngbench.report.result import ResultDocument
    from ngbench.report.sample_images import FIGURE_FILE, with_figure

    refuse_unknown(options, {"seeds", "device", "threads", "data_dir"})
    if scale not in get_args(Scale):
        raise UnknownNameError("scale", str(scale), get_args(Scale))
    budget = minutes_of_seeds(until, options.get("seeds"), minutes)
    asked = RunOptions(**options)
    loaded = load_studies(list(studies), Path(output), resume=resume)
    whole = scale != "smoke"
    conditions = Conditions(
        resume=resume,
        seeds=asked.seeds if "seeds" in options else None,
        until_decided=until is not None,
        minutes=budget,
        data_dir=asked.data_dir,
        device=asked.device,
        threads=asked.threads,
        own_processes=own_processes and whole,
        count_operations=whole,
        watch=lambda measure: nullcontext(observer or SilentObserver()),
    )
    outcomes = []
    for one in loaded:
        outcome = run_study(one.study, scale, Path(output), conditions)
        if outcome.error is not None:
            raise outcome.error
        if outcome.ran:
            draw_study(outcome.study, scale, outcome.ran, outcome.directory / FIGURE_FILE)
        if outcome.document is not None:
            outcome.document = with_figure(outcome.document, outcome.directory)
        outcomes.append(outcome)
        if outcome.interrupted:
            break
    return ResultDocument.of(document_of_all(outcomes))


@checked_arguments
def check(
    current: Any,
    baseline: Any = None,
    fail_if: str | Iterable[str] = (),
    *,
    history: str | Path | None = None,
    arms: Iterable[str] = (),
    **options: Any,
) -> ResultDocument:
    """Compare with a baseline or with a history, as ``ngbench check`` does.

    Args:
        current: is judged: a document, or the file or directory of records.
        baseline: what it is compared with, likewise.
        history: in its place, a directory of earlier records.
        fail_if: thresholds such as ``"step_time.ratio:5%"``; those of the project by default.
        arms: only these.
        options: ``absolute_floor``, ``inconclusive``, ``reference``, ``target_loss`` and so on.

    Returns:
        The verdicts, in ``gate``: ``gate.error`` is what the command would end with, ``None`` if nothing is worse.

    Raises:
        UsageError: a threshold or an option is not allowed, or there are no records.
    """
    from ngbench.disk.files import given_path
    from ngbench.experiments.gate import GateRequest, gate_document, run_gate
    from ngbench.experiments.gate_rules import GateRules
    from ngbench.experiments.history import run_history
    from ngbench.records.record import Document
    from ngbench.report.result import ResultDocument

    if (baseline is None) == (history is None):
        raise ParameterError("either baseline or history is needed, and not both")
    other = baseline if history is None else history
    given = [one if isinstance(one, Document) else given_path(one) for one in (current, other)]
    request = GateRequest(given[0], given[1], list(fail_if), list(arms), made_options(GateRules, options))
    return ResultDocument.of(gate_document((run_gate if history is None else run_history)(request).report))


@checked_arguments
def load(path: str | Path) -> ResultDocument:
    """The records of a file, or of all files in a directory.

    Raises:
        RecordError: there are none, or a file is corrupt or of a newer version.
    """
    from ngbench.errors import RecordError
    from ngbench.records.sources import load_records
    from ngbench.report.result import ResultDocument
    from ngbench.report.sample_images import with_figure

    given = Path(path)
    document = load_records(given)
    if document is None:
        raise RecordError(f"the directory {str(path)!r} holds no records")
    return ResultDocument.of(with_figure(document, given if given.is_dir() else given.parent))


def _document(ran: Ran) -> ResultDocument:
    """What was found; that records could not be kept is an error, after the runs."""
    from ngbench.report.result import ResultDocument

    if ran.problem is not None:
        import warnings

        warnings.warn(str(ran.problem), RuntimeWarning, stacklevel=3)
    return ResultDocument.of(ran.document)
