"""The package's own plugins do what it asks of others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ngbench.errors import ParameterError, UnknownNameError
from ngbench.experiments.conformance import check_plugin, kinds_of
from ngbench.optimizers.kernels import fused_sgd_is_right
from ngbench.plugins import registry
from ngbench.records.experiments import PluginRecord

OPTIMIZERS = [row.name for row in registry.rows(registry.OPTIMIZERS) if row.distribution == "ngbench"]
APPROXIMATIONS = [row.name for row in registry.rows(registry.APPROXIMATIONS) if row.distribution == "ngbench"]
TASKS = {
    "curves-autoencoder": {"data": "stand-in", "examples": "400"},
    "toy-cnn-cifar1000": {"data": "stand-in"},
}


def failures(report: PluginRecord) -> dict[str, str]:
    return {row.name: row.message for row in report.checks if row.status == "failed"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str) -> None:
    report = check_plugin(name, "optimizer")
    assert failures(report) == {}
    without = {row.name for row in report.checks if row.status == "not applicable"}
    assert without <= {"phases", *(() if torch.cuda.is_available() else ("device-move",))}


@pytest.mark.parametrize("name", APPROXIMATIONS)
def test_approximations(name: str) -> None:
    assert failures(check_plugin(name, "approximation")) == {}


@pytest.mark.parametrize("name", TASKS)
def test_tasks(name: str, tmp_path: Path) -> None:
    assert failures(check_plugin(name, "task", TASKS[name], data_dir=tmp_path)) == {}


def test_a_class_by_its_dotted_name_is_an_optimizer() -> None:
    assert kinds_of("torch.optim.NAdam") == ["optimizer"]
    report = check_plugin("torch.optim.Muon", "optimizer")
    assert failures(report) == {}
    assert report.distribution is None
    assert report.checks[0].status == "not applicable"


def test_a_kernel_of_torch_that_is_wrong_in_bfloat16_fails() -> None:
    found = failures(check_plugin("torch.optim.SGD", "optimizer", {"fused": "true", "momentum": "0.9"}))
    assert set(found) == (set() if fused_sgd_is_right("cpu", torch.bfloat16) else {"dtype"})
    if found:
        assert "still in bfloat16 where float32 moves" in found["dtype"]


def test_costs_are_numbers_of_the_rows() -> None:
    rows = {row.name: row for row in check_plugin("adam", "optimizer").checks}
    assert rows["dtype"].values["moved"] > 0.9
    assert rows["dtype"].values["cosine"] > 0.9
    assert rows["memory"].values["held_ratio_adam"] == pytest.approx(1, rel=0.01)
    assert rows["memory"].values["held_ratio_sgd"] == pytest.approx(2, rel=0.01)
    assert {"step_ratio_sgd", "step_ratio_adam", "step_seconds"} <= set(rows["time"].values)
    assert rows["convergence-regression"].values["lr"] == pytest.approx(0.1)


def test_a_given_learning_rate_is_the_only_one_tried() -> None:
    report = check_plugin("adam", "optimizer", {"lr": "1e-6"})
    assert set(failures(report)) == {
        "convergence-regression",
        "convergence-classification",
        "convergence-autoencoding",
    }
    assert all("at lr=1e-06, it must be" in message for message in failures(report).values())


def test_a_name_that_is_several_things_is_each_of_them() -> None:
    assert kinds_of("kfac") == ["optimizer", "approximation"]
    with pytest.raises(UnknownNameError, match="unknown plugin 'kfak'; did you mean 'kfac'"):
        kinds_of("kfak")
    with pytest.raises(UnknownNameError, match="unknown task 'kfac'"):
        check_plugin("kfac", "task")
    with pytest.raises(ParameterError, match="optimizer kfac: unknown parameter 'rate'"):
        check_plugin("kfac", "optimizer", {"rate": "1"})
