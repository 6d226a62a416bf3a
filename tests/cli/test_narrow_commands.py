"""What every command prints at the widths of terminals: it says there what it says anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.quick_commands import COMMANDS

Run = Callable[..., Any]
DURATION = re.compile(r"\d[\d.,]*\s(?:ns|µs|ms|s|min|h)\b")
HEADINGS = {"what", "found", "to", "do", "next"}
"""Of a table that becomes paragraphs where it is narrow."""
WITH_COLUMNS = {"train", "compare", "gan", "tune", "fisher-error"}
"""Whose tables go without some columns where there is no room, unless all are asked for."""


def words(text: str) -> set[str]:
    return {word for word in DURATION.sub("", text).split() if not word.startswith("ngbench-results/")}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_width_costs_a_word_or_a_number(quick: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    command = COMMANDS[name]
    quick(command.line)
    again = f"{command.again} --columns all" if name in WITH_COLUMNS else command.again
    monkeypatch.setenv("COLUMNS", "1000")
    wide = quick(again).out
    assert wide
    for width in (40, 60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        narrow = quick(again).out
        assert words(wide) - words(narrow) <= HEADINGS, width
        # Sentences are broken by the terminal itself.
        longer = {DURATION.sub("", line.rstrip()) for line in narrow.splitlines() if len(line.rstrip()) > width}
        assert longer <= {DURATION.sub("", line.rstrip()) for line in wide.splitlines()}, width
        assert "…" not in narrow
