"""Documents of a reference arm and a second-order arm whose times are known, made without torch."""

from __future__ import annotations

import random
from typing import Any

from ngbench.records.provenance import EnvironmentRecord
from ngbench.records.record import (
    DataRecord,
    Document,
    History,
    MemoryRecord,
    OptimizerRecord,
    PhaseRecord,
    RunRecord,
    StepsRecord,
)
from tests.blank_run import blank_run

ROUNDS, STEPS, EVERY = 12, 20, 50
PLAIN = {
    "sgd": {"forward": 1e-3, "backward": 2e-3, "update": 0.5e-3},
    "kfac": {"forward": 1e-3, "backward": 2e-3, "precondition": 3e-3, "update": 0.5e-3},
}
REFRESH = {"accumulate": 2e-3, "refresh": 20e-3}


def build_run(
    label: str = "kfac",
    *,
    seed: int = 0,
    rounds: int = ROUNDS,
    noise: float = 0.004,
    mood: int = 0,
    every: int = EVERY,
    slower: dict[str, float] | None = None,
    losses: list[float | None] | None = None,
    **changes: Any,
) -> RunRecord:
    """A run whose rounds are ``noise`` apart; ``mood`` seeds the noise, which arms share in part.

    Args:
        every: steps from one refresh to the next.
        slower: for phases, by which factor they take longer.
        losses: one for each round; falling by default.
        changes: fields of the record.
    """
    own, machine = random.Random(f"{label}{seed}{mood}"), random.Random(f"{seed}{mood}")
    optimizer = label.partition(":")[0]
    totals: dict[str, list[list[float]]] = {}
    steps = StepsRecord()
    elapsed, history = 0.0, History()
    for at in range(rounds):
        speed = (1 + 0.2 * machine.random()) * (1 + own.gauss(0, noise))
        for step in range(STEPS):
            refresh = optimizer == "kfac" and (at * STEPS + step) % every == 0
            phases = {**PLAIN.get(optimizer, PLAIN["sgd"]), **(REFRESH if refresh else {})}
            phases = {name: seconds * speed * (slower or {}).get(name, 1.0) for name, seconds in phases.items()}
            for name, seconds in phases.items():
                totals.setdefault(name, [[] for _ in range(rounds)])[at].append(seconds)
            steps.seconds.append(sum(phases.values()))
            steps.kind.append("refresh" if refresh else "plain")
        elapsed += sum(steps.seconds[-STEPS:])
        history.epoch.append(at + 1)
        history.step.append(len(steps.seconds))
        history.elapsed_seconds.append(elapsed)
        loss = 0.1 + 0.2 * 0.8 ** (at + 1) if losses is None else losses[at]
        history.train_loss.append(loss)
        history.validation_loss.append(loss)
    values: dict[str, Any] = {
        "label": label,
        "task": "curves-autoencoder",
        "data": DataRecord(
            name="CURVES",
            origin="generated",
            description="curves",
            digest="ab",
            train_examples=320,
            validation_examples=80,
        ),
        "optimizer": OptimizerRecord(name=optimizer, hyperparameters={"lr": 0.1}),
        "seed": seed,
        "device": "cpu",
        "dtype": "float32",
        "batch_size": 16,
        "threads": 2,
        "budget": {"epochs": max(rounds, 1)},
        "status": "done",
        "history": history,
        "steps": steps,
        "phases": {
            name: PhaseRecord(
                seconds_total=sum(map(sum, parts)),
                calls=sum(map(len, parts)),
                flops=1000,
                bytes=4000,
                seconds_by_round=list(map(sum, parts)),
                calls_by_round=list(map(len, parts)),
            )
            for name, parts in totals.items()
        },
        "memory": MemoryRecord(peak_bytes=400 * 2**20, baseline_bytes=300 * 2**20, optimizer_state_bytes=10_000),
    }
    return blank_run(**{**values, **changes})


def build_document(*runs: RunRecord, processor: str = "Example CPU", **extra: Any) -> Document:
    """A document that holds the runs."""
    return Document(
        environment=EnvironmentRecord(
            ngbench="0.1.0", python="3.11.4", platform="Linux", processor=processor, cores=2, memory_bytes=2**33
        ),
        runs=list(runs),
        **extra,
    )


def build_comparison(*, mood: int = 0, **changes: Any) -> Document:
    """SGD as it always is, and KFAC with ``changes``."""
    return build_document(build_run("sgd", mood=mood), build_run("kfac", mood=mood, **changes))
