from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ngbench.cli import main

BROKEN = '"""Stumble."""\nraise OSError("no boots")'


def test_the_environment_names_versions_data_and_broken_plugins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], distribute: Callable[..., None]
) -> None:
    distribute("dist-wild", {"stumblers": BROKEN}, optimizers={"stumble": "stumblers:stumble"})
    directory = tmp_path / "data"
    (directory / "mnist").mkdir(parents=True)
    assert main(["env", "--json", "--data-dir", str(directory)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["packages"].keys() >= {"numpy", "pydantic"}
    assert found["data"] == {"directory": str(directory), "present": ["mnist"]}
    assert len(found["devices"]) == torch.cuda.device_count()
    optimizers = {row["name"]: row for row in found["optimizers"]}
    assert "OSError: no boots" in optimizers["stumble"]["problem"]
    assert optimizers["sgd"]["problem"] is None
    assert any(row["name"] == "curves-autoencoder" for row in found["tasks"])


def test_the_text_has_a_line_for_each_fact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--data-dir", str(tmp_path / "none")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"torch: {torch.__version__}" in lines
    assert "  present none" in lines
    assert any(line.startswith("  sgd: distribution ngbench") for line in lines)
    assert not any(line.startswith("  sgd:") and "problem" in line for line in lines)
