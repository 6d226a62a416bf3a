"""Every table at the widths of terminals: row names and numbers stay whole, and nothing is cut."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from ngbench.report.columns import Column
from ngbench.report.tables import print_columns, print_comparison, print_run

WIDTHS = (40, 60, 80, 120)


def drawn(width: int, show: Callable[..., Any], *given: Any, **options: Any) -> list[str]:
    """The lines that are printed, none of which is longer than the width."""
    console = Console(file=io.StringIO(), width=width)
    show(*given, console=console, **options)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    return lines


METRICS = ["phase.precondition.ratio", "phase.accumulate.flops", "step_time.ratio", "final_loss"]
COLUMNS = [
    Column("metric", METRICS, left=True),
    Column("baseline", ["1.792", "431.6 M", "12.25 ms", "0.0001234"]),
    Column("train loss\nat 12.5 s", ["0.07134 ± 0.00021", "—", "1.234 ± 0.056", "3"]),
    Column("change", ["+9.7 % (+8.1 to +11.3)", "—", "−0.1 %", "+1,234.5 % (+1,200.1 to +1,300.9)"]),
    Column("verdict", ["inconclusive", "worse", "same", "better"], left=True),
    Column("why", ["a sentence of many words that says what became of it", "", "x" * 90, "done"], left=True),
]


@pytest.mark.parametrize("width", WIDTHS)
def test_row_names_and_numbers_are_whole_at_every_width(width: int) -> None:
    text = "\n".join(drawn(width, lambda console: print_columns("Table", COLUMNS, console)))
    for name in METRICS:
        assert name in text
    shown = set(text.split())
    for column in COLUMNS[1:5]:
        for cell in column.cells:
            assert set(cell.split()) <= shown, (column.name, cell)
        assert set(column.name.split()) <= shown
    assert text.count("x") >= 90


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("view", [print_comparison, print_run])
def test_a_comparison_shows_at_every_width_what_it_shows_at_any(comparison: Any, width: int, view: Any) -> None:
    wide = drawn(1000, view, comparison, target_loss=0.12)
    narrow = drawn(width, view, comparison, target_loss=0.12)
    numbers = re.compile(r"(?<![\w.])[+−]?\d[\d,.]*\d(?![\w.])")
    assert set(numbers.findall("\n".join(wide))) <= set(numbers.findall("\n".join(narrow)))
    assert {"curvature_backward", "precondition", "sgd", "kfac"} <= set(" ".join(narrow).split())


@pytest.mark.parametrize("width", WIDTHS)
def test_long_labels_break_where_their_parts_do(make_document: Any, make_run: Any, width: int) -> None:
    label = "kfac:damping=0.001,lr=0.3,momentum=0.9"
    lines = drawn(width, print_comparison, make_document(make_run("sgd"), make_run(label, refresh_every=10)))
    text = "\n".join(lines)
    assert "kfac:damping=0.001," in text
    assert "lr=0.3,momentum=0.9" in text


HOSTILE = ["[/]", "[red]x[/red]", ":smile:", "[link=file:///x]y[/link]", "\\[bold]"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_of_others_is_shown_as_it_is(make_document: Any, make_run: Any, hostile: str) -> None:
    run = make_run(hostile, refresh_every=10)
    run.message, run.status = f"died of {hostile}", "failed"
    run.task_options = {"option": hostile}
    run.optimizer.hyperparameters = {"name": hostile}
    run.data.description = hostile
    run.history.metrics = {hostile: [1.0] * len(run.history.epoch)}
    run.phases = {hostile: run.phases["forward"], **run.phases}
    for view in (print_comparison, print_run):
        text = "\n".join(
            drawn(200, view, make_document(run, make_run("sgd")) if view is print_comparison else make_document(run))
        )
        assert text.count(hostile) >= 5, text


def test_a_stream_without_a_terminal_is_as_wide_as_any_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ngbench.cli.reporting import console_for_results

    monkeypatch.delenv("COLUMNS", raising=False)
    print_columns("Table", COLUMNS, console_for_results())
    out = capsys.readouterr().out
    assert "continued" not in out
    assert all(cell in out for column in COLUMNS for cell in column.cells)
    print_columns("Table", COLUMNS, console_for_results(on_stderr=True))
    assert capsys.readouterr().err == out
    monkeypatch.setenv("COLUMNS", "60")
    print_columns("Table", COLUMNS, console_for_results())
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60
