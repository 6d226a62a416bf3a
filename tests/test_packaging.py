"""What an installation holds: an editable one, as in the tests, would work without."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is of Python 3.11")
def test_every_package_and_every_file_that_is_no_module_is_installed():
    import tomllib

    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    directories = {name: ROOT / place for name, place in setuptools["package-dir"].items()}
    installed = set()
    for package in setuptools["packages"]:
        top, *rest = package.split(".")
        place = directories[top].joinpath(*rest)
        patterns = ["*.py", *setuptools["package-data"].get(package, [])]
        installed |= {file for pattern in patterns for file in place.glob(pattern)}
    present = {
        file
        for top in directories.values()
        for file in top.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert present - installed == set()


def test_the_source_archive_holds_what_it_is_tested_with(tmp_path):
    source = tmp_path / "source"
    folders = [ROOT / name for name in (".ci", "docs", "ngbench", "tasks", "tests")]
    for folder in folders:
        shutil.copytree(folder, source / folder.name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    for file in ROOT.iterdir():
        if file.is_file() and not file.name.startswith("."):
            shutil.copy(file, source)
    build = (
        "import sys; from setuptools import build_meta as build; "
        "build.build_sdist(sys.argv[1]); build.build_wheel(sys.argv[1])"
    )
    command = [sys.executable, "-c", build, str(tmp_path)]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    # A later setuptools leaves out what it warns of today.
    assert "is absent from" not in built.stdout + built.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        held = {name.split("/", 1)[1] for name in opened.getnames() if "/" in name}
    asked = {"README.md", "LICENSE", "CHANGELOG.md", "constraints.txt", "pyproject.toml"}
    for folder in folders:
        files = (file for file in (source / folder.name).rglob("*") if file.is_file())
        asked |= {file.relative_to(source).as_posix() for file in files if "egg-info" not in file.as_posix()}
    assert asked - held == set()
