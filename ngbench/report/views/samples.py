"""The images that runs made."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

from ngbench.arms import file_slug
from ngbench.records.record import Document, RunRecord
from ngbench.report.blocks import Image, ImageRow, Images

__all__ = ["samples"]


def samples(document: Document) -> Iterator[Images]:
    """A row of images for each run that made any; those that lie in files have to be a part of the record
    (:func:`ngbench.report.sample_images.with_images`) to be seen."""
    rows = [
        ImageRow(
            name=f"samples_{file_slug(run.label)}-seed{run.seed}",
            label=f"{run.label}, seed {run.seed}",
            images=images,
            title=f"{run.task}: {run.label}, seed {run.seed}, batch {run.batch_size}",
        )
        for run in document.runs
        if (images := [*_images(run)])
    ]
    if rows:
        yield Images("Samples", rows)


def _images(run: RunRecord) -> Iterator[Image]:
    steps = dict(zip(run.history.epoch, run.history.step, strict=True))
    for sample in run.samples:
        epoch, png = sample.epoch, sample.png
        yield Image(
            name=f"epoch {epoch}",
            alt=f"Samples after epoch {epoch}",
            png=None if png is None else base64.b64decode(png.removeprefix("data:image/png;base64,")),
            path="" if sample.path is None else Path(sample.path),
            more=f"step {steps[epoch]}" if epoch in steps else "",
        )
