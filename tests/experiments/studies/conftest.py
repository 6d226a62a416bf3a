"""Studies as text, and made-up runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import dedent
from typing import Any

import pytest

from ngbench.disk.located_yaml import parse_yaml
from ngbench.experiments.studies.loader import LoadedStudy, parse_study
from ngbench.records.quantities import ArmRun
from tests.blank_run import blank_run

STUDY = """
    study: mine
    title: Small nets
    source: our own
    question: Which one is quicker?
    measure: compare
    panels:
      - {name: toy, task: toy-mlp-mnist5000, batch_sizes: [64, 128]}
    arms:
      - {name: Adam, optimizer: adam}
      - {name: "KFAC {damping}", optimizer: kfac, product: {damping: [0.1, 0.01]}}
    scales:
      smoke: {minutes: 0.1, epochs: 1, set: {examples: 64}}
      laptop: {minutes: 1, epochs: 3, seeds: 3}
      full: {minutes: 2, epochs: 30, seeds: 5}
    figure:
      rows: [[{panel: toy, batch_size: 64}]]
    claims:
      - {name: faster, says: KFAC is faster, measurement: training_loss, left: KFAC 0.1, relation: below, right: Adam}
"""

Parse = Callable[..., LoadedStudy]


@pytest.fixture
def text() -> str:
    return dedent(STUDY).lstrip()


@pytest.fixture
def parse(text: str) -> Parse:
    """Parses the study with some of its texts replaced by others."""

    def parse(*changes: tuple[str, str]) -> LoadedStudy:
        changed = text
        for old, new in changes:
            assert old in changed
            changed = changed.replace(old, new)
        return parse_study(parse_yaml(changed, "mine.yaml"))

    return parse


@pytest.fixture
def run() -> Callable[..., ArmRun]:
    """A run with these losses after its epochs of ten steps, each of which took so many seconds."""

    def make(
        label: str,
        losses: Sequence[float | None],
        *,
        seed: int = 0,
        epoch_seconds: float = 1.0,
        **fields: Any,
    ) -> ArmRun:
        epochs = list(range(1, len(losses) + 1))
        history = {
            "epoch": epochs,
            "step": [10 * epoch for epoch in epochs],
            "train_loss": list(losses),
            "validation_loss": [None if loss is None else 2 * loss for loss in losses],
            "elapsed_seconds": [epoch_seconds * epoch for epoch in epochs],
            "metrics": {"accuracy": [None if loss is None else 1 - loss for loss in losses]},
            "training_metrics": {"accuracy": [None if loss is None else 2 - loss for loss in losses]},
        }
        steps = {
            "seconds": [epoch_seconds / 10] * 10 * len(losses),
            "kind": ["plain"] * 10 * len(losses),
        }
        content = {
            "label": label,
            "task": "toy-mlp-mnist5000",
            "data": {
                "name": "MNIST",
                "origin": "stand-in",
                "description": "d",
                "digest": "00",
                "train_examples": 9,
                "validation_examples": 9,
            },
            "optimizer": {"name": label.lower(), "hyperparameters": {}},
            "seed": seed,
            "batch_size": 64,
            "status": "done",
            "history": history,
            "steps": steps,
        }
        return ArmRun(blank_run(**{**content, **fields}))

    return make
