"""The charts of training runs: losses and metrics along the run, and what an update costs by phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from ngbench.records.quantities import ArmRun
from ngbench.records.record import Document, RunRecord
from ngbench.records.statistics import FAILED, mean_interval
from ngbench.records.timing import busy_machine
from ngbench.report.bands import band_of
from ngbench.report.blocks import Axis, Bar, BarPart, Bars, Chart, Column, Curve, Measure, Series
from ngbench.report.summary import OTHER, Arm, phase_order
from ngbench.report.views.conditions import data_descriptions, describe_conditions
from ngbench.units import DASH, format_estimate, format_number, format_seconds, format_share, spread

__all__ = ["about", "cost_bars", "curves_chart", "epochs_table", "loss_chart"]

TRAINING_AXES = (
    Axis("epoch", "epoch", integer=True),
    Axis("step", "update", integer=True, zero=True),
    Axis("time", "training time", time=True, zero=True),
)
_MOST_EPOCHS = 8


def about(document: Document) -> list[str]:
    """What a figure says below itself: what ran, on which data, and whether the machine was busy."""
    lines = [f"{document.runs[0].task} · {describe_conditions(document)}"]
    lines += [f"data: {described}" for _, described in data_descriptions(document)]
    return [*lines, *busy_machine(document.runs)]


def measures_of(arms: Sequence[Arm]) -> dict[str, str]:
    """The names of all quantities that runs have by epoch, in words."""
    histories = [run.history for arm in arms for run in arm.runs]
    trained = dict.fromkeys(name for history in histories for name in history.training_metrics)
    metrics = dict.fromkeys(name for history in histories for name in history.metrics)
    names = {"training_loss": "training loss", "validation_loss": "validation loss"}
    names |= {f"training_metric.{name}": f"training {name}" for name in trained}
    return names | {f"metric.{name}": f"validation {name}" if name in trained else name for name in metrics}


def loss_chart(document: Document, arms: Sequence[Arm]) -> Chart | None:
    """Losses and metrics by epoch, update and training time; ``None`` where no run finished an epoch."""
    validated = any(value is not None for run in document.runs for value in run.history.validation_loss)
    panels = {"training_loss": "training", **({"validation_loss": "validation"} if validated else {})}
    return curves_chart(document, arms, "loss", measures_of(arms), panels, label="loss")


def curves_chart(
    document: Document,
    arms: Sequence[Arm],
    name: str,
    measures: Mapping[str, str],
    panels: Mapping[str, str],
    *,
    label: str,
    shared_scale: bool = True,
    paper_axes: Sequence[Literal["epoch", "step", "time"]] = (),
    remarks: Sequence[str] = (),
) -> Chart | None:
    """Curves of the measures by epoch, update and training time; ``None`` where no run has any.

    A series is an arm: for each measure its mean, lowest and highest over the seeds that did not fail, and a
    curve of its own for each that did.
    """
    series = [_arm_series(arm, list(measures)) for arm in arms]
    known = {measure for one in series for part in (one, *one.ended) for measure in part.views}
    if not known:
        return None
    said = (
        "Line: mean over seeds; band: lowest to highest seed."
        if any(s.runs > 1 for s in series)
        else ("One run per arm.")
    )
    if any(one.ended for one in series):
        said += " A thin line that ends in a cross is a run that failed or diverged."
    lines = [*about(document), *remarks]
    if any(len(arm.runs) > 1 for arm in arms):
        lines.append("line: mean over seeds; band: lowest to highest seed; cross: the run failed or diverged")
    return Chart(
        name=name,
        caption=said,
        axes=TRAINING_AXES,
        measures=[Measure(key, text) for key, text in measures.items() if key in known],
        series=series,
        panels={key: title for key, title in panels.items() if key in known},
        paper_axes=paper_axes,
        label=label,
        shared_scale=shared_scale,
        about=lines,
    )


def _arm_series(arm: Arm, measures: Sequence[str]) -> Series:
    sound = [run for run in arm.runs if run.status not in FAILED]
    several = len(arm.runs) > 1
    ended = [
        Series((f"seed {run.seed} " if several else "") + run.status.replace("_", " "), 1, _curves([run], measures))
        for run in arm.runs
        if run.status in FAILED
    ]
    return Series(arm.label, len(sound), _curves(sound, measures), ended)


def _curves(runs: Sequence[RunRecord], measures: Sequence[str]) -> dict[str, Curve]:
    curves = {measure: band_of([*map(ArmRun, runs)], measure) for measure in measures}
    return {measure: curve for measure, curve in curves.items() if curve.mean}


def epochs_table(arms: Sequence[Arm]) -> list[Column]:
    """The training loss at some epochs that are spread over all: mean over the seeds that did not fail."""
    sound = {arm.label: [run for run in arm.runs if run.status not in FAILED] for arm in arms}
    curves = {label: band_of([*map(ArmRun, runs)], "training_loss") for label, runs in sound.items()}
    epochs = spread(sorted({int(epoch) for curve in curves.values() for epoch in curve.x["epoch"]}), _MOST_EPOCHS)

    def cell(label: str, epoch: int) -> str:
        if epoch not in curves[label].x["epoch"]:
            return DASH
        values = [run.history.train_loss[run.history.epoch.index(epoch)] for run in sound[label]]
        found = mean_interval([value for value in values if value is not None])
        if found is None:
            return DASH
        return format_estimate(found.value, found.error, 4) if found.n > 1 else format_number(found.value, 4)

    columns = [Column(f"epoch {epoch}", [cell(arm.label, epoch) for arm in arms]) for epoch in epochs]
    return [Column("arm", [arm.label for arm in arms], left=True), *columns] if columns else []


def cost_bars(document: Document, arms: Sequence[Arm]) -> Bars | None:
    """The time of an update by phase; ``None`` where no phase was timed."""
    shown = [arm for arm in arms if any(phase.seconds_per_step for phase in arm.phases)]
    if not shown:
        return None
    names = phase_order(phase.name for arm in shown for phase in arm.phases if phase.name != OTHER)
    if any(phase.name == OTHER for arm in shown for phase in arm.phases):
        names.append(OTHER)
    bars = [
        Bar(
            arm.label,
            [
                BarPart(
                    phase.name,
                    phase.seconds_per_step,
                    f"{format_seconds(phase.seconds_per_step)} per update, {format_share(phase.share)}",
                )
                for phase in arm.phases
                if phase.seconds_per_step
            ],
        )
        for arm in shown
    ]
    caption = "Time of an update, amortised over plain and refresh steps, by phase."
    return Bars("cost_by_phase", caption, names, bars, per="step", about=about(document))
