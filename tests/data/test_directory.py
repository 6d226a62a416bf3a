"""Which directory data sets live in: the argument, else the environment, else the user's cache."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from ngbench.data.directory import ENVIRONMENT_VARIABLE, data_directory
from ngbench.errors import DataError


def test_argument_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "environment"))
    assert data_directory(tmp_path / "argument") == tmp_path / "argument"


def test_environment_wins_over_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NGBENCH_DATA_DIR", str(tmp_path))
    assert data_directory() == tmp_path


@pytest.mark.parametrize("value", [None, ""])
def test_cache_is_the_default(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, value)
    assert data_directory() == platformdirs.user_cache_path("ngbench") / "data"


def test_home_is_expanded_and_relative_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert data_directory("~/data") == tmp_path / "data"
    assert data_directory("data") == tmp_path / "data"


def test_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file' is not a directory; give one with `data_dir`"):
        data_directory(tmp_path / "file")
