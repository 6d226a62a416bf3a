from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ngbench.records.commits import commit_of, package_record

SHA = "0123456789abcdef0123456789abcdef01234567"


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), "-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false"]
    answer = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One commit, which holds ``mine.py``."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    directory = tmp_path / "repository"
    directory.mkdir()
    git(directory, "init", "-q")
    (directory / "mine.py").write_text("a = 1\n")
    git(directory, "add", "mine.py")
    git(directory, "commit", "-q", "-m", "first")
    return directory


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a distribution ``dist-mine``."""

    def installed(version: str = "1.0", direct_url: object = None) -> None:
        directory = tmp_path / "site" / "dist_mine-1.0.dist-info"
        directory.mkdir(parents=True)
        (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-mine\nVersion: {version}\n")
        if direct_url is not None:
            (directory / "direct_url.json").write_text(json.dumps(direct_url))
        monkeypatch.syspath_prepend(str(directory.parent))

    return installed


def test_a_tracked_file_has_the_commit_of_its_repository(repository: Path) -> None:
    found = commit_of(repository / "mine.py")
    assert (found.commit, found.dirty, found.reason) == (git(repository, "rev-parse", "HEAD"), False, None)
    (repository / "mine.py").write_text("a = 2\n")
    assert commit_of(repository / "mine.py").dirty is True
    assert commit_of(repository).dirty is True


def test_a_stranger_s_repository_lends_its_commit_to_nothing(repository: Path) -> None:
    (repository / "other.py").write_text("")
    inside = repository / "venv" / "lib"
    inside.mkdir(parents=True)
    assert (commit_of(repository / "other.py").commit, commit_of(inside).commit) == (None, None)
    assert commit_of(repository / "other.py").reason == "no git repository is known to track it"


def test_outside_of_a_repository_and_before_the_first_commit_the_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    file = tmp_path / "mine.py"
    file.touch()
    assert commit_of(file).reason == "no git repository is known to track it"
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "mine.py")
    assert commit_of(file).reason == "no commit yet"


def test_without_git_there_is_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert commit_of(repository / "mine.py").commit is None


@pytest.mark.parametrize(
    ("version", "direct_url", "commit", "reason"),
    [
        ("1.0", {"url": "https://x/y.git", "vcs_info": {"vcs": "git", "commit_id": SHA}}, SHA, None),
        ("1.1.dev3+g0123abc.d20260101", None, "0123abc", None),
        ("1.0+cpu", None, None, "installed from a package index"),
        ("1.0", {"url": "file:///x", "dir_info": {}}, None, "installed from a directory or an archive"),
        ("1.0", [], None, "what its installer wrote down cannot be read"),
    ],
)
def test_a_package_has_the_commit_that_its_installer_or_its_version_names(
    install, version: str, direct_url: object, commit: str | None, reason: str | None
) -> None:
    install(version, direct_url)
    found = package_record("dist-mine")
    assert (found.version, found.commit, found.dirty, found.reason) == (version, commit, None, reason)


def test_an_editable_package_has_the_commit_of_its_checkout(install, repository: Path) -> None:
    install(direct_url={"url": repository.as_uri(), "dir_info": {"editable": True}})
    found = package_record("dist-mine")
    assert (found.commit, found.dirty) == (git(repository, "rev-parse", "HEAD"), False)


def test_what_is_not_installed_is_said() -> None:
    assert package_record("no-such-thing").reason == "not installed"
