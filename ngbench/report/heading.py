"""What ran, in words."""

from __future__ import annotations

from collections.abc import Iterator

from ngbench.records.record import Document
from ngbench.report.columns import format_hyperparameters
from ngbench.report.summary import arms_of
from ngbench.units import format_count

__all__ = ["ORIGINS", "arm_descriptions", "data_descriptions", "describe_conditions"]

ORIGINS = {"original": "ORIGINAL", "generated": "generated", "stand-in": "STAND-IN"}
"""How each origin of data is shown."""


def data_descriptions(document: Document) -> list[tuple[str, str]]:
    """Origin and description of each data set that the runs used."""
    return [
        (
            data.origin,
            f"{data.name} ({ORIGINS[data.origin]}), {data.train_examples:,} training and "
            f"{data.validation_examples:,} validation examples: {data.description}",
        )
        for data in {run.data.digest: run.data for run in document.runs}.values()
    ]


def arm_descriptions(document: Document) -> list[tuple[str, str]]:
    """Label of each arm, and its optimizer (where the label does not name it) with all hyper-parameters."""
    described = []
    for label, runs in arms_of(document).items():
        optimizer = runs[0].optimizer
        named = label == optimizer.name or label.startswith(f"{optimizer.name}:")
        parameters = format_hyperparameters(optimizer.hyperparameters)
        described.append((label, parameters if named else f"{optimizer.name}: {parameters}"))
    return described


def describe_conditions(document: Document) -> str:
    """Device, dtype, threads, batch size, seeds and number of parameters, in one line."""
    return " · ".join(_conditions(document))


def _conditions(document: Document) -> Iterator[str]:
    runs = document.runs

    def values(*found: object) -> str:
        return ", ".join(dict.fromkeys(str(value) for value in found))

    yield values(*(f"{run.device} ({run.device_name})" if run.device_name else run.device for run in runs))
    yield values(*(run.dtype for run in runs))
    threads = values(*(run.threads for run in runs if run.threads is not None))
    if threads:
        yield f"{threads} {'thread' if threads == '1' else 'threads'}"
    yield f"batch {values(*(run.batch_size for run in runs))}"
    seeds = sorted({run.seed for run in runs})
    yield f"{'seed' if len(seeds) == 1 else 'seeds'} {values(*seeds)}"
    parameters = values(*(format_count(run.parameters) for run in runs if run.parameters is not None))
    if parameters:
        yield f"{parameters} parameters"
