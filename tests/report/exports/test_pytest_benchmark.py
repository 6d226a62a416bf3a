from __future__ import annotations

import json
import sys

import pytest

from ngbench.errors import UsageError
from ngbench.records.provenance import PackageRecord
from ngbench.report.exports.pytest_benchmark import format_pytest_benchmark, statistics_of

FIELDS = {
    *("min", "max", "mean", "stddev", "rounds", "median", "iqr", "q1", "q3", "iqr_outliers", "stddev_outliers"),
    *("outliers", "ld15iqr", "hd15iqr", "ops", "total", "iterations", "data"),
}


@pytest.fixture
def exported(comparison):
    return json.loads(format_pytest_benchmark({"curves": comparison}))


def test_a_benchmark_has_every_statistic_of_its_samples(exported):
    for benchmark in exported["benchmarks"]:
        stats = benchmark["stats"]
        assert set(stats) == FIELDS
        assert stats["rounds"] == len(stats["data"])
        assert stats["min"] == min(stats["data"])
        assert stats["mean"] == pytest.approx(sum(stats["data"]) / len(stats["data"]))


def test_parts_are_groups_of_arms_and_full_names_are_unique(exported):
    groups = {}
    for benchmark in exported["benchmarks"]:
        groups.setdefault(benchmark["group"], []).append(benchmark["param"])
    assert groups["curves step_time"] == ["sgd", "kfac"]
    assert groups["curves phase.precondition"] == ["kfac"]
    names = [benchmark["fullname"] for benchmark in exported["benchmarks"]]
    assert len(set(names)) == len(names)
    assert "curves::phase.refresh[kfac]" in names


def test_ratios_are_beside_the_statistics(exported, comparison):
    (step,) = [b for b in exported["benchmarks"] if b["name"] == "step_time[kfac]"]
    ratio = step["extra_info"]["ratio"]
    assert ratio["low"] < ratio["value"] < ratio["high"]
    assert (step["extra_info"]["reference"], step["extra_info"]["statuses"]) == ("sgd", ["done", "diverged"])
    other = json.loads(format_pytest_benchmark({"curves": comparison}, reference="kfac"))
    (sgd,) = [b for b in other["benchmarks"] if b["name"] == "step_time[sgd]"]
    assert sgd["extra_info"]["ratio"]["value"] == pytest.approx(1 / ratio["value"], rel=0.05)


def test_machine_and_commit_are_those_of_the_records(comparison):
    packages = {name: PackageRecord(version="1", commit=f"of {name}", dirty=True) for name in ("ngbench", "zebra")}
    comparison.environment.packages = packages
    content = json.loads(format_pytest_benchmark({"curves": comparison}))
    assert content["machine_info"]["cpu"] == {"brand_raw": "Example CPU", "count": 2}
    assert content["machine_info"]["others"] == []
    assert (content["commit_info"]["id"], content["commit_info"]["dirty"]) == ("of zebra", True)
    del packages["zebra"]
    assert json.loads(format_pytest_benchmark({"curves": comparison}))["commit_info"]["id"] == "of ngbench"
    packages.clear()
    assert json.loads(format_pytest_benchmark({"curves": comparison}))["commit_info"]["id"] == "unversioned"


def test_numbers_that_do_not_exist_are_null(comparison):
    comparison.runs[1].optimizer.hyperparameters["cap"] = float("inf")
    assert "Infinity" not in format_pytest_benchmark({"curves": comparison})


def test_it_is_said_that_pytest_benchmark_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytest_benchmark.stats", None)
    with pytest.raises(UsageError, match=r"pip install 'ngbench\[pytest\]'"):
        statistics_of([1.0])
