"""What may be asked of a search. Loads no torch: the command line and the Python API are made of these fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from ngbench.disk.files import given_path
from ngbench.plugins.parameters import Range
from ngbench.records.quantities import names_for
from ngbench.records.results import RESULTS
from ngbench.running.limits import Count, Seed
from ngbench.running.option_fields import converted, option
from ngbench.running.request import Request

__all__ = ["SearchOptions", "SearchRequest"]

_SEARCH = "Search"


@dataclass(frozen=True)
class SearchOptions:
    """How is searched, and where the trials are kept.

    Raises:
        ParameterError: a value is not allowed.
    """

    sampler: str | None = option(
        None,
        "How points are chosen.",
        metavar="grid|random|tpe",
        panel=_SEARCH,
        shown_default="grid, or tpe where there is a range",
    )
    sampler_seed: Seed = option(0, "Seed of the sampler, and of the order of a grid.", metavar="N", panel=_SEARCH)
    trials: Count | None = option(
        None, "Trials of each arm.", metavar="N", panel=_SEARCH, shown_default="the whole grid"
    )
    metric: str = option(
        "training_loss",
        f"What decides: {names_for('tune')}, where NAME is a metric of the task, such as accuracy.",
        metavar="NAME[:min|max]",
        panel=_SEARCH,
    )
    storage: Path | None = option(
        None,
        "The trials: SQLite (.db, .sqlite) or a journal (.journal, .log). One that exists is continued, "
        "also by several processes and machines at the same time.",
        metavar="FILE",
        panel=_SEARCH,
        shown_default="trials.journal in the output directory",
        convert=given_path,
    )
    # Each has a thread here and a process of its own.
    workers: Annotated[int, Range(minimum=1, maximum=256)] = option(
        1, "Trials that run at the same time, each in a process of its own.", metavar="N", panel=_SEARCH
    )
    output: Path | None = option(
        None,
        "Keep the trials, a record of each run, and the best hyper-parameters here.",
        metavar="DIR",
        panel="Results",
        shown_default=f"a new one in {RESULTS}, without --storage",
        convert=given_path,
    )

    def __post_init__(self) -> None:
        for name, value in converted(self).items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class SearchRequest:
    """What is asked for.

    Attributes:
        run: a trial of each arm: task, budget, seeds, machine. The hyper-parameters given for an arm are fixed.
        spaces: by arm, for each hyper-parameter what is tried
            (:func:`~ngbench.experiments.search.space.read_dimension`, or what that returns); an arm without an entry is
            searched on the task's grid, less what is fixed.
        options: how is searched. Without a sampler the grid's where all spaces are lists of values, else TPE.
    """

    run: Request
    spaces: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: SearchOptions = field(default_factory=SearchOptions)
