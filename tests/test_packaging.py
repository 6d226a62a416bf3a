"""What an installation holds: an editable one, as in the tests, would work without."""

from __future__ import annotations

import sys
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
