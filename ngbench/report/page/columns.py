"""The tables that only a report has, as columns of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from ngbench.records.record import EnvironmentRecord
from ngbench.records.statistics import FAILED, mean_interval
from ngbench.report.columns import Column
from ngbench.report.figures import band_of
from ngbench.report.page.extras import Claim, FisherCurve, FisherError, spread
from ngbench.report.page.sections import Environment, Section
from ngbench.report.summary import Arm, arms_of, summarise
from ngbench.units import DASH, format_bytes, format_estimate, format_number, format_seconds

__all__ = [
    "VERDICTS",
    "count_verdicts",
    "format_claims",
    "format_environments",
    "format_epochs",
    "format_fisher_error",
    "format_overview",
]

VERDICTS = ("reproduced", "contradicted", "inconclusive", "not tested at this scale")
"""The order in which verdicts are counted; others follow."""

_MOST_EPOCHS = 8
_MOST_SOURCES = 3


def format_overview(sections: Sequence[Section]) -> list[Column]:
    """One row for each section: how much ran, and which arm ended lowest."""

    def counts(count: Callable[[Section], int]) -> list[str]:
        return [str(count(section) or DASH) for section in sections]

    columns = [
        Column("section", [section.title for section in sections], left=True),
        Column("arms", counts(lambda section: len(arms_of(section.document)) if section.document else 0)),
        Column("runs", counts(lambda section: len(section.document.runs) if section.document else 0)),
        Column("lowest final\ntrain loss", [_lowest(section) for section in sections], left=True),
    ]
    if any(section.fisher_errors for section in sections):
        columns.insert(3, Column("Fisher\nerrors", counts(lambda section: len(section.fisher_errors))))
    return columns


def _lowest(section: Section) -> str:
    arms = summarise(section.document) if section.document else []
    ended = [(arm.final.value, arm) for arm in arms if arm.final is not None]
    if not ended:
        return DASH
    value, arm = min(ended, key=lambda pair: pair[0])
    return f"{format_number(value, 4)} ({arm.label})"


def format_epochs(arms: Sequence[Arm]) -> list[Column]:
    """The training loss at some epochs that are spread over all: mean over the seeds that did not fail."""
    sound = {arm.label: [run for run in arm.runs if run.status not in FAILED] for arm in arms}
    curves = {label: band_of(runs, "training_loss") for label, runs in sound.items()}
    epochs = spread(sorted({epoch for curve in curves.values() for epoch in curve.epochs}), _MOST_EPOCHS)

    def cell(label: str, epoch: int) -> str:
        if epoch not in curves[label].epochs:
            return DASH
        values = [run.history.train_loss[run.history.epoch.index(epoch)] for run in sound[label]]
        found = mean_interval([value for value in values if value is not None])
        if found is None:
            return DASH
        return format_estimate(found.value, found.error, 4) if found.n > 1 else format_number(found.value, 4)

    columns = [Column(f"epoch {epoch}", [cell(arm.label, epoch) for arm in arms]) for epoch in epochs]
    return [Column("arm", [arm.label for arm in arms], left=True), *columns] if columns else []


def format_fisher_error(error: FisherError) -> list[Column]:
    """Mean, largest and last of both errors of each approximation, and what it took on average."""
    curves = list(error.approximations.values())
    columns = [Column("approximation", list(error.approximations), left=True)]
    for key, name in (("error_1", "Error 1"), ("error_2", "Error 2")):
        found = [_finite(curve, key) for curve in curves]
        columns += [
            Column(f"{name}\nmean", [_mean(values) for values in found]),
            Column(f"{name}\nmaximum", [format_number(max(values, default=None)) for values in found]),
            Column(f"{name}\nfinal", [format_number(values[-1] if values else None) for values in found]),
        ]
    iterations = Column("iterations\nmean", [_mean(_finite(curve, "iterations")) for curve in curves])
    times = [mean_interval(_finite(curve, "seconds")) for curve in curves]
    seconds = Column("time\nmean", [DASH if time is None else format_seconds(time.value) for time in times])
    return [*columns, *(column for column in (iterations, seconds) if not column.empty)]


def _finite(curve: FisherCurve, key: str) -> list[float]:
    return [value for value in getattr(curve, key) if value is not None]


def _mean(values: Sequence[float]) -> str:
    found = mean_interval(values)
    return DASH if found is None else format_number(found.value)


def count_verdicts(claims: Sequence[Claim]) -> list[tuple[str, int]]:
    """How many claims have which verdict."""
    counts = Counter(claim.verdict for claim in claims)
    order = [*VERDICTS, *sorted(set(counts) - set(VERDICTS))]
    return [(verdict, counts[verdict]) for verdict in order if counts[verdict]]


def format_claims(claims: Sequence[Claim]) -> list[Column]:
    """The claims with what was observed."""
    return [
        Column("study", [claim.study for claim in claims], left=True),
        Column("claim", [claim.claim for claim in claims], left=True),
        Column("verdict", [claim.verdict for claim in claims], left=True),
        Column("observed", [_shown(claim.observed) for claim in claims], left=True),
        Column("interval", [_interval(claim) for claim in claims]),
        Column("tolerance", [_shown(claim.tolerance) for claim in claims]),
    ]


def _shown(value: float | str | None) -> str:
    return value if isinstance(value, str) else format_number(value, 4)


def _interval(claim: Claim) -> str:
    if claim.interval is None or None in claim.interval:
        return DASH
    return " to ".join(format_number(end, 4) for end in claim.interval)


def format_environments(environments: Sequence[Environment]) -> list[Column]:
    """One column for each environment, one row for each fact."""
    facts: dict[str, Callable[[EnvironmentRecord], str]] = {
        "ngbench": lambda record: record.ngbench,
        "Python": lambda record: record.python,
        "torch": lambda record: record.torch or DASH,
        "CUDA": lambda record: record.cuda or DASH,
        "platform": lambda record: record.platform,
        "processor": lambda record: record.processor,
        "cores": lambda record: str(record.cores),
        "threads": lambda record: DASH if record.threads is None else str(record.threads),
        "memory": lambda record: format_bytes(record.memory_bytes),
        "commit": lambda record: (record.git_commit or DASH)[:12],
    }
    columns = [Column("", list(facts), left=True)]
    for environment in environments:
        named, rest = environment.sources[:_MOST_SOURCES], environment.sources[_MOST_SOURCES:]
        heading = ", ".join(named) + (f" and {len(rest)} more" if rest else "")
        columns.append(Column(heading, [fact(environment.record) for fact in facts.values()], left=True))
    return columns
