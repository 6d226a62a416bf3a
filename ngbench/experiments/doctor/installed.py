"""The data sets and the plugins that are there, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ngbench.data.presence import Presence
from ngbench.errors import NgbenchError, one_line
from ngbench.experiments.doctor.findings import NOTHING, finding
from ngbench.plugins import registry
from ngbench.records.experiments import FindingRecord, FindingState

__all__ = ["examine_data", "examine_plugins"]

_LOADERS: dict[str, Callable[[str], object]] = {
    registry.TASKS: registry.task_plugin,
    registry.OPTIMIZERS: registry.optimizer,
    registry.APPROXIMATIONS: lambda name: registry.approximation(name, {}),
}


def examine_data(found: Sequence[Presence]) -> FindingRecord:
    """Which data sets are official, stand-ins or missing: one finding, since a run says it of those that it uses."""
    by_use: dict[str, list[str]] = {}
    for presence in found:
        by_use.setdefault(presence.use, []).append(presence.name)
    values = {one.name: {"used_without_network": one.use, "missing": list(one.missing)} for one in found}
    fact = "; ".join(f"{use}: {', '.join(names)}" for use, names in by_use.items())
    if not by_use.keys() - {"official", "generated"}:
        return finding("data", FindingState.GOOD, fact, NOTHING, values)
    advice = "ngbench list data NAME says where its official files belong; a run tries to download what it needs"
    return finding("data", FindingState.NOTE, fact, advice, values)


def examine_plugins() -> list[FindingRecord]:
    """How many plugins there are, and a finding for each that cannot be used. All are imported."""
    found, broken = [], []
    for group, load in _LOADERS.items():
        for row in registry.rows(group):
            kind = group.rpartition(".")[2].removesuffix("s")
            problem = row.problem
            try:
                load(row.name)
            except NgbenchError as error:
                problem = one_line(error)
            found.append(row.distribution)
            if problem is not None:
                values = {"name": row.name, "group": group, "distribution": row.distribution, "version": row.version}
                advice = f"tell the author of {row.distribution}, or pip uninstall {row.distribution}"
                broken.append(finding(f"{kind} {row.name}", FindingState.BAD, problem, advice, values))
    distributions = sorted(set(found))
    fact = f"{len(found)}, from {', '.join(distributions)}"
    if broken:
        fact, advice = f"{fact}; {len(broken)} cannot be used", "see below"
    else:
        advice = NOTHING
    summary = finding(
        "plugins",
        FindingState.BAD if broken else FindingState.GOOD,
        fact,
        advice,
        {"count": len(found), "broken": len(broken), "distributions": distributions},
    )
    return [summary, *broken]
