from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def read(text: str) -> dict[str, dict[str, Any]]:
    return {finding["topic"]: finding for finding in json.loads(text)["doctor"]["findings"]}


def test_every_finding_says_what_to_do_next(ngbench: Run) -> None:
    done = ngbench("doctor --data-dir . --export-json -")
    assert done.code == 0, done.err
    found = read(done.out)
    topics = ["timer", "interruptions", "load", "time quota", "frequency governor", "turbo", "threads", "CUDA"]
    assert set(topics) <= set(found)
    assert found["data"]["values"]["SVHN"]["used_without_network"] == "stand-in"
    assert all(finding["advice"] for finding in found.values())
    # One of the laboratory's plugins raises when it is imported.
    assert found["optimizer broken"]["state"] == "bad"
    assert "no such reagent" in found["optimizer broken"]["fact"]
    assert json.loads(done.out)["environment"]["cores"] >= 1
    assert found["noise"]["fact"] == "not measured"


def test_problems_come_first_at_80_columns_and_fail_where_that_is_asked(
    ngbench: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = ngbench("doctor --data-dir . --fail")
    # One of the laboratory's plugins raises when it is imported.
    assert done.code == 1
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    states = [line.split()[0] for line in lines if line.startswith(("bad ", "note ", "good "))]
    assert states == sorted(states, key=["bad", "note", "good"].index)
    assert sum(line.startswith(("bad   data", "note  data", "good  data")) for line in lines) == 1


def test_the_noise_of_a_task_and_an_optimizer_is_measured(ngbench: Run) -> None:
    done = ngbench(
        "doctor --task pond --optimizer torch.optim.AdamW:lr=0.01 --steps 60 --comparisons 2 --threshold 20% "
        "--data-dir . --export-json found.json"
    )
    assert done.code == 0, done.err
    assert "comparison 2 of 2: sgd and torch.optim.AdamW:lr=0.01, nothing changed" in done.err
    found = read(Path("found.json").read_text())
    ratio = found["noise: step_time.ratio"]["values"]
    assert (ratio["reference"], ratio["comparisons"], ratio["threshold"]) == ("sgd", 2, 0.2)
    assert ratio["smallest_regression"] > 0.2
    assert {"noise: step_time", "noise: phase.forward.ratio", "noise: phase.step.ratio"} <= set(found)
    assert "noise: step_time.ratio" in done.out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--threshold 5ms --task pond", "threshold=5ms is not allowed, it must be a per cent above 0 such as 5%"),
        ("--threshold 0% --task pond", "threshold=0% is not allowed"),
        ("--task lake", "unknown task 'lake'"),
        ("--task pond --optimizer sgd,adam", "it must be one optimizer"),
        ("--task pond --optimizer nobody", "unknown optimizer 'nobody'"),
        ("--reference adam", "give --task or --optimizer too"),
        ("--task pond --steps 0", "steps=0 is not allowed"),
        ("--export-json nowhere/found.json", "there is no directory 'nowhere'"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(ngbench: Run, line: str, said: str) -> None:
    done = ngbench(f"doctor --data-dir . {line}")
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_run_that_fails_ends_with_its_reason(ngbench: Run) -> None:
    done = ngbench("doctor --task pond -o fails --comparisons 1 --steps 20 --data-dir . --quiet")
    assert done.code == 1
    assert "the run of fails ended as failed: RuntimeError: the knob came off" in done.err
