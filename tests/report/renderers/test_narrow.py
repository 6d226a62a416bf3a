"""Every table at the widths of terminals: row names and numbers stay whole, and nothing is cut."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from ngbench.experiments.conformance.outcome import outcome
from ngbench.experiments.doctor.findings import finding, findings_document
from ngbench.experiments.gate import gate_document
from ngbench.records.experiments import (
    ComparedRecord,
    FindingState,
    GateRecord,
    ProblemRecord,
    Verdict,
)
from ngbench.records.studies import ClaimRecord
from ngbench.report import view
from ngbench.report.blocks import Block, Column, Table
from ngbench.report.columns import ALL, chosen
from ngbench.report.renderers import terminal
from ngbench.report.views import conformance, doctor, gate, study
from tests.report.views.test_gan import document, gan_run

WIDTHS = (40, 60, 80, 120)


def drawn(width: int, blocks: Sequence[Block]) -> list[str]:
    """The lines that are printed, none of which is longer than the width."""
    console = Console(file=io.StringIO(), width=width)
    terminal.show(blocks, console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    return lines


METRICS = ["phase.precondition.ratio", "phase.accumulate.flops", "step_time.ratio", "training_loss"]
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
    text = "\n".join(drawn(width, [Table("Table", COLUMNS)]))
    for name in METRICS:
        assert name in text
    shown = set(text.split())
    for column in COLUMNS[1:5]:
        for cell in column.cells:
            assert set(cell.split()) <= shown, (column.name, cell)
        assert set(column.name.split()) <= shown
    assert text.count("x") >= 90


@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_shows_at_every_width_what_it_shows_at_any(comparison: Any, width: int) -> None:
    blocks = chosen(view(comparison, target_loss=0.12), ALL)
    wide, narrow = drawn(1000, blocks), drawn(width, blocks)
    numbers = re.compile(r"(?<![\w.])[+−]?\d[\d,.]*\d(?![\w.])")
    assert set(numbers.findall("\n".join(wide))) <= set(numbers.findall("\n".join(narrow)))
    assert {"curvature_backward", "precondition", "sgd", "kfac"} <= set(" ".join(narrow).split())


@pytest.mark.parametrize("width", WIDTHS)
def test_long_labels_break_where_their_parts_do(make_document: Any, make_run: Any, width: int) -> None:
    label = "kfac:damping=0.001,lr=0.3,momentum=0.9"
    lines = drawn(width, view(make_document(make_run("sgd"), make_run(label, refresh_every=10))))
    text = "\n".join(lines)
    assert "kfac:damping=0.001," in text
    assert "lr=0.3,momentum=0.9" in text


ARM = "kfac:damping=0.001,lr=0.3,momentum=0.9"
METRIC = "phase.precondition.ratio"
FINDINGS = [
    finding("timer", FindingState.GOOD, "a reading takes 0.0512 µs, the finest step is 0.0001 µs", "nothing to do"),
    finding(
        f"noise: {METRIC}", FindingState.BAD, "6.251 % of 1.792 in 12 comparisons", "take 1,024 steps, or 16 repeats"
    ),
    finding(
        "optimizer of-a-plugin-with-a-very-long-name-in-all-its-parts", FindingState.NOTE, "1,024 of 2,048", "see 12.25"
    ),
    finding(
        "data: SVHN", FindingState.NOTE, "missing in /a/directory/with/a/path/to/it/that/no/width/holds", "put 2 there"
    ),
]
ROWS = [
    outcome("determinism", "passed", "1,024 steps differ by 0.0001234, at most 0.0005 is allowed; 12.25 ms a step"),
    outcome("a name of many words that says what is checked", "failed", f"{METRIC} is 431.6 M; it must be 1.792"),
    outcome("hooks", "not applicable", ""),
]
CLAIMS = [
    ClaimRecord(
        study="figure-3.2",
        claim="says",
        name="deflation-is-at-least-as-near-as-kfac",
        verdict="reproduced",
        interval=(-0.00012345, 12345.6),
        observed="0.07134 against 0.08123 at the 1,024th step of 12 seeds (∞: diverged)",
        tolerance="12.5 %",
    ),
    ClaimRecord(study="figure-3.2", claim="faster: is faster", verdict="inconclusive"),
]


def checked() -> GateRecord:
    numbers: dict[str, Any] = {
        "baseline": 2.0,
        "current": 2.2,
        "relative_change": 0.1,
        "low": 0.16,
        "high": 0.24,
        "n": 12,
        "limit": 0.1,
        "note": "refresh changed most: +31 %",
    }
    found = [
        ComparedRecord(metric=metric, arm=label, verdict=verdict, unit=unit, threshold=f"{metric}:12.5%", **numbers)
        for label in (ARM, "sgd")
        for metric, verdict, unit in (
            (METRIC, Verdict.WORSE, "ratio"),
            ("phase.curvature_backward.seconds", Verdict.INCONCLUSIVE, "seconds"),
            ("fisher_error.deflation", Verdict.SAME, "number"),
            ("peak_memory", Verdict.BETTER, "bytes"),
        )
    ]
    problem = ProblemRecord(subject="adam", reason="the arm has vanished")
    return GateRecord(comparisons=found, not_comparable=[problem], notes=["sgd is new."])


GANS = [gan_run(label, [12.5 + seed, 3.25], seed=seed) for label in (ARM, "adam+kfac") for seed in (0, 1)]
VIEWS: dict[str, Sequence[Block]] = {
    "check": gate.view(gate_document(checked())),
    "gan": chosen(view(document(*GANS)), ALL),
    "doctor": doctor.view(findings_document(FINDINGS)),
    "check-plugin": [conformance.rows(row) for row in ROWS],
    "claims": [Table("Claims", study.claims_table(CLAIMS))],
}
WHOLE = re.compile(r"[+−-]?\d[\d.,]*(?:%|\b)|phase\.\w+\.\w+|fisher_error\.\w+|peak_memory")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_has_its_names_and_numbers_at_every_width(name: str, width: int) -> None:
    wide, narrow = ("\n".join(drawn(columns, VIEWS[name])) for columns in (1000, width))
    assert set(WHOLE.findall(wide)) <= set(WHOLE.findall(narrow))
    assert len(wide.split()) > 20


def test_what_is_found_of_a_machine_stands_in_columns_no_wider_than_it_is() -> None:
    lines = drawn(10_000, VIEWS["doctor"])
    assert max(len(line) for line in lines) < 300
    rows = [line for line in lines if "→" not in line and re.match(r"(good|bad|note) ", line)]
    # What is good comes last, and nothing is to be done about it.
    assert len({line.index(found.advice) for line, found in zip(rows[:-1], FINDINGS[1:], strict=True)}) == 1
    assert FINDINGS[0].advice not in rows[-1]


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
    for shown in (make_document(run, make_run("sgd")), make_document(run)):
        text = "\n".join(drawn(200, view(shown)))
        assert text.count(hostile) >= 5, text


def test_a_stream_without_a_terminal_is_as_wide_as_any_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ngbench.cli.reporting import console_for_results

    monkeypatch.delenv("COLUMNS", raising=False)
    terminal.show([Table("Table", COLUMNS)], console_for_results())
    out = capsys.readouterr().out
    assert "continued" not in out
    assert all(cell in out for column in COLUMNS for cell in column.cells)
    terminal.show([Table("Table", COLUMNS)], console_for_results(on_stderr=True))
    assert capsys.readouterr().err == out
    monkeypatch.setenv("COLUMNS", "60")
    terminal.show([Table("Table", COLUMNS)], console_for_results())
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60
