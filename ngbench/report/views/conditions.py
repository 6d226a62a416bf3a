"""What ran, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ngbench.records.record import Document, OptimizerRecord
from ngbench.report.blocks import Block, Fact, Facts, Heading
from ngbench.report.summary import arms_of
from ngbench.units import format_count, format_hyperparameters

__all__ = ["data_descriptions", "describe_conditions", "what_ran"]

_ORIGINS = {"original": "", "generated": " (generated)", "stand-in": " (STAND-IN)"}
"""What the name of data says of their origin."""


def what_ran(document: Document, *, more: Iterable[Fact] = ()) -> Iterator[Block]:
    """Task, data and their origin, device, dtype, threads, batch size, seeds, and the hyper-parameters of each arm.

    Args:
        document: with at least one run.
        more: further facts.
    """
    first = document.runs[0]
    yield Heading(first.task, format_hyperparameters(first.task_options))
    data = [
        Fact("data", described, "STAND-IN" if origin == "stand-in" else "")
        for origin, described in data_descriptions(document)
    ]
    yield Facts([*data, Fact("conditions", describe_conditions(document)), *more])
    yield Facts([Fact(label, described) for label, described in arm_descriptions(document)], arms=True)


def data_descriptions(document: Document) -> list[tuple[str, str]]:
    """Origin and description of each data set that the runs used."""
    return [
        (
            data.origin,
            f"{data.name}{_ORIGINS[data.origin]}, {data.train_examples:,} training and "
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
        parameters = format_hyperparameters(optimizer.hyperparameters) + _origins(optimizer)
        described.append((label, parameters if named else f"{optimizer.name}: {parameters}"))
    return described


def _origins(optimizer: OptimizerRecord) -> str:
    """Which values are not the optimizer's defaults, and whose they are."""
    names: dict[str, list[str]] = {}
    for name, origin in optimizer.origins.items():
        if origin != "default":
            names.setdefault(origin, []).append(name)
    told = [f"{', '.join(of_origin)} {origin}" for origin, of_origin in names.items()]
    return f" ({'; '.join(told) or 'defaults'})" if optimizer.origins else ""


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
    for name in dict.fromkeys(name for run in runs for name in run.conditions):
        yield f"{name.replace('_', ' ')} {values(*(run.conditions[name] for run in runs if name in run.conditions))}"
    parameters = values(*(format_count(run.parameters) for run in runs if run.parameters is not None))
    if parameters:
        yield f"{parameters} parameters"
