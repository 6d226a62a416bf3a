from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ngbench.experiments.doctor.machine import (
    examine_frequency,
    examine_load,
    examine_quota,
    examine_threads,
    quota_cores,
)
from ngbench.records.experiments import FindingRecord, FindingState

Write = Callable[..., Path]


@pytest.fixture
def system(tmp_path: Path) -> Write:
    """A file system with these files."""

    def system(files: dict[str, str]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content + "\n")
        return tmp_path

    return system


def by_topic(findings: list[FindingRecord]) -> dict[str, FindingRecord]:
    return {finding.topic: finding for finding in findings}


CPU = "sys/devices/system/cpu"


def test_one_core_that_saves_power_is_enough_to_say_so(system: Write) -> None:
    root = system(
        {f"{CPU}/cpu{n}/cpufreq/scaling_governor": "powersave" if n == 3 else "performance" for n in range(4)}
    )
    finding = by_topic(examine_frequency(root))["frequency governor"]
    assert finding.state is FindingState.BAD
    assert "powersave" in finding.fact
    assert "cpupower" in finding.advice


@pytest.mark.parametrize(
    ("files", "state", "advice"),
    [
        ({f"{CPU}/intel_pstate/no_turbo": "0"}, FindingState.NOTE, "intel_pstate/no_turbo"),
        ({f"{CPU}/intel_pstate/no_turbo": "1"}, FindingState.GOOD, "nothing to do"),
        ({f"{CPU}/cpufreq/boost": "1"}, FindingState.NOTE, "cpufreq/boost"),
        ({f"{CPU}/cpufreq/boost": "0"}, FindingState.GOOD, "nothing to do"),
        ({}, FindingState.NOTE, "nothing to do"),
    ],
)
def test_turbo_of_either_maker(system: Write, files: dict[str, str], state: FindingState, advice: str) -> None:
    finding = by_topic(examine_frequency(system(files)))["turbo"]
    assert finding.state is state
    assert advice in finding.advice


def test_full_speed_is_good_and_a_machine_that_hides_it_is_not_called_good(system: Write) -> None:
    assert by_topic(examine_frequency(system({})))["frequency governor"].state is FindingState.NOTE
    root = system({f"{CPU}/cpu0/cpufreq/scaling_governor": "performance"})
    assert by_topic(examine_frequency(root))["frequency governor"].state is FindingState.GOOD


@pytest.mark.parametrize(
    ("content", "cores", "state"),
    [
        ("0.10 0.2 0.3 1/99 7", 2, FindingState.GOOD),
        ("3.00 0.2 0.3 1/99 7", 2, FindingState.BAD),
        ("nonsense", 2, FindingState.NOTE),
    ],
)
def test_load_is_measured_in_cores(system: Write, content: str, cores: int, state: FindingState) -> None:
    assert examine_load(cores, system({"proc/loadavg": content})).state is state


def test_a_load_that_is_not_told_is_no_good_news(tmp_path: Path) -> None:
    assert examine_load(2, tmp_path).state is FindingState.NOTE


def test_the_tightest_group_of_the_second_version_counts(system: Write) -> None:
    root = system(
        {
            "proc/self/cgroup": "0::/jobs/mine",
            "sys/fs/cgroup/jobs/mine/cpu.max": "max 100000",
            "sys/fs/cgroup/jobs/cpu.max": "150000 100000",
            "sys/fs/cgroup/cpu.max": "400000 100000",
        }
    )
    assert quota_cores(root) == 1.5
    finding = examine_quota(4, root)
    assert (finding.state, finding.values["quota_cores"]) == (FindingState.BAD, 1.5)
    assert "`threads=1`" in finding.advice
    assert examine_quota(1, root).state is FindingState.GOOD


def test_a_container_sees_its_own_group_under_the_path_of_the_host(system: Write) -> None:
    root = system({"proc/self/cgroup": "0::/host/only/here", "sys/fs/cgroup/cpu.max": "50000 100000"})
    assert quota_cores(root) == 0.5


def test_groups_of_the_first_version(system: Write) -> None:
    root = system(
        {
            "proc/self/cgroup": "4:memory:/a\n3:cpuset:/b\n2:cpu,cpuacct:/mine",
            "sys/fs/cgroup/cpu/mine/cpu.cfs_quota_us": "300000",
            "sys/fs/cgroup/cpu/mine/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu/b/cpu.cfs_quota_us": "1",
            "sys/fs/cgroup/cpu/b/cpu.cfs_period_us": "100000",
        }
    )
    assert quota_cores(root) == 3.0


def test_no_quota_is_no_limit(system: Write) -> None:
    files = {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}
    assert quota_cores(system({"proc/self/cgroup": "2:cpu:/", **files})) is None
    assert examine_quota(2, system({})).state is FindingState.GOOD


@pytest.mark.parametrize(("threads", "state"), [(1, FindingState.NOTE), (2, FindingState.GOOD), (4, FindingState.BAD)])
def test_threads_are_compared_with_cores(threads: int, state: FindingState) -> None:
    finding = examine_threads(threads, 2, {"OMP_NUM_THREADS": "9"})
    assert finding.state is state
    assert "OMP_NUM_THREADS=9" in finding.fact
