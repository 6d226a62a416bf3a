"""The published curves that are drawn beside those of the runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from ngbench.experiments.studies.models import Selector

__all__ = ["find_curve"]


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


@cache
def _content() -> dict[str, Any]:
    text = files(__package__).joinpath("published.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def find_curve(figure: str, task: str, batch_size: int, arm: Selector, measurement: str) -> PublishedCurve | None:
    """The published curve of an arm; ``None`` if there is none, or the measurement was not published.

    Args:
        figure: as the file calls it.
        task: the task.
        batch_size: of the runs.
        arm: which optimizer, and which kind of it.
        measurement: such as ``training_loss``.
    """
    for entry in _content()["entries"]:
        if (entry["figure"], entry["task"], entry["batch_size"]) != (figure, task, batch_size):
            continue
        if entry["optimizer"] != arm.optimizer or entry.get("position_pairs") != arm.position_pairs:
            continue
        points: Mapping[str, float] = entry["curves"].get(measurement, {})
        if not points:
            return None
        ordered = sorted((float(epoch), value) for epoch, value in points.items() if value is not None)
        epochs, values = (list(column) for column in zip(*ordered, strict=True))
        return PublishedCurve(epochs, values, entry.get("seconds_per_epoch"), _content()["device"])
    return None
