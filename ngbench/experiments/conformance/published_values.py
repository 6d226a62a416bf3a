"""What a task publishes for optimizers: hyper-parameters, grids and batch sizes that can be used as they are."""

from __future__ import annotations

from ngbench.adversarial_task import PLAYERS, AdversarialTask
from ngbench.errors import NgbenchError, ParameterError
from ngbench.experiments.conformance.outcome import CheckFailed, CheckNotApplicable, Passed
from ngbench.experiments.conformance.task_subject import TaskSubject
from ngbench.plugins import registry

__all__ = ["check_batch_sizes", "check_grids", "check_hyperparameters"]


def check_hyperparameters(subject: TaskSubject) -> Passed:
    """Every named optimizer exists and allows the values; of two players, those of each named pair too."""
    names: dict[str, None] = {}
    for player, view in subject.views().items():
        for name in view.hyperparameters:
            _expect(name, f" of the {player}" if player else "", dict(view.hyperparameters[name]))
            names[name] = None
    if isinstance(subject.task, AdversarialTask):
        for size in (0, *subject.task.published):
            for called, pair in subject.task.settings_for(size).items():
                for player in PLAYERS:
                    values = getattr(pair, f"{player}_hyperparameters")
                    _expect(getattr(pair, player), f" of the {player} in {called}", dict(values))
                    names[getattr(pair, player)] = None
    if not names:
        raise CheckNotApplicable("it publishes none: optimizers run with their defaults")
    return Passed(f"of {', '.join(names)}")


def _published_for(name: str) -> str:
    """The optimizer of published values: ``two-level-spectral`` and ``kfac+pi`` are further values of its prefix."""
    names = {row.name for row in registry.rows(registry.OPTIMIZERS)}
    bases = [base for base in names if name.startswith((f"{base}-", f"{base}+"))]
    return name if name in names or not bases else max(bases, key=len)


def _expect(name: str, whose: str, values: dict[str, object]) -> None:
    try:
        registry.optimizer(_published_for(name)).resolve(values)
    except NgbenchError as error:
        raise CheckFailed(f"the hyper-parameters{whose} do not fit: {error}") from error


def check_grids(subject: TaskSubject) -> Passed:
    """Every value of a search is allowed."""
    grid = subject.single.grid
    if not grid:
        raise CheckNotApplicable("it has none: ngbench tune needs its own")
    for name, lists in grid.items():
        try:
            known = {parameter.name: parameter for parameter in registry.optimizer(name).accepted}
        except NgbenchError as error:
            raise CheckFailed(f"the grid of {name} cannot be used: {error}") from error
        for key, values in lists.items():
            if key not in known:
                raise CheckFailed(f"the grid of {name} has {key!r}, which is none of its hyper-parameters")
            for value in values:
                try:
                    known[key].convert(value)
                except ParameterError as error:
                    raise CheckFailed(f"the grid of {name}: {error}") from error
    return Passed(f"of {', '.join(grid)}")


def check_batch_sizes(subject: TaskSubject) -> Passed:
    """The default budget can be run on the default data."""
    task, examples = subject.task, len(subject.data.train_inputs)
    if task.epochs < 1:
        raise CheckFailed(f"epochs={task.epochs} is not allowed: at least 1")
    if task.batch_size > examples:
        # Published sizes may be those of the original, of which a stand-in is a part.
        raise CheckFailed(
            f"batches of {task.batch_size} are larger than the data, {examples} examples: choose a smaller default"
        )
    if any(size < 1 for size in (task.batch_size, *task.batch_sizes)):
        raise CheckFailed("a batch size is less than 1")
    return Passed(", ".join(map(str, (task.batch_size, *task.batch_sizes))))
