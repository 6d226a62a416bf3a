"""Which commit code was taken from: that of the repository which tracks it, not of one that it happens to lie in."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ngbench.records.provenance import CommitRecord, PackageRecord

__all__ = ["commit_of", "package_record"]

_GIT_SECONDS = 5
_COMMIT_IN_VERSION = re.compile(r"\+(?:.*\.)?g([0-9a-f]{7,40})(?:\.|$)")
"""As setuptools-scm and versioneer write it."""


def commit_of(path: Path) -> CommitRecord:
    """The commit checked out in the repository that tracks the file, or a file in the directory."""
    directory = path if path.is_dir() else path.parent
    tracked = _git(directory, "ls-files", "--error-unmatch", "--", "." if path.is_dir() else path.name)
    told = _git(directory, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    if tracked is None or told is None:
        return CommitRecord(reason="no git repository is known to track it")
    lines = told.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    if commit == "(initial)":
        return CommitRecord(reason="no commit yet")
    return CommitRecord(commit=commit, dirty=any(not line.startswith("#") for line in lines))


def package_record(name: str) -> PackageRecord:
    """Version and commit of an installed distribution."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return PackageRecord(version=None, reason="not installed")
    commit = _commit_of_distribution(found)
    return PackageRecord(version=found.version, **commit.model_dump())


def _commit_of_distribution(found: Distribution) -> CommitRecord:
    # https://packaging.python.org/specifications/direct-url: what the installer was given.
    try:
        origin: Any = json.loads(found.read_text("direct_url.json") or "{}")
        address, editable = origin.get("url", ""), origin.get("dir_info", {}).get("editable", False)
        commit = origin.get("vcs_info", {}).get("commit_id")
    except (ValueError, AttributeError):
        return CommitRecord(reason="what its installer wrote down cannot be read")
    if commit is not None:
        return CommitRecord(commit=str(commit))
    if editable:
        return commit_of(Path(url2pathname(urlsplit(address).path)))
    if stated := _COMMIT_IN_VERSION.search(found.version):
        return CommitRecord(commit=stated[1])
    return CommitRecord(reason=f"installed from {'a directory or an archive' if address else 'a package index'}")


def _git(directory: Path, *arguments: str) -> str | None:
    """What git answers; ``None`` where there is no git, no repository, or no such file in it."""
    command = ["git", "--no-optional-locks", "-C", str(directory), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None
