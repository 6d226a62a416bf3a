"""What the page's script draws, as data: it scales and formats these numbers and computes none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ngbench.records.record import RunRecord
from ngbench.records.statistics import FAILED
from ngbench.report.figures import band_of
from ngbench.report.page.extras import FisherError
from ngbench.report.summary import OTHER, Arm, phase_order
from ngbench.units import format_seconds, format_share

__all__ = ["cost_chart", "fisher_chart", "loss_chart"]

_DIGITS = 7

Chart = dict[str, Any]


def loss_chart(arms: Sequence[Arm]) -> Chart | None:
    """Losses and metrics by epoch, update and training time; ``None`` where no run finished an epoch.

    A series is an arm: for each measure its mean, lowest and highest over the seeds that did not fail, and a
    curve of its own for each that did.
    """
    histories = [run.history for arm in arms for run in arm.runs]
    trained = dict.fromkeys(name for history in histories for name in history.training_metrics)
    metrics = dict.fromkeys(name for history in histories for name in history.metrics)
    names = {"training_loss": "training loss", "validation_loss": "validation loss"}
    names |= {f"training_metric.{name}": f"training {name}" for name in trained}
    names |= {f"metric.{name}": f"validation {name}" if name in trained else name for name in metrics}
    series = [_arm_series(arm, list(names)) for arm in arms]
    known = {measure for one in series for views in (one["views"], *_views(one["ended"])) for measure in views}
    if not known:
        return None
    return {
        "axes": [
            {"key": "epoch", "label": "epoch", "integer": True},
            {"key": "step", "label": "update", "integer": True, "zero": True},
            {"key": "time", "label": "training time", "time": True, "zero": True},
        ],
        "measures": [{"key": key, "label": label} for key, label in names.items() if key in known],
        "series": series,
    }


def _views(ended: Sequence[Chart]) -> list[Chart]:
    return [one["views"] for one in ended]


def _arm_series(arm: Arm, measures: Sequence[str]) -> Chart:
    sound = [run for run in arm.runs if run.status not in FAILED]
    failed = [run for run in arm.runs if run.status in FAILED]
    several = len(arm.runs) > 1
    return {
        "label": arm.label,
        "runs": len(sound),
        "views": _curves(sound, measures),
        "ended": [
            {
                "label": (f"seed {run.seed} " if several else "") + run.status.replace("_", " "),
                "views": _curves([run], measures),
            }
            for run in failed
        ],
    }


def _curves(runs: Sequence[RunRecord], measures: Sequence[str]) -> Chart:
    curves = {measure: band_of(runs, measure) for measure in measures}
    return {
        measure: {
            "x": {"epoch": curve.epochs, "step": _rounded(curve.steps), "time": _rounded(curve.seconds)},
            "mean": _rounded(curve.mean),
            **({"low": _rounded(curve.low), "high": _rounded(curve.high)} if len(runs) > 1 else {}),
        }
        for measure, curve in curves.items()
        if curve.epochs
    }


def cost_chart(arms: Sequence[Arm]) -> Chart | None:
    """The time of an update by phase; ``None`` where no phase was timed."""
    shown = [arm for arm in arms if any(phase.seconds_per_step for phase in arm.phases)]
    if not shown:
        return None
    names = phase_order(phase.name for arm in shown for phase in arm.phases if phase.name != OTHER)
    if any(phase.name == OTHER for arm in shown for phase in arm.phases):
        names.append(OTHER)
    return {
        "phases": names,
        "arms": [
            {
                "label": arm.label,
                "parts": [
                    {
                        "phase": phase.name,
                        "seconds": _rounded([phase.seconds_per_step])[0],
                        "read": f"{format_seconds(phase.seconds_per_step)} per update, {format_share(phase.share)}",
                    }
                    for phase in arm.phases
                    if phase.seconds_per_step
                ],
            }
            for arm in shown
        ],
    }


def fisher_chart(error: FisherError) -> Chart | None:
    """Both errors of each approximation, and what it took, by training step; ``None`` where none was measured."""
    if not error.steps or not error.approximations:
        return None
    names = {"error_1": "Error 1", "error_2": "Error 2", "iterations": "iterations", "seconds": "time to approximate"}
    measures = [
        key
        for key in names
        if any(value is not None for curve in error.approximations.values() for value in getattr(curve, key))
    ]
    series = []
    for name, curve in error.approximations.items():
        views: Chart = {}
        for key in measures:
            points = [(x, y) for x, y in zip(error.steps, getattr(curve, key), strict=False) if y is not None]
            if points:
                views[key] = {"x": {"step": [x for x, _ in points]}, "mean": _rounded([y for _, y in points])}
        series.append({"label": name, "runs": 1, "views": views, "ended": []})
    if not measures:
        return None
    return {
        "axes": [{"key": "step", "label": "update", "integer": True}],
        "measures": [{"key": key, "label": names[key], "time": key == "seconds"} for key in measures],
        "series": series,
    }


def _rounded(values: Sequence[float | None]) -> list[float | None]:
    """More digits than a screen shows, fewer than make the page large."""
    return [None if value is None else float(f"{value:.{_DIGITS - 1}e}") for value in values]
