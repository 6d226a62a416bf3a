"""The published curves: drawn beside those of the runs, and judged as if they were runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from ngbench.experiments.studies.models import Selector
from ngbench.records.quantities import ArmRun
from ngbench.records.record import AdversarialRecord, FidRecord, History, RunRecord, StepsRecord

__all__ = ["PublishedArm", "find_curve", "published_arm"]


@dataclass(frozen=True)
class PublishedCurve:
    """A curve of the thesis.

    Attributes:
        epochs: at the end of which it is known.
        values: then.
        seconds_per_epoch: on the device of the published runs, if that is known.
        device: of the published runs.
    """

    epochs: list[float]
    values: list[float]
    seconds_per_epoch: float | None
    device: str

    @property
    def points(self) -> tuple[list[float], list[float]]:
        """Epochs and values."""
        return self.epochs, self.values


@dataclass(frozen=True)
class PublishedArm:
    """The published run of an arm in one place.

    Attributes:
        curves: by measurement.
        examples: that an epoch has.
        seconds_per_epoch: on the device of the published runs; ``None`` where that is not known.
    """

    curves: Mapping[str, PublishedCurve]
    examples: int
    seconds_per_epoch: float | None
    _runs: dict[tuple[str, int], ArmRun] = field(default_factory=dict, compare=False)

    def epochs(self) -> list[int]:
        """Whole epochs after which a curve is known, or that are next to such a moment."""
        known = [(epoch, curve.epochs[-1]) for curve in self.curves.values() for epoch in curve.epochs]
        near = {(near, last) for epoch, last in known for near in (math.floor(epoch), math.ceil(epoch))}
        return sorted({epoch for epoch, last in near if 1 <= epoch <= last})

    def run(self, label: str, until: int) -> ArmRun:
        """The run up to the end of an epoch: what is known, and that epoch, linear between known ones."""
        if (label, until) not in self._runs:
            self._runs[label, until] = self._made(label, until)
        return self._runs[label, until]

    def _made(self, label: str, until: int) -> ArmRun:
        last = min(until, self.epochs()[-1])
        epochs = sorted({last, *(epoch for epoch in self.epochs() if epoch < last)})
        columns: dict[str, list[float | None]] = {
            name: [None if math.isnan(value) else value for value in np.interp(epochs, *curve.points, left=math.nan)]
            for name, curve in self.curves.items()
        }
        nothing: list[float | None] = [None] * len(epochs)
        history = History.model_construct(
            epoch=epochs,
            step=epochs,
            train_loss=columns.get("training_loss", nothing),
            validation_loss=columns.get("validation_loss", nothing),
            elapsed_seconds=[epoch * (self.seconds_per_epoch or 0.0) for epoch in epochs],
            metrics={"fid": columns["fid"]} if "fid" in columns else {},
            training_metrics={},
        )
        # Nothing else of a record is looked at, and nothing else is known.
        known: dict[str, Any] = {"label": label, "seed": 0, "status": "done", "history": history, "target_loss": None}
        known |= {"steps": StepsRecord(), "phases": {}, "adversarial": None}
        if "fid" in columns:
            score: dict[str, Any] = {"metric": "fid"}
            known["adversarial"] = AdversarialRecord.model_construct(fid=FidRecord.model_construct(**score))  # type: ignore[call-arg]
        return ArmRun(RunRecord.model_construct(**known))


@cache
def _content() -> dict[str, Any]:
    text = files(__package__).joinpath("published.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


@cache
def published_arm(figure: str, task: str, batch_size: int, arm: Selector) -> PublishedArm | None:
    """The published run of an arm; ``None`` if there is none.

    Args:
        figure: as the file calls it.
        task: the task.
        batch_size: of the runs.
        arm: which optimizer, and which kind of it.
    """
    wanted = (figure, task, batch_size, arm.optimizer, arm.position_pairs)
    for entry in _content()["entries"]:
        found = (entry["figure"], entry["task"], entry["batch_size"], entry["optimizer"], entry.get("position_pairs"))
        if found == wanted:
            seconds = entry.get("seconds_per_epoch")
            curves = {name: _curve(points, seconds) for name, points in entry["curves"].items() if points}
            return PublishedArm(curves, _content()["examples"][task], seconds)
    return None


def _curve(points: Mapping[str, float], seconds_per_epoch: float | None) -> PublishedCurve:
    ordered = sorted((float(epoch), value) for epoch, value in points.items())
    epochs, values = (list(column) for column in zip(*ordered, strict=True))
    return PublishedCurve(epochs, values, seconds_per_epoch, _content()["device"])


def find_curve(figure: str, task: str, batch_size: int, arm: Selector, measurement: str) -> PublishedCurve | None:
    """The published curve of an arm, as :func:`published_arm`; ``None`` if the measurement was not published."""
    found = published_arm(figure, task, batch_size, arm)
    return None if found is None else found.curves.get(measurement)
