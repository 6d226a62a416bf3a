"""``ngbench check --history``: what is read, what is printed, and how it ends."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ngbench import cli
from ngbench.records.documents import dump
from tests.records.gate_documents import build_document, build_run


@pytest.fixture
def history(tmp_path, monkeypatch):
    """Six weekly records, the last of which is the current one, of an arm that becomes slower."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("records").mkdir()
    for week in range(6):
        when = (datetime(2026, 1, 5, tzinfo=timezone.utc) + timedelta(weeks=week)).isoformat()
        slower = dict.fromkeys(build_run("kfac").phases, 1.01**week)
        runs = [build_run("sgd", mood=week, noise=0.001, started_at=when)]
        runs.append(build_run("kfac", mood=week, noise=0.001, started_at=when, slower=slower))
        # Names say nothing of the order.
        Path(f"records/{(week * 5) % 7}.json").write_text(dump(build_document(*runs)))
    return Path("records/4.json")


def test_a_drift_is_said_and_fails(history, capfd):
    line = f"check {history} --history records --json found.json --markdown - --github"
    assert cli.main(line.split()) == 3
    out, err = capfd.readouterr()
    assert "Worse in the course of 6 records: 1 worse" in out
    assert "% a week, 6 records of 5.0 weeks" in out
    assert "::error title=ngbench%3A step_time.ratio of kfac::worse" in out + err
    gate = json.loads(Path("found.json").read_text())["gate"]
    assert gate["history"] == 6
    (slower,) = [found for found in gate["comparisons"] if found["metric"] == "step_time.ratio"]
    assert (slower["verdict"], slower["n"]) == ("worse", 6)
    assert cli.main([*line.split(), "--fail-if", "step_time.ratio:20%"]) == 0


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("", 2, "either --baseline or --history is needed, and not both"),
        ("--history records --baseline records", 2, "either --baseline or --history is needed, and not both"),
        ("--history records --update-baseline", 2, "--update-baseline and --allow-missing-baseline need --baseline"),
        ("--history {current}", 2, "is no directory"),
        ("--history empty", 4, "holds no records but the current ones"),
    ],
)
def test_what_cannot_be_is_one_sentence(history, capfd, options, code, message):
    Path("empty").mkdir()
    assert cli.main(f"check {history} {options}".format(current=history).split()) == code
    assert message in " ".join(capfd.readouterr().err.split())
