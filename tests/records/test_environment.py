from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ngbench.records.environment import describe_environment, git_commit
from ngbench.records.record import EnvironmentRecord


def test_the_environment_is_a_valid_record() -> None:
    record = describe_environment()
    assert EnvironmentRecord.model_validate(record.model_dump()) == record
    assert record.torch == torch.__version__
    assert record.threads == torch.get_num_threads()
    assert record.cores >= 1
    assert record.memory_bytes > 2**26


def test_torch_is_imported_only_if_asked() -> None:
    code = (
        "import json, sys; from ngbench.records.environment import describe_environment as d; "
        "record = d(with_torch=False); print(json.dumps([record.torch, 'torch' in sys.modules]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == [None, False]


def test_the_commit_is_that_of_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert git_commit(tmp_path) is None
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    expected = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert git_commit(tmp_path) == expected.strip()


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path) is None
