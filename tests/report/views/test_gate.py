from __future__ import annotations

import doctest
import io

import pytest
from rich.console import Console

from ngbench.experiments.gate import gate_document
from ngbench.records.experiments import ComparedRecord, GateRecord, ProblemRecord, Verdict
from ngbench.records.verdict import Change
from ngbench.report.exports.gate import format_annotations
from ngbench.report.renderers import markdown, terminal
from ngbench.report.views import gate
from ngbench.report.views.gate import check_table, outcome, remarks, view


def comparison(metric="step_time.ratio", verdict=Verdict.WORSE, change=None, **fields):
    change = change or Change(2.0, 2.2, 0.16, 0.24, 12, 1e-3)
    values = {
        "metric": metric,
        "arm": "kfac:lr=0.1,damping=0.3",
        "verdict": verdict,
        "baseline": change.baseline,
        "current": change.current,
        "relative_change": change.relative,
        "low": change.low,
        "high": change.high,
        "n": change.n,
        "threshold": f"{metric}:5%",
        "limit": 0.1,
        "unit": "ratio",
        **fields,
    }
    return ComparedRecord(**values)


def report_of(*comparisons, **fields):
    return GateRecord(comparisons=comparisons, **fields)


REPORT = GateRecord(
    comparisons=[
        comparison(note="refresh changed most: +9.0 % of the step, itself +31 %"),
        comparison("training_loss", Verdict.SAME, Change(0.1, 0.1, 0.0, 0.0), unit="number"),
        comparison("step_time", Verdict.INCONCLUSIVE, Change(0.0100, 0.0104, -2e-3, 3e-3), unit="seconds"),
    ],
    not_comparable=[ProblemRecord(subject="adam", reason="the arm has vanished")],
    notes=["sgd is new."],
)


def cells(report, name):
    return next(
        [cell.replace("\n", " ") for cell in column.cells] for column in check_table(report) if column.name == name
    )


def shown(report, width=100):
    console = Console(width=width, file=io.StringIO())
    terminal.show(view(gate_document(report)), console)
    return console.file.getvalue()


def test_the_worked_examples_of_the_docstrings_hold():
    assert doctest.testmod(gate).failed == 0


def test_a_change_has_its_interval_unless_it_is_exact():
    assert cells(REPORT, "change") == ["+10.0 % (+8.0 to +12.0)", "+0.0 %", "+4.0 % (−20.0 to +30.0)"]
    assert cells(REPORT, "baseline") == ["2.000", "0.1000", "10.0 ms"]
    assert cells(REPORT, "allowed") == ["+5%"] * 3


@pytest.mark.parametrize(
    ("change", "unit", "expected"),
    [
        (Change(0.0, 5.0, 5.0, 5.0), "number", "+5"),
        (Change(1e9, 1e9 + 1, 1, 1), "number", "+1e-07 %"),
        (Change(0.1, None, None, None), "number", "—"),
        (Change(2.0, 1.0, None, None), "seconds", "−50.0 %"),
    ],
)
def test_changes_that_per_cents_do_not_show(change, unit, expected):
    assert cells(report_of(comparison(change=change, unit=unit)), "change") == [expected]


def test_what_stayed_the_same_in_all_phases_is_one_row():
    same = [
        comparison(f"phase.{name}.flops", Verdict.SAME, Change(1, 1, 0, 0), threshold="phase.*.flops:0%", unit="number")
        for name in ("forward", "backward")
    ]
    worse = comparison("phase.refresh.flops", Verdict.WORSE, Change(1, 2, 1, 1), threshold="phase.*.flops:0%")
    assert cells(report_of(same[0], worse, same[1]), "metric") == ["phase.*.flops (2)", "phase.refresh.flops"]


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (REPORT, "Worse than the baseline: 1 worse, 1 the same, 1 inconclusive, 1 not comparable."),
        (report_of(*REPORT.comparisons[1:]), "No regression: 1 the same, 1 inconclusive."),
        (
            report_of(*REPORT.comparisons[1:], fail_on_inconclusive=True),
            "Inconclusive, which fails here: 1 the same, 1 inconclusive. "
            f"Noise hides {REPORT.comparisons[2].metric} of {REPORT.comparisons[2].arm}.",
        ),
        (report_of(not_comparable=REPORT.not_comparable), "Not comparable with the baseline: 1 not comparable."),
        (report_of(), "Nothing was compared."),
    ],
)
def test_the_outcome_is_one_line(report, expected):
    assert outcome(report) == expected


