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


def examine_data(found: Sequence[Presence]) -> list[FindingRecord]:
    """A finding for each data set: official, stand-in or missing."""
    return [_data_set(presence) for presence in found]


def _data_set(found: Presence) -> FindingRecord:
    values = {
        "used_without_network": found.use,
        "official": [str(path) for path in found.official],
        "missing": list(found.missing),
        "stand_in": found.stand_in,
        "generated": found.generated,
    }
    topic = f"data: {found.name}"
    if found.complete:
        return finding(topic, FindingState.GOOD, f"official, {found.description}", NOTHING, values)
    some = f", only {len(found.official)} of the official files there" if found.official else ""
    urls = f" ({found.urls[0]})" if found.urls else ""
    put = f"put {', '.join(found.missing)}{urls} into {found.folder}; a run tries to download what is missing"
    if found.generated:
        return finding(
            topic,
            FindingState.GOOD,
            f"generated: {found.stand_in}",
            f"nothing to do, or {put[: put.index(';')]}",
            values,
        )
    if found.stand_in_ready:
        return finding(
            topic, FindingState.NOTE, f"a stand-in{some}: {found.stand_in}", f"for the official data {put}", values
        )
    if found.stand_in is not None:
        return finding(topic, FindingState.BAD, f"missing{some}; its stand-in, {found.stand_in}, too", put, values)
    return finding(topic, FindingState.BAD, f"missing{some}, and nothing stands in for it", put, values)


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
