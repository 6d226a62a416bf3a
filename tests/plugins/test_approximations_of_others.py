"""A stranger's approximation, which is no sum of Kronecker products, is everything that ours are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ngbench.curvature.kronecker.discrepancy import Reference
from ngbench.errors import PluginError
from ngbench.experiments.conformance import check_plugin
from ngbench.experiments.conformance.sample_blocks import KINDS, make_block
from ngbench.plugins import registry
from ngbench.plugins.protocol import measured

SOURCE = (Path(__file__).parents[1] / "curvature" / "eigenbasis.py").read_text()


@pytest.fixture(autouse=True)
def _installed(distribute: Any) -> None:
    distribute("dist-eigen", {"eigen_bench": SOURCE}, approximations={"eigenbasis": "eigen_bench:eigenbasis"})


def test_it_passes_the_checks() -> None:
    report = check_plugin("eigenbasis", "approximation")
    assert [f"{row.name}: {row.message}" for row in report.checks if row.status == "failed"] == []
    assert {"dense-error", "inverse", "state-dict"} <= {row.name for row in report.checks if row.status == "passed"}


@pytest.mark.parametrize("kind", KINDS)
def test_its_errors_are_those_of_its_dense_matrix(kind: str) -> None:
    block = make_block(kind)
    value = registry.approximation("eigenbasis", {"power": "0.9"})(block, None).value
    f, f_hat = block.dense(), value.dense()
    spectra = [torch.linalg.eigvalsh(matrix) for matrix in (f, f_hat)]
    reference = Reference(block)
    assert reference.error_1(value) == pytest.approx(float((f - f_hat).norm() / f.norm()), abs=1e-7)
    assert reference.error_2(value) == pytest.approx(
        float((spectra[0] - spectra[1]).norm() / spectra[0].norm()), abs=1e-5
    )


def test_its_name_is_an_optimizers_with_its_options_and_its_declared_cost() -> None:
    plugin = registry.optimizer("eigenbasis")
    names = {parameter.name for parameter in plugin.parameters}
    assert {"lr", "damping", "curvature_interval", "positions", "power"} <= names
    from ngbench import Gaussian

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(12, 2))
    task: Any = type("Task", (), {"likelihood": Gaussian()})
    optimizer: Any = registry.build_optimizer(plugin, model, task, {"power": "0.8", "damping": "0.5"})
    Gaussian().loss(model(torch.randn(4, 2, 3, 3)), torch.randn(4, 2)).backward()
    optimizer.step()
    curvature = optimizer.curvature
    assert curvature.approximation.keywords == {"power": 0.8}
    assert curvature.damping_of("0").value == 0.5, "its damping is not divided by positions"
    first, _ = measured(optimizer).layers()
    assert first.predicted["accumulate"].operations == 18 * (9**3 + 3**3)


def test_an_option_that_every_natural_gradient_has_is_refused(distribute: Any) -> None:
    source = "def planted(block, previous=None, *, damping: float = 1.0):\n    '''Planted.'''\n"
    distribute("dist-planted", {"planted_bench": source}, approximations={"planted": "planted_bench:planted"})
    with pytest.raises(PluginError, match="option 'damping' is a hyper-parameter of every natural gradient"):
        registry.optimizer("planted")


@pytest.mark.parametrize(
    "command",
    [
        "compare curves-autoencoder -o eigenbasis:curvature_interval=1,inverse_interval=1"
        " -o two-level:approximation=eigenbasis,coarse_space=spectral --steps 2",
        "fisher-error curves-autoencoder -a kfac,eigenbasis --steps 2 --every 1",
    ],
    ids=["compare", "fisher-error"],
)
def test_commands_take_it(command: str, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    arguments = [
        *command.split(),
        "--set",
        "examples=200",
        "--set",
        "reduction=4",
        "--batch-size",
        "32",
        "--export-json",
        str(result),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "ngbench", *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(result.read_text())
    assert {run["status"] for run in document["runs"]} == {"done"}
