"""Locks between processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ngbench.disk.locks import LOCK_FILE, directory_taken, locked
from ngbench.errors import OutputError


def test_a_directory_is_of_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        directory_taken(tmp_path),
        pytest.raises(OutputError, match="another process is writing into the output directory"),
        directory_taken(tmp_path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    with directory_taken(tmp_path):
        assert (tmp_path / LOCK_FILE).exists()


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).touch()
    with directory_taken(tmp_path):
        pass


def test_a_lock_that_the_system_refuses_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot lock"), locked(tmp_path):
        pass
