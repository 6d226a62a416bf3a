"""The README's first command works with the newest torch of the registry, not only with the one that is pinned."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNREACHABLE = re.compile(
    r"Could not find a version|No matching distribution|NewConnectionError|ConnectionError|NameResolutionError|"
    r"Max retries exceeded|Read timed out|ProxyError|No space left"
)
SHORTER = "--set examples=64 --set reduction=4 --batch-size 16 --epochs 2 --threads 1 --quiet --export-json result.json"


def first_command() -> str:
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)[0].strip()


def test_the_first_command_pins_torch_where_the_newest_is_left_out():
    assert " -c constraints.txt " in first_command()
    assert "torch==" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_first_command_runs_with_the_newest_torch(tmp_path):
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__", ".*_cache")
    copy = shutil.copytree(ROOT, tmp_path / "copy", ignore=ignored)
    install, run = first_command().replace(" -c constraints.txt ", " ").rsplit(" && ", 1)
    environment = {name: value for name, value in os.environ.items() if name not in ("PIP_CONSTRAINT", "PYTHONPATH")}
    environment |= {"NGBENCH_DATA_DIR": str(tmp_path / "data")}
    install = install.replace("python3 ", f"{sys.executable} ", 1)

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euc", command], cwd=copy, env=environment, capture_output=True, text=True, timeout=3000
        )

    try:
        installed = shell(install)
        if installed.returncode and UNREACHABLE.search(installed.stderr):
            pytest.skip(f"the registry of packages cannot be reached: {installed.stderr.strip().splitlines()[-1]}")
        assert installed.returncode == 0, installed.stderr
        done = shell(f"{run} {SHORTER}")
        assert done.returncode == 0, done.stderr
        record = json.loads((copy / "result.json").read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(copy / ".venv", ignore_errors=True)  # several gigabytes
    print("torch", record["environment"]["torch"])
    assert [made["status"] for made in record["runs"]] == ["done"] * 3
    assert [made["unknown_operators"] for made in record["runs"]] == [[]] * 3
    assert all(made["history"]["train_loss"][-1] < made["history"]["train_loss"][0] for made in record["runs"])
