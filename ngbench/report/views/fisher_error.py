"""How near approximations of the Fisher matrix are, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ngbench.arms import file_slug
from ngbench.records.endings import describe_ending
from ngbench.records.record import Document, FisherErrorRecord, RunRecord
from ngbench.records.statistics import UncertainValue, mean_interval
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
from ngbench.units import (
    DASH,
    counted,
    enumerated,
    format_estimate,
    format_hyperparameters,
    format_number,
    format_seconds,
    format_seconds_estimate,
)

__all__ = ["headline", "layer_blocks", "nearest", "repeats_of", "view"]

_MEASURES = {
    "error_1": "Error 1",
    "error_2": "Error 2",
    "iterations": "iterations",
    "seconds": "time to approximate",
}
_PANELS = ("error_1", "error_2")


@dataclass(frozen=True)
class Repeats:
    """A layer that runs of several seeds measured alike: at the same updates, with the same approximations."""

    runs: Sequence[RunRecord]
    errors: Sequence[FisherErrorRecord]


def repeats_of(runs: Sequence[RunRecord]) -> list[Repeats]:
    """What the runs measured, the seeds of each layer together."""
    groups: list[tuple[list[object], list[RunRecord], list[FisherErrorRecord]]] = []
    for run in runs:
        made = [run.label, run.optimizer.hyperparameters, run.batch_size, run.dtype, run.device, run.data.digest]
        for error in run.fisher_errors:
            key = [*made, error.layer, error.layer_name, error.fisher, error.steps, [*error.approximations]]
            # A seed that was measured again is a repetition of its own.
            open_to = (found for found in groups if found[0] == key and run.seed not in {one.seed for one in found[1]})
            group = next(open_to, None)
            if group is None:
                group = (key, [], [])
                groups.append(group)
            group[1].append(run)
            group[2].append(error)
    return [Repeats(of, errors) for _, of, errors in groups]


def view(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[Block]:
    """What ran, the errors of each layer over the seeds, and how runs ended that did not come to their end.

    A run that did not is no part of the means, unless none did.
    """
    first = document.runs[0]
    data = [Fact("data", described) for _, described in data_descriptions(document)]
    blocks: list[Block] = [Heading(first.task, format_hyperparameters(first.task_options))]
    blocks.append(Facts([*data, Fact("conditions", describe_conditions(document))]))
    whole = [run for run in document.runs if run.status == "done"] or document.runs
    measured = [one for one in repeats_of(whole) if one.errors[0].steps]
    titles: list[str] = []
    for one in measured:
        error = one.errors[0]
        title = f"Fisher error of layer {error.layer}" + (f" (module {error.layer_name})" if error.layer_name else "")
        titles.append(title)
        number = f"-{titles.count(title)}" if titles.count(title) > 1 else ""
        name = file_slug(f"fisher-error-{first.task}-layer-{error.layer}{number}")
        blocks += layer_blocks(one.errors, title, name, about=[f"{first.task} · {title}"])
    if told := [sentence for one in measured for sentence in _conclusions(one.errors)]:
        blocks.append(Summary(told))
    several = len(document.runs) > 1
    endings = [
        f"The run{f' of seed {run.seed}' if several else ''} {describe_ending(run)}"
        + (f": {run.message}" if run.message else "")
        + ("." if run in whole else "; it is no part of the means.")
        for run in document.runs
        if run.status != "done"
    ]
    return [*blocks, Warnings(endings)] if endings else blocks


def layer_blocks(
    errors: Sequence[FisherErrorRecord], title: str, name: str, *, about: Sequence[str]
) -> Iterator[Block]:
    """The table and the chart of a layer, measured alike with each seed; nothing where nothing was measured."""
    chart = _chart(errors, name, about)
    if chart is not None:
        yield Table(title, errors_table(errors))
        yield chart


def _conclusions(errors: Sequence[FisherErrorRecord]) -> Iterator[str]:
    """Which approximation is nearest, and what each took."""
    first = errors[0]
    means = [(label, _over_seeds(errors, label, "error_1", _average)) for label in first.approximations]
    seeds = f" of {len(errors)} seeds" if len(errors) > 1 else ""
    steps = f"mean Error 1 of {counted(len(first.steps), 'measured step')}{seeds}"
    yield from lowest(f"In layer {first.layer}", steps, means)
    times = {label: _over_seeds(errors, label, "seconds", _average) for label in first.approximations}
    if told := [f"{label} {format_seconds(time.value)}" for label, time in times.items() if time is not None]:
        yield f"An approximation takes on average: {enumerated(told)}."


def _chart(errors: Sequence[FisherErrorRecord], name: str, about: Sequence[str]) -> Chart | None:
    """Both errors of each approximation, and what it took, by training step."""
    series = []
    for label in errors[0].approximations:
        curves = {key: _curve(errors, label, key) for key in _MEASURES}
        series.append(Series(label, len(errors), {key: curve for key, curve in curves.items() if curve.mean}))
    known = [key for key in _MEASURES if any(key in one.views for one in series)]
    if not known:
        return None
    band = "Line: mean over seeds; band: lowest to highest seed." if len(errors) > 1 else ""
    return Chart(
        name=name,
        caption=f"Error of each approximation on the same samples. {band}".rstrip(),
        axes=[Axis("step", "update", integer=True)],
        measures=[Measure(key, _MEASURES[key], time=key == "seconds") for key in known],
        series=series,
        panels={key: _MEASURES[key] for key in _PANELS},
        shared_scale=False,
        scale="log",
        about=[*about, *([f"{band[0].lower()}{band[1:-1]}"] if band else [])],
    )


def _curve(errors: Sequence[FisherErrorRecord], label: str, key: str) -> Curve:
    """The steps at which every seed has a number: their mean, and the lowest and highest of several."""
    columns = zip(*(getattr(error.approximations[label], key) for error in errors), strict=False)
    points = [(step, values) for step, values in zip(errors[0].steps, columns, strict=False) if None not in values]
    several = len(errors) > 1
    return Curve(
        {"step": [step for step, _ in points]},
        [_average(values) for _, values in points],
        low=[min(values) for _, values in points] if several else None,
        high=[max(values) for _, values in points] if several else None,
    )


def errors_table(errors: Sequence[FisherErrorRecord]) -> list[Column]:
    """Mean, largest and last of both errors of each approximation, and what it took on average.

    Over several seeds these are the seeds' own, with the interval of their mean, but for the largest of all.
    """
    labels = list(errors[0].approximations)

    def cells(key: str, of_seed: _OfSeed) -> list[str]:
        found = [_over_seeds(errors, label, key, of_seed) for label in labels]
        return [DASH if one is None else format_estimate(one.value, one.error) for one in found]

    columns = [Column("approximation", labels, left=True)]
    for key in _PANELS:
        largest = [max((max(values) for values in _by_seed(errors, label, key)), default=None) for label in labels]
        columns += [
            Column(f"{_MEASURES[key]}\nmean", cells(key, _average), key=key),
            Column(f"{_MEASURES[key]}\nmaximum", [format_number(value) for value in largest], key=f"{key}.maximum"),
            Column(f"{_MEASURES[key]}\nfinal", cells(key, lambda values: values[-1]), key=f"{key}.final"),
        ]
    iterations = Column("iterations\nmean", cells("iterations", _average), key="iterations")
    times = [_over_seeds(errors, label, "seconds", _average) for label in labels]
    shown = [DASH if time is None else format_seconds_estimate(time.value, time.error) for time in times]
    seconds = Column("time\nmean", shown, key="seconds")
    return [*columns, *(column for column in (iterations, seconds) if not column.empty)]


_OfSeed = Callable[[Sequence[float]], float]


def _average(values: Sequence[float]) -> float:
    return values[0] if len(values) == 1 else math.fsum(values) / len(values)


def _by_seed(errors: Sequence[FisherErrorRecord], label: str, key: str) -> list[list[float]]:
    """The numbers of each seed that has any."""
    found = [[value for value in getattr(error.approximations[label], key) if value is not None] for error in errors]
    return [values for values in found if values]


def _over_seeds(errors: Sequence[FisherErrorRecord], label: str, key: str, of_seed: _OfSeed) -> UncertainValue | None:
    return mean_interval([of_seed(values) for values in _by_seed(errors, label, key)])


def nearest(errors: Sequence[FisherErrorRecord]) -> str:
    """The approximation with the least mean error; empty where there is none."""
    means = [(_over_seeds(errors, label, "error_1", _average), label) for label in errors[0].approximations]
    known = [(mean.value, label) for mean, label in means if mean is not None]
    return f"lowest mean Error 1 {format_number(min(known)[0])} ({min(known)[1]})" if known else ""


def headline(document: Document) -> str:
    """The nearest approximation, if only one layer was measured."""
    measured = repeats_of(document.runs)
    return nearest(measured[0].errors) if len(measured) == 1 else f"{len(measured)} layers measured"
