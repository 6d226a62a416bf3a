"""What ``train`` writes is what ``check`` reads."""

from __future__ import annotations

import json
from pathlib import Path


def test_records_pass_against_themselves_and_name_what_was_changed(ngbench):
    assert ngbench("train pond -o sgd --epochs 5 --output runs --export-json main.json -q").code == 0
    passed = ngbench("check runs --baseline main.json --json - --fail-if phase.*.seconds:1%")
    content = json.loads(passed.out)
    assert passed.code == 0
    measured = [found for found in content["gate"]["comparisons"] if found["metric"] == "phase.forward.seconds"]
    assert [found["arm"] for found in measured] == ["sgd"]
    # Five epochs are five rounds, and each has what the phase took in it.
    assert all(found["n"] == 5 and found["low"] < 0 < found["high"] for found in measured)

    changed = json.loads(Path("main.json").read_text())
    changed["runs"][0]["optimizer"]["hyperparameters"]["lr"] = 7.0
    Path("main.json").write_text(json.dumps(changed))
    refused = ngbench("check runs --baseline main.json")
    assert refused.code == 4
    assert "optimizer.hyperparameters.lr is 7.0 in the baseline and" in refused.err