def test_a_remark_on_several_metrics_of_an_arm_is_made_once():
    rows = [comparison("a", note="too few rounds"), comparison("b", note="too few rounds"), comparison("c", arm="x")]
    assert remarks(report_of(*rows, notes=["last."])) == ["kfac:lr=0.1,damping=0.3, a, b: too few rounds.", "last."]


def test_the_terminal_shows_arms_problems_and_the_outcome():
    text = shown(REPORT)
    for part in (
        "kfac:lr=0.1,damping=0.3",
        "(+8.0 to +12.0)",
        "inconclusive",
        "Not comparable: adam: the arm has vanished",
        "sgd is new.",
    ):
        assert part in text
    assert text.rstrip().endswith("1 not comparable.")


def test_no_number_is_cut_on_eighty_columns():
    text = shown(REPORT, width=80)
    assert "…" not in text
    assert "(−20.0 to +30.0)" in text


def test_brackets_in_a_label_are_no_markup():
    assert "a[bold]b" in shown(report_of(comparison(arm="a[bold]b")))


def test_markdown_is_a_table_with_remarks():
    text = markdown.render(view(gate_document(REPORT)))
    lines = text.splitlines()
    assert lines[0] == f"### ngbench: {outcome(REPORT)}"
    assert lines[2].startswith("| metric")
    assert "❌ worse" in lines[4]
    assert "- **Not comparable:** adam: the arm has vanished" in lines
    assert (
        "- kfac:lr=0.1,damping=0.3, step_time.ratio: refresh changed most: +9.0 % of the step, itself +31 %." in lines
    )


def test_json_holds_every_number():
    content = REPORT.model_dump(mode="json")
    assert content["exit_code"] == 3
    assert content["comparisons"][0] == {
        "metric": "step_time.ratio",
        "arm": "kfac:lr=0.1,damping=0.3",
        "verdict": "worse",
        "baseline": 2.0,
        "current": 2.2,
        "relative_change": pytest.approx(0.1),
        "low": 0.16,
        "high": 0.24,
        "n": 12,
        "limit": 0.1,
        "unit": "ratio",
        "threshold": "step_time.ratio:5%",
        "note": "refresh changed most: +9.0 % of the step, itself +31 %",
    }
    assert content["not_comparable"] == [{"subject": "adam", "reason": "the arm has vanished"}]
    assert content["notes"] == ["sgd is new."]


def test_annotations_are_one_escaped_line_each():
    odd = comparison(note="two\nlines", arm="a:b,c")
    report = report_of(odd, *REPORT.comparisons[1:], not_comparable=REPORT.not_comparable)
    lines = format_annotations(report).splitlines()
    assert lines[0] == (
        "::error title=ngbench%3A step_time.ratio of a%3Ab%2Cc::worse: 2.000 before, 2.200 now, "
        "+10.0 %25 (+8.0 to +12.0), +5%25 allowed; two%0Alines"
    )
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::warning", "::error"]
    assert lines[2] == "::error title=ngbench%3A not comparable::adam: the arm has vanished"


def test_an_inconclusive_comparison_that_fails_is_an_error():
    report = report_of(REPORT.comparisons[2], fail_on_inconclusive=True)
    assert format_annotations(report).startswith("::error")


def test_a_status_has_words_instead_of_numbers():
    status = ComparedRecord(
        metric="status", arm="kfac", verdict=Verdict.WORSE, unit="number", note="diverged with seed 0"
    )
    assert format_annotations(report_of(status)).rstrip().endswith("::worse: diverged with seed 0")
    document = gate_document(report_of(status))
    assert gate.headline(document) == "Worse than the baseline: 1 worse. Worse: status of kfac."
    assert cells(report_of(status), "allowed") == ["—"]
    assert status.limit is None
