"""The workflows of the documentation, run through the life of a repository as the services would run them.

Each job begins in an empty directory with a fresh checkout. What installs and what belongs to the services is not run.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ngbench import cli
from ngbench.experiments import runs
from ngbench.records import timing

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALLATION = "pip install -r requirements.txt"
"""Not run: what the tests run in is what it would install."""
PREPARATION = ("actions/checkout", "actions/setup-python")
"""Not run: they bring a machine to where the tests are."""
SLOWER = "            for parameter in group"
MORE_WORK = "            torch.ones(50, 50) @ torch.ones(50, 50)\n"
NOT_RUN = ""


def workflows() -> dict[str, Any]:
    """Those of the page, by service and by whether a baseline is kept."""
    found = {}
    for path, text in re.findall(r"^```yaml\n# (\S+\.yml)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        service = "github" if path.startswith(".github/") else "gitlab"
        found[f"{service}, {'sides' if '--against' in text else 'baseline'}"] = yaml.safe_load(text)
    return found


@dataclass
class Service:
    """A repository, and the jobs that its pushes and its pull requests start; the cache outlives them.

    A job is run in this process, command by command, and its first failing step ends it.
    """

    root: Path
    workflow: Any
    monkeypatch: pytest.MonkeyPatch
    jobs: int = 0

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    def git(self, *words: str, directory: Path | None = None) -> str:
        identity = ("-c", "user.name=n", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        command = ["git", *identity, *words]
        done = subprocess.run(command, cwd=directory or self.repository, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, branch: str, **files: str) -> None:
        """Commit files to a branch, which begins where the main one is."""
        self.git("checkout", "-q", *([] if branch == "main" else ["-B"]), branch)
        for name, text in files.items():
            (self.repository / f"{name}.py").write_text(text)
        self.git("add", ".")
        self.git("commit", "-q", "--allow-empty", "-m", branch)
        self.git("checkout", "-q", "main")

    def merge(self, branch: str) -> None:
        self.git("merge", "-q", "--no-ff", "-m", "merge", branch)

    def push(self) -> int | str:
        """The exit code of the job of a push to the main branch."""
        return self._run("push", "main")

    def pull_request(self, branch: str) -> int | str:
        """The exit code of the job of a pull request."""
        return self._run("pull_request", branch)

    def _run(self, event: str, branch: str) -> int | str:
        self.jobs += 1
        workspace = self.root / f"job-{self.jobs}"
        self.git("clone", "-q", str(self.repository), str(workspace), directory=self.root)
        self.git("checkout", "-q", "--detach", "origin/main", directory=workspace)
        self.monkeypatch.chdir(workspace)
        base = self.git("rev-parse", "HEAD", directory=workspace)
        run = self._github if "jobs" in self.workflow else self._gitlab
        return run(event, branch, workspace, base)

    def _github(self, event: str, branch: str, workspace: Path, base: str) -> int | str:
        # YAML 1.1 reads the key ``on`` as true.
        if event not in self.workflow[True]:
            return NOT_RUN
        if event == "pull_request":
            self.git("merge", "-q", "--no-ff", "-m", "merge", f"origin/{branch}", directory=workspace)
        (job,) = self.workflow["jobs"].values()
        for step in job["steps"]:
            condition = step.get("if", f"github.event_name == '{event}'")
            assert condition in {f"github.event_name == '{name}'" for name in ("push", "pull_request")}
            if f"'{event}'" not in condition:
                continue
            if "uses" in step:
                self._use(workspace, *step["uses"].split("@"), step.get("with", {}))
            elif code := self._command(step["run"], {"GITHUB_STEP_SUMMARY": str(workspace / "summary.md")}):
                return code
        return 0

    def _gitlab(self, event: str, branch: str, workspace: Path, base: str) -> int | str:
        (job,) = self.workflow.values()
        conditions = {
            '$CI_PIPELINE_SOURCE == "merge_request_event"': "pull_request",
            "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH": "push",
        }
        rules = [rule for rule in job["rules"] if conditions[rule["if"]] == event]
        if not rules:
            return NOT_RUN
        variables = {**rules[0].get("variables", {}), "CI_MERGE_REQUEST_DIFF_BASE_SHA": base}
        self.git("checkout", "-q", "--detach", f"origin/{branch}", directory=workspace)
        cached = [(workspace / path, self.root / path) for path in job.get("cache", {}).get("paths", [])]
        for inside, outside in cached:
            if outside.exists():
                shutil.copy(outside, inside)
        for command in job["script"]:
            if code := self._command(command, variables):
                return code
        for inside, outside in cached:
            if "push" in variables["CACHE_POLICY"]:
                shutil.copy(inside, outside)
        return 0

    def _use(self, workspace: Path, action: str, version: str, settings: dict[str, str]) -> None:
        assert re.fullmatch(r"v\d+", version)
        if action.startswith("actions/cache/"):
            inside, outside = workspace / settings["path"], self.root / settings["path"]
            source, target = (outside, inside) if action.endswith("restore") else (inside, outside)
            if source.exists():
                shutil.copy(source, target)
            else:
                assert action.endswith("restore"), "what is saved must be there"
        else:
            assert action in PREPARATION

    def _command(self, line: str, variables: dict[str, str]) -> int:
        if line == INSTALLATION:
            return 0
        for name, value in variables.items():
            line = line.replace(f'"${name}"', shlex.quote(value)).replace(f"${name}", value)
        program, *words = shlex.split(line)
        assert program == "ngbench"
        return cli.main([*words, "--steps", "12", "--restarts", "1"] if words[0] == "compare" else words)


@pytest.fixture
def make_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Service]]:
    """A repository of the README's optimizer and task, whose clock finds no difference between two runs."""
    before = list(sys.path)
    workers_for = runs.workers_for
    monkeypatch.setenv("NGBENCH_DATA_DIR", str(tmp_path / "data"))
    # The sides of --against have processes of their own all the same.
    monkeypatch.setattr(runs, "workers_for", lambda plan, **_: workers_for(plan, own_processes=False, fresh=False))
    monkeypatch.setattr(timing, "step_ratio", lambda *_: timing.Timing(1.0, 1e-6, 10, 10))

    def make(which: str) -> Service:
        (tmp_path / "repository").mkdir()
        service = Service(tmp_path, workflows()[which], monkeypatch)
        service.git("init", "-q", "-b", "main")
        service.git("commit", "-q", "--allow-empty", "-m", "nothing yet")
        return service

    yield make
    sys.path[:] = before


