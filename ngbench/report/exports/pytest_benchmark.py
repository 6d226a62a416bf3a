"""Costs in the shape that pytest-benchmark tabulates, saves and compares.

A round of pytest-benchmark is a round of ours, in which the arms take turns; its iterations are the steps of that turn,
or the calls of the phase in it. Each part of a step is a group, so that the arms stand side by side in one table.
Statistics are pytest-benchmark's own, of all rounds, without interrupted steps; what :mod:`ngbench.records.timing`
makes of the same numbers, and the ratios to the reference arm with their intervals, are the ``extra_info``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ngbench.errors import UsageError
from ngbench.records.documents import without_non_finite
from ngbench.records.provenance import EnvironmentRecord
from ngbench.records.record import Document, RunRecord
from ngbench.records.statistics import UncertainValue
from ngbench.records.step_costs import Cost, costs_of
from ngbench.records.timing import busy_machine

__all__ = ["entry", "extra_info", "format_pytest_benchmark", "group_name"]

_MISSING = (
    "pytest-benchmark, whose statistics its tables need, is not installed: pip install 'ngbench[pytest]' installs it"
)


def format_pytest_benchmark(sections: Mapping[str, Document], *, reference: str | None = None) -> str:
    """The JSON text that ``pytest-benchmark compare`` reads.

    Args:
        sections: for each title, the runs of one task.
        reference: the arm that ratios refer to; by default each section's first that took a step.

    Raises:
        UsageError: pytest-benchmark is not installed.
    """
    benchmarks = []
    for title, document in sections.items():
        runs = [run for run in document.runs if run.steps.seconds]
        if not runs:
            continue
        chosen = reference or runs[0].label
        for cost in costs_of(runs, chosen):
            name = f"{cost.part}[{cost.arm}]"
            of_arm = [run for run in runs if run.label == cost.arm]
            benchmarks.append(
                entry(cost, group_name(title, cost), name, f"{title}::{name}", extra_info(cost, chosen, of_arm))
            )
    environments = [document.environment for document in sections.values()]
    begun = [run.started_at for document in sections.values() for run in document.runs if run.started_at]
    content = {
        "machine_info": _machine(environments),
        "commit_info": _commit(environments),
        "benchmarks": benchmarks,
        "datetime": min(begun, default=None),
        "version": _version(),
    }
    return json.dumps(without_non_finite(content), indent=1, default=str) + "\n"


def group_name(title: str, cost: Cost) -> str:
    """The table that the cost stands in."""
    return f"{title} {cost.part}"


def entry(cost: Cost, group: str, name: str, fullname: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """One benchmark: a part of the step of one arm.

    Raises:
        UsageError: pytest-benchmark is not installed.
    """
    return {
        "group": group,
        "name": name,
        "fullname": fullname,
        "params": {"arm": cost.arm, "part": cost.part},
        "param": cost.arm,
        "extra_info": dict(extra),
        "options": {"timer": "ngbench"},
        "stats": {
            **statistics_of(cost.samples),
            "data": list(cost.samples),
            "iterations": cost.iterations,
        },
    }


def extra_info(cost: Cost, reference: str, runs: Sequence[RunRecord]) -> dict[str, Any]:
    """What pytest-benchmark has no column for; ``null`` is what is not known.

    Args:
        cost: of a part of the arm's step.
        reference: the label that ratios refer to.
        runs: of the arm.
    """
    run = runs[0]
    return {
        "part": cost.part,
        "optimizer": run.optimizer.name,
        "hyperparameters": run.optimizer.hyperparameters,
        "task": run.task,
        "task_options": run.task_options,
        "data": run.data.name,
        "batch_size": run.batch_size,
        "device": run.device_name or run.device,
        "dtype": run.dtype,
        "threads": run.threads,
        "seeds": [one.seed for one in runs],
        "statuses": [one.status for one in runs],
        "warnings": busy_machine(runs),
        "reference": reference,
        "ratio": _interval(cost.ratio),
        "seconds": _interval(cost.seconds),
        "calls": cost.calls,
        "flops": cost.flops,
        "bytes": cost.bytes,
    }


def statistics_of(samples: Sequence[float]) -> dict[str, Any]:
    """pytest-benchmark's statistics of the samples, by name.

    Raises:
        UsageError: it is not installed.
    """
    try:
        from pytest_benchmark.stats import Stats
    except ImportError as error:
        raise UsageError(_MISSING) from error
    found: Any = Stats()  # type: ignore[no-untyped-call]
    found.data = list(samples)
    return dict(found.as_dict())


def _version() -> str:
    from pytest_benchmark import __version__

    return str(__version__)


def _interval(estimate: UncertainValue | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "rounds": estimate.n}


def _machine(environments: Sequence[EnvironmentRecord]) -> dict[str, Any]:
    """The first machine; records do not say what another is called, only that there was one."""
    first = environments[0]
    return {
        "node": None,
        "processor": first.processor,
        "machine": None,
        "python_version": first.python,
        "system": first.platform,
        "cpu": {"brand_raw": first.processor, "count": first.cores},
        "memory_bytes": first.memory_bytes,
        "torch": first.torch,
        "cuda": first.cuda,
        "ngbench": first.ngbench,
        "others": [other.model_dump() for other in environments[1:] if other != first],
    }


def _commit(environments: Sequence[EnvironmentRecord]) -> dict[str, Any]:
    """The commit of what was measured: of the first package with one beside ngbench, or of ngbench."""
    packages = environments[0].packages
    found = [packages[name] for name in sorted(packages, key=lambda name: name == "ngbench")]
    known = next((package for package in found if package.commit is not None), None)
    return {
        "id": "unversioned" if known is None else known.commit,
        "time": None,
        "author_time": None,
        "dirty": None if known is None else known.dirty,
        "project": None,
        "branch": "(unknown)",
    }
