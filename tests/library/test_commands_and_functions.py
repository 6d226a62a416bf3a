"""What a function returns is what the record of its command says."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import ngbench
from ngbench import cli
from tests.cli.test_reproduce import MINE

TASK = "curves-autoencoder"
LINE = f"{TASK} --set examples=60 --batch-size 20 --threads 1 --quiet"
OPTIONS: dict[str, Any] = {"task_options": {"examples": 60}, "batch_size": 20, "threads": 1}
HERE: dict[str, Any] = {**OPTIONS, "own_processes": False}
SEARCHED = {"sgd": {"lr": [0.5, 0.05]}}
MEASURED = frozenset(
    {"environment", "memory", "started_at", "phases", "turns", "interrupted", "busy_machine", "operations_error"}
)
"""What differs from run to run, beside all that is named after seconds."""

CALLS: dict[str, tuple[str, Callable[[], ngbench.ResultDocument]]] = {
    "train": (
        f"train {LINE} -o a@adam:lr=0.002 --epochs 2",
        lambda: ngbench.train(TASK, {"a": ("adam", {"lr": 0.002})}, epochs=2, **HERE),
    ),
    "fisher-error": (
        f"fisher-error {LINE} -a kfac,kpsvd --layer 1 --steps 3 --every 2",
        lambda: ngbench.fisher_error(TASK, "kfac,kpsvd", layer="1", steps=3, every=2, **HERE),
    ),
    "tune": (
        f"tune {LINE} -o sgd --search lr=0.5,0.05 --epochs 1",
        lambda: ngbench.tune(TASK, "sgd", SEARCHED, epochs=1, **OPTIONS),
    ),
    "reproduce": (
        "reproduce mine.yaml --scale smoke --threads 1 --quiet --output command",
        lambda: ngbench.reproduce("mine.yaml", scale="smoke", threads=1, output="function"),
    ),
    "check": (
        "check before.json --baseline before.json --fail-if training_loss:1%",
        lambda: ngbench.check("before.json", "before.json", "training_loss:1%"),
    ),
}


def lasting(value: Any) -> Any:
    """What the same runs have each time."""
    if isinstance(value, Mapping):
        kept = {key: part for key, part in value.items() if key not in MEASURED and "seconds" not in key}
        return {key: lasting(part) for key, part in kept.items()}
    return list(map(lasting, value)) if isinstance(value, Sequence) and not isinstance(value, str) else value


@pytest.mark.parametrize("name", CALLS)
def test_a_function_returns_what_its_command_writes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(
        dedent(MINE).replace("task: pond, set: {depth: 2}", f"task: {TASK}, set: {{examples: 60}}")
    )
    if name == "check":
        ngbench.train(TASK, "sgd", epochs=1, **HERE).save("before.json")
    line, call = CALLS[name]
    export = "--export-json" if name != "check" else "--json"
    assert cli.main([*shlex.split(line), export, "written.json"]) == 0
    found = call()
    # The figure of a study is a file beside the command's record.
    found = found.model_copy(update={"studies": [one.model_copy(update={"figure": None}) for one in found.studies]})
    written = ngbench.load("written.json")
    assert lasting(found.model_dump(mode="json")) == lasting(written.model_dump(mode="json"))
    assert written.runs or written.studies or written.gate