def file_of_the_readme(name: str) -> str:
    (text,) = re.findall(rf"^```python\n(# {name}\n.*?)^```", README, re.MULTILINE | re.DOTALL)
    return text


def test_every_service_has_both_workflows():
    assert set(workflows()) == {
        f"{service}, {kind}" for service in ("github", "gitlab") for kind in ("sides", "baseline")
    }


@pytest.mark.parametrize(
    ("which", "pushes"),
    [("github, sides", NOT_RUN), ("github, baseline", 0), ("gitlab, baseline", 0)],
)
def test_the_life_of_a_repository(make_service, which, pushes, capfd):
    service = make_service(which)
    optimizer = file_of_the_readme("my_opt.py")
    assert SLOWER in optimizer
    service.commit("main", my_task=file_of_the_readme("my_task.py"), my_opt=optimizer)
    assert service.push() == pushes, "the first push"
    service.commit("unchanged", my_opt=f"{optimizer}\n# As before.\n")
    assert service.pull_request("unchanged") == 0, capfd.readouterr()
    service.commit("slower", my_opt=optimizer.replace(SLOWER, MORE_WORK + SLOWER))
    assert service.pull_request("slower") == 3
    assert "worse: phase.step.flops of my_opt.py:MyOptimizer" in capfd.readouterr().err
    service.merge("slower")
    assert service.push() == pushes, "the merge of what is slower"
    service.commit("next", my_opt=optimizer.replace(SLOWER, f"            # On purpose.\n{MORE_WORK}{SLOWER}"))
    assert service.pull_request("next") == 0, capfd.readouterr()


def test_the_commands_of_gitlab_differ_in_names_alone():
    def command(which: str) -> list[str]:
        text = str(workflows()[which])
        (line,) = re.findall(r"ngbench compare .*?(?=')", text)
        return [word for word in shlex.split(line) if word != "--github" and not re.search(r"\$|\^|\.md", word)]

    assert command("github, sides") == command("gitlab, sides")


def test_the_readme_shows_the_command_of_the_workflow():
    (line,) = re.findall(r"^ngbench compare .* --against .*$", README, re.MULTILINE)
    (step,) = [step["run"] for step in workflows()["github, sides"]["jobs"]["benchmark"]["steps"][-1:]]
    unshown = {"--quiet", "--github", "--threads", "1", "--export-markdown", "$GITHUB_STEP_SUMMARY"}
    assert sorted(shlex.split(line)) == sorted(set(shlex.split(step)) - unshown)
