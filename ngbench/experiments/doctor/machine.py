"""The state of the processor as Linux tells it: frequency, other load, and what a container allows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ngbench.experiments.doctor.findings import NOTHING, finding
from ngbench.records.experiments import FindingRecord, FindingState
from ngbench.spelling import argument

__all__ = ["examine_frequency", "examine_load", "examine_quota", "examine_threads"]

ROOT = Path("/")
_CPUS = "sys/devices/system/cpu"
_FULL_SPEED = "performance"
_BUSY = 0.25
"""Load beside this process, in parts of the cores, from which measurements suffer."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def examine_frequency(root: Path = ROOT) -> list[FindingRecord]:
    """Governors and turbo of the processor.

    Args:
        root: of the file system that is read.
    """
    return [_governor(root), _turbo(root)]


def _governor(root: Path) -> FindingRecord:
    found = {_read(path) for path in (root / _CPUS).glob("cpu[0-9]*/cpufreq/scaling_governor")}
    names = sorted(name for name in found if name)
    values = {"governors": names}
    if not names:
        return finding(
            "frequency governor",
            FindingState.NOTE,
            "the system does not show one, as in most virtual machines",
            "trust ratios within a run more than seconds of different runs",
            values,
        )
    if names == [_FULL_SPEED]:
        return finding("frequency governor", FindingState.GOOD, f"{_FULL_SPEED} on every core", values=values)
    return finding(
        "frequency governor",
        FindingState.BAD,
        f"{', '.join(names)}: the frequency follows the load, so that the first steps of a turn are slower",
        "sudo cpupower frequency-set --governor performance",
        values,
    )


def _turbo(root: Path) -> FindingRecord:
    intel = _read(root / _CPUS / "intel_pstate/no_turbo")
    other = _read(root / _CPUS / "cpufreq/boost")
    enabled = intel == "0" if intel is not None else other == "1" if other is not None else None
    values = {"turbo": enabled}
    if enabled is None:
        return finding(
            "turbo",
            FindingState.NOTE,
            "the system does not say whether it is on",
            "nothing to do: ratios are not affected",
            values,
        )
    if not enabled:
        return finding("turbo", FindingState.GOOD, "off: the frequency does not depend on temperature", values=values)
    switch = (
        "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"
        if intel is not None
        else "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost"
    )
    return finding(
        "turbo",
        FindingState.NOTE,
        "on: seconds depend on temperature and on the other cores; ratios within a round hardly do",
        f"to compare seconds of different runs: {switch}",
        values,
    )


def examine_load(cores: int, root: Path = ROOT) -> FindingRecord:
    """Processes that were running or waiting for a core over the last minute.

    Args:
        cores: that this process may use.
        root: of the file system that is read.
    """
    text = _read(root / "proc/loadavg")
    try:
        load = float(text.split()[0]) if text else None
    except ValueError:
        load = None
    values = {"load": load, "cores": cores}
    if load is None:
        return finding(
            "load", FindingState.NOTE, "the system does not tell", "make sure that nothing else runs", values
        )
    fact = f"{load:.2f} over the last minute on {cores} core{'s' if cores != 1 else ''}"
    if load > _BUSY * cores:
        return finding("load", FindingState.BAD, fact, "stop other programs (top shows them) and wait a minute", values)
    return finding("load", FindingState.GOOD, fact, values=values)


def quota_cores(root: Path = ROOT) -> float | None:
    """The cores' worth of time that the control groups of this process allow; ``None`` where they set no limit."""
    limits = []
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" if not controllers else root / "sys/fs/cgroup/cpu"
        # A limit on any of the groups around it holds for this one too. In a container the path may be that of the
        # host, and what is mounted is the container's own group.
        group = mount / path.lstrip("/")
        limits += [_limit(folder) for folder in (group, *group.parents) if folder.is_relative_to(mount)]
    known = [limit for limit in limits if limit is not None]
    return min(known, default=None)


def _limit(group: Path) -> float | None:
    together = _read(group / "cpu.max")
    quota, period = (
        together.split()
        if together is not None and len(together.split()) == 2
        else (_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))
    )
    try:
        allowed = float(quota or "max") / float(period or "0")
    except (ValueError, ZeroDivisionError):
        return None
    return allowed if allowed > 0 else None


def examine_quota(cores: int, root: Path = ROOT) -> FindingRecord:
    """Whether a control group stops the process for part of the time.

    Args:
        cores: that this process may use.
        root: of the file system that is read.
    """
    quota = quota_cores(root)
    values = {"quota_cores": quota, "cores": cores}
    if quota is None or quota >= cores:
        return finding("time quota", FindingState.GOOD, f"none below the {cores} cores that it may use", values=values)
    return finding(
        "time quota",
        FindingState.BAD,
        f"{quota:g} cores' worth of time on {cores} cores: with more threads the kernel stops the process in every "
        "period",
        f"{argument('threads', max(1, int(quota)))}, or raise the quota of the container",
        values,
    )


def examine_threads(threads: int, cores: int, environment: Mapping[str, str] = os.environ) -> FindingRecord:
    """Whether torch's operations run on as many threads as there are cores.

    Args:
        threads: that torch uses.
        cores: that this process may use.
        environment: the variables of the process.
    """
    given = {name: environment[name] for name in _THREAD_VARIABLES if name in environment}
    values = {"threads": threads, "cores": cores, **given}
    said = "".join(f", {name}={value}" for name, value in given.items())
    fact = f"{threads} of torch on {cores} core{'s' if cores != 1 else ''}{said}"
    if threads > cores:
        return finding(
            "threads", FindingState.BAD, f"{fact}: they wait for each other", argument("threads", cores), values
        )
    if threads < cores:
        advice = f"nothing to do, or {argument('threads', cores)} to measure with all cores"
        return finding("threads", FindingState.NOTE, fact, advice, values)
    return finding("threads", FindingState.GOOD, fact, NOTHING, values)
