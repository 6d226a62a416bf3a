"""How near approximations of the Fisher matrix are, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ngbench.arms import file_slug
from ngbench.records.endings import describe_ending
from ngbench.records.record import Document, FisherCurve, FisherErrorRecord
from ngbench.records.statistics import mean_interval
from ngbench.report.blocks import (
    Axis,
    Block,
    Chart,
    Column,
    Curve,
    Fact,
    Facts,
    Heading,
    Measure,
    Series,
    Summary,
    Table,
    Warnings,
)
from ngbench.report.views.conclusions import lowest
from ngbench.report.views.conditions import data_descriptions, describe_conditions
from ngbench.units import DASH, counted, enumerated, format_hyperparameters, format_number, format_seconds

__all__ = ["headline", "layer_blocks", "view"]

_MEASURES = {
    "error_1": "Error 1",
    "error_2": "Error 2",
    "iterations": "iterations",
    "seconds": "time to approximate",
}
_PANELS = ("error_1", "error_2")


def view(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[Block]:
    """What ran, the errors of each layer, and how the run ended if it did not come to its end."""
    (run,) = document.runs
    data = [Fact("data", described) for _, described in data_descriptions(document)]
    blocks: list[Block] = [Heading(run.task, format_hyperparameters(run.task_options))]
    blocks.append(Facts([*data, Fact("conditions", describe_conditions(document))]))
    for error in run.fisher_errors:
        if error.steps:
            title = f"Fisher error of layer {error.layer}" + (
                f" (module {error.layer_name})" if error.layer_name else ""
            )
            name = file_slug(f"fisher-error-{run.task}-layer-{error.layer}")
            blocks += layer_blocks(error, title, name, about=[f"{run.task} · {title}"])
    if told := [sentence for error in run.fisher_errors for sentence in _conclusions(error)]:
        blocks.append(Summary(told))
    if run.status != "done":
        ending = describe_ending(run) + (f": {run.message}" if run.message else "")
        blocks.append(Warnings([f"The run {ending}."]))
    return blocks


def layer_blocks(error: FisherErrorRecord, title: str, name: str, *, about: Sequence[str]) -> Iterator[Block]:
    """The table and the chart of a layer; nothing where no approximation was measured."""
    chart = _chart(error, name, about)
    if chart is not None:
        yield Table(title, errors_table(error))
        yield chart


def _conclusions(error: FisherErrorRecord) -> Iterator[str]:
    """Which approximation is nearest, and what each took."""
    curves = error.approximations.items()
    means = [(label, mean_interval(_finite(curve, "error_1"))) for label, curve in curves]
    # The intervals over steps of one run say nothing of another run's order.
    alone = [(label, None if mean is None else replace(mean, low=None, high=None)) for label, mean in means]
    yield from lowest(f"In layer {error.layer}", f"mean Error 1 of {counted(len(error.steps), 'measured step')}", alone)
    times = {label: mean_interval(_finite(curve, "seconds")) for label, curve in curves}
    if told := [f"{label} {format_seconds(time.value)}" for label, time in times.items() if time is not None]:
        yield f"An approximation takes on average: {enumerated(told)}."


def _chart(error: FisherErrorRecord, name: str, about: Sequence[str]) -> Chart | None:
    """Both errors of each approximation, and what it took, by training step."""
    series = []
    for label, curve in error.approximations.items():
        views = {}
        for key in _MEASURES:
            points = [(x, y) for x, y in zip(error.steps, getattr(curve, key), strict=False) if y is not None]
            if points:
                views[key] = Curve({"step": [x for x, _ in points]}, [y for _, y in points])
        series.append(Series(label, 1, views))
    known = [key for key in _MEASURES if any(key in one.views for one in series)]
    if not known:
        return None
    return Chart(
        name=name,
        caption="Error of each approximation on the same samples.",
        axes=[Axis("step", "update", integer=True)],
        measures=[Measure(key, _MEASURES[key], time=key == "seconds") for key in known],
        series=series,
        panels={key: _MEASURES[key] for key in _PANELS},
        shared_scale=False,
        scale="log",
        about=about,
    )


def errors_table(error: FisherErrorRecord) -> list[Column]:
    """Mean, largest and last of both errors of each approximation, and what it took on average."""
    curves = list(error.approximations.values())
    columns = [Column("approximation", list(error.approximations), left=True)]
    for key in _PANELS:
        found = [_finite(curve, key) for curve in curves]
        columns += [
            Column(f"{_MEASURES[key]}\nmean", [_mean(values) for values in found], key=key),
            Column(
                f"{_MEASURES[key]}\nmaximum",
                [format_number(max(values, default=None)) for values in found],
                key=f"{key}.maximum",
            ),
            Column(
                f"{_MEASURES[key]}\nfinal",
                [format_number(values[-1] if values else None) for values in found],
                key=f"{key}.final",
            ),
        ]
    iterations = Column("iterations\nmean", [_mean(_finite(curve, "iterations")) for curve in curves], key="iterations")
    times = [mean_interval(_finite(curve, "seconds")) for curve in curves]
    seconds = Column(
        "time\nmean", [DASH if time is None else format_seconds(time.value) for time in times], key="seconds"
    )
    return [*columns, *(column for column in (iterations, seconds) if not column.empty)]


def _finite(curve: FisherCurve, key: str) -> list[float]:
    return [value for value in getattr(curve, key) if value is not None]


def _mean(values: Sequence[float]) -> str:
    found = mean_interval(values)
    return DASH if found is None else format_number(found.value)


def headline(document: Document) -> str:
    """The approximation with the least mean error, if only one layer was measured."""
    errors = [error for run in document.runs for error in run.fisher_errors]
    if len(errors) != 1:
        return f"{len(errors)} layers measured"
    means = [(mean_interval(_finite(curve, "error_1")), name) for name, curve in errors[0].approximations.items()]
    known = [(mean.value, name) for mean, name in means if mean is not None]
    return f"lowest mean Error 1 {format_number(min(known)[0])} ({min(known)[1]})" if known else ""
