"""The gate as Python calls it: with documents or paths, printing nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ngbench.errors import NotComparableError, RegressionError
from ngbench.experiments.gate import GateRequest, run_gate
from ngbench.experiments.gate_rules import GateRules
from ngbench.records.documents import dump, load_document
from tests.records.gate_documents import build_comparison


def test_documents_are_compared_as_files_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slower = build_comparison(mood=1, slower={"precondition": 1.4})
    now, before = tmp_path / "now.json", tmp_path / "before.json"
    now.write_text(dump(slower))
    before.write_text(dump(build_comparison()))
    wanted = ["step_time.ratio:5%"]
    gates = [run_gate(GateRequest(*sides, wanted)) for sides in ((slower, build_comparison()), (now, before))]
    for gate in gates:
        assert isinstance(gate.report.error, RegressionError)
        assert gate.origin == "of `fail_if`"
    assert gates[0].report == gates[1].report
    assert capsys.readouterr() == ("", "")
    gates[1].write_baseline(before)
    assert load_document(before).runs == slower.runs


def test_a_baseline_may_be_missing_where_the_rules_say_so(tmp_path: Path) -> None:
    missing = tmp_path / "none.json"
    with pytest.raises(NotComparableError, match="there is no baseline at"):
        run_gate(GateRequest(build_comparison(), missing))
    gate = run_gate(GateRequest(build_comparison(), missing, rules=GateRules(allow_missing_baseline=True)))
    assert gate.report.error is None
    assert "nothing was compared" in gate.report.notes[0]
