"""The workflow in the documentation, run as the service would, but for what installs or is the service's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

PAGE = Path(__file__).parents[1] / "docs" / "ci.md"
INSTALLATION = "pip install -c constraints.txt ."
"""Not run: what the tests run in is what it would install."""
PREPARATION = ("actions/checkout", "actions/setup-python")
"""Not run: they bring a machine to where the tests are."""


def workflow() -> dict[str, Any]:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@dataclass
class Service:
    """Runs the job for events; the cache outlives the workspace, as the service's does."""

    workspace: Path
    cache: Path
    environment: dict[str, str]

    def run(self, event: str, *, without: str = "") -> tuple[int, str]:
        """The exit code and the output of the job, whose first failing step ends it; steps ``without`` are left out."""
        (job,) = workflow()["jobs"].values()
        shown = ""
        for step in job["steps"]:
            condition = step.get("if", f"github.event_name == '{event}'")
            assert condition in {f"github.event_name == '{name}'" for name in ("push", "pull_request")}
            if f"'{event}'" not in condition:
                continue
            if "uses" in step:
                self._use(*step["uses"].split("@"), step.get("with", {}))
            elif step["run"] != INSTALLATION and not (without and without in step["run"]):
                command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
                done = subprocess.run(
                    command, cwd=self.workspace, env=self.environment, capture_output=True, text=True, check=False
                )
                shown += done.stdout + done.stderr
                if done.returncode:
                    return done.returncode, shown
        return 0, shown

    def _use(self, action: str, version: str, settings: dict[str, str]) -> None:
        assert re.fullmatch(r"v\d+", version)
        if action.startswith("actions/cache/"):
            inside, outside = self.workspace / settings["path"], self.cache / settings["path"]
            source, target = (outside, inside) if action.endswith("restore") else (inside, outside)
            if source.exists():
                shutil.copy(source, target)
            else:
                assert action.endswith("restore"), "what is saved must be there"
        else:
            assert action in PREPARATION


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """After a first push: there are records in the workspace, and a baseline in the cache."""
    root = tmp_path_factory.mktemp("service")
    for name in ("workspace", "cache", "bin", "data"):
        (root / name).mkdir()
    program = root / "bin" / "ngbench"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ngbench "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(root / "summary.md"),
        "NGBENCH_DATA_DIR": str(root / "data"),
    }
    service = Service(root / "workspace", root / "cache", environment)
    code, shown = service.run("push")
    assert code == 0, shown
    assert "There is no baseline" in shown
    return service


def rescale_baseline(service: Service, factor: float) -> None:
    """Let KFAC's steps have taken ``factor`` times what they take now."""
    content = json.loads((service.workspace / "baseline.json").read_text())
    (run,) = [run for run in content["runs"] if run["label"] == "kfac"]
    run["steps"]["seconds"] = [seconds * factor for seconds in run["steps"]["seconds"]]
    (service.cache / "baseline.json").write_text(json.dumps(content))


def test_the_baseline_of_a_push_is_that_of_the_next_pull_request(service):
    code, shown = service.run("pull_request", without="ngbench compare")
    assert code == 0, shown
    assert "There is no baseline" not in shown
    assert "step_time.ratio" in Path(service.environment["GITHUB_STEP_SUMMARY"]).read_text()


def test_a_slower_step_fails_a_pull_request_and_leaves_the_baseline_of_a_push(service):
    unchanged = (service.cache / "baseline.json").read_text()
    rescale_baseline(service, 1 / 3)
    before = (service.cache / "baseline.json").read_text()
    try:
        code, shown = service.run("pull_request", without="ngbench compare")
        assert code == 3
        assert "::error" in shown
        assert "step_time.ratio" in shown
        code, shown = service.run("push", without="ngbench compare")
        assert code == 3
        assert "The baseline was not updated" in shown
        assert (service.cache / "baseline.json").read_text() == before
    finally:
        (service.cache / "baseline.json").write_text(unchanged)
        (service.workspace / "baseline.json").write_text(unchanged)


def test_every_event_checks_and_nothing_but_the_installation_is_left_out():
    (job,) = workflow()["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert [command.split()[0] for command in commands] == ["pip", "ngbench", "ngbench", "ngbench"]
    assert commands[0] == INSTALLATION
    # YAML 1.1 reads the key ``on`` as true.
    assert set(workflow()[True]) == {"pull_request", "push"}
