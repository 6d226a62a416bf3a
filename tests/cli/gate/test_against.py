"""``ngbench compare --against``: the sides, and what is refused. What becomes of a repository is in test_workflow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from ngbench import cli
from ngbench.errors import UsageError
from ngbench.experiments.sides import other_side
from ngbench.plugins import registry
from ngbench.records.documents import load_document

TASK = """
    import torch
    from ngbench import Categorical, Data, Task
    from torch import nn

    def pond() -> Task:
        points = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
        return Task(
            model=lambda: nn.Linear(4, 2),
            data=lambda directory: Data.from_tensors(points, (points[:, 0] > 0).long(), validation=0.2),
            likelihood=Categorical(),
            batch_size=20,
            epochs=2,
        )
"""
OPTIMIZER = """
    import torch

    class Mine(torch.optim.SGD):
        \"\"\"Descends.\"\"\"

        def __init__(self, params, lr=0.1):
            super().__init__(params, lr=lr)
"""
MOMENTUM = OPTIMIZER.replace("lr=lr)", "lr=lr, momentum=0.9)")


def git(*words: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *identity, *words], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory: a task and an optimizer, whose momentum is not committed; the first commit has neither."""
    before = list(sys.path)
    here = tmp_path / "repository"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("NGBENCH_DATA_DIR", str(tmp_path / "data"))
    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "nothing yet")
    git("tag", "first")
    Path("pond.py").write_text(dedent(TASK))
    Path("mine.py").write_text(dedent(OPTIMIZER))
    git("add", ".")
    git("commit", "-q", "-m", "both")
    Path("mine.py").write_text(dedent(MOMENTUM))
    yield here
    sys.path[:] = before


@pytest.fixture
def compare(repository: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*options: str, arms: str = "mine.py:Mine") -> tuple[int, str, str]:
        code = cli.main(["compare", "pond.py:pond", "-o", arms, "--steps", "4", "--quiet", *options])
        written = capfd.readouterr()
        return code, " ".join(written.out.split()), " ".join(written.err.split())

    return run


def environment(path: Path, *options: str) -> str:
    """An environment of this interpreter."""
    python = path / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" {" ".join(options)} "$@"\n')
    python.chmod(0o755)
    return str(path)


def test_a_commit_runs_its_own_file_and_records_say_so(compare, repository):
    code, shown, errors = compare(
        "--against", "HEAD", "--restarts", "2", "--output", "runs", "--export-json", "both.json"
    )
    assert code == 3
    assert "optimizer_state" in errors
    assert f"This side against HEAD ({git('rev-parse', 'HEAD')[:12]})" in shown
    document = load_document(Path("both.json"))
    ours, theirs = sorted(document.runs, key=lambda run: run.position)
    assert (ours.label, theirs.label) == ("mine.py:Mine", "mine.py:Mine@HEAD")
    assert ours.memory.optimizer_state_bytes > theirs.memory.optimizer_state_bytes == 0
    assert ours.optimizer.file.digest != theirs.optimizer.file.digest
    assert (theirs.optimizer.file.commit, theirs.optimizer.file.dirty) == (git("rev-parse", "HEAD"), False)
    assert ours.optimizer.file.dirty
    assert [len(run.restarts) for run in (ours, theirs)] == [1, 1]
    assert document.gate.exit_code == 3
    assert {load_document(path).runs[0].label for path in Path("runs").glob("*.json")} == {ours.label, theirs.label}
    assert git("worktree", "list").count("\n") == 0, "the checkout is gone"


def test_an_environment_is_the_other_side(compare, tmp_path):
    place = environment(tmp_path / "environment")
    code, shown, errors = compare("--against", place, "--fail-if", "phase.*.flops:0%", "--github")
    assert (code, errors) == (0, "")
    assert "No regression" in shown


def test_what_the_other_side_does_not_have_is_new_and_what_it_refuses_is_not_comparable(compare):
    code, shown, _ = compare("--against", "first")
    assert code == 0
    assert "first has none of the arms: nothing was compared." in shown
    Path("mine.py").write_text(dedent(MOMENTUM).replace("lr=0.1", "lr=0.1, decay=0"))
    code, _, errors = compare("--against", "main", arms="mine.py:Mine:decay=1")
    assert code == 4
    assert "main cannot run it: " in errors
    assert "decay" in errors


@pytest.mark.parametrize(
    ("options", "arms", "message"),
    [
        (["--against", "nowhere"], "mine.py:Mine", "no such commit, branch or tag"),
        (["--against", "--help"], "mine.py:Mine", "no such commit, branch or tag"),
        (["--against", "main", "--resume", "--output", "x"], "mine.py:Mine", "--resume is not allowed with --against"),
        (["--against", "main", "--fail-if", "speed:1%"], "mine.py:Mine", "unknown quantity 'speed'"),
        (["--against", "main", "--reference", "adam"], "mine.py:Mine", "unknown arm 'adam'"),
        (["--fail-if", "step_time:1%"], "mine.py:Mine", "need --against"),
        (["--github"], "mine.py:Mine", "need --against"),
    ],
)
def test_what_cannot_be_is_one_sentence(compare, options, arms, message):
    code, _, errors = compare(*options, arms=arms)
    assert code == 2
    assert message in errors
    assert errors.count("Error") == 1


def test_a_directory_without_a_repository_is_refused(compare, repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for name in ("pond.py", "mine.py"):
        (tmp_path / name).write_text(Path(name).read_text())
    monkeypatch.chdir(tmp_path)
    code, _, errors = compare("--against", "main")
    assert code == 2
    assert "the current directory is in no git repository" in errors


def test_an_environment_without_ngbench_is_refused(compare, tmp_path):
    code, _, errors = compare("--against", environment(tmp_path / "bare", "-I", "-S"))
    assert code == 2
    assert "has no ngbench that can run beside this one" in errors
    assert "No module named 'ngbench'" in errors


def test_a_repository_of_nothing_that_runs_is_refused(repository):
    plugins = [registry.optimizer("torch.optim.SGD")]
    with (
        pytest.raises(UsageError, match=r"none of 'torch\.optim\.SGD' is of the repository"),
        other_side("main", plugins),
    ):
        pass


def test_a_path_that_leads_to_this_side_alone_is_refused(repository):
    plugins = [registry.optimizer(f"{repository / 'mine.py'}:Mine")]
    with pytest.raises(UsageError, match="give its path from the current directory"), other_side("main", plugins):
        pass


def test_an_installed_project_is_installed_from_the_commit(repository, distribute, monkeypatch):
    # That is how pip reads a switch which turns something off.
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    Path("pyproject.toml").write_text(
        '[project]\nname = "lake"\nversion = "1"\n[tool.setuptools]\npy-modules = ["lake"]\n'
    )
    Path("lake.py").write_text("depth = 1\n")
    git("add", ".")
    git("commit", "-q", "-m", "a project")
    distribute("lake", {"lake": "def shoal(model, task): ..."}, optimizers={"shoal": "lake:shoal"})
    (metadata,) = Path("..").glob("site-lake/*.dist-info")
    (metadata / "direct_url.json").write_text(json.dumps({"url": repository.as_uri(), "dir_info": {}}))
    with other_side("main", [registry.optimizer("shoal")]) as side:
        assert Path(side.path[0], "lake.py").read_text() == "depth = 1\n"
        assert side.directory.resolve() != repository
        assert not any(Path(place).resolve() == repository for place in side.path)
    assert not side.directory.exists()
