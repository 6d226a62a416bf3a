"""Realistic documents, made without torch."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

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

STEPS = 63
PHASE_SECONDS = {"forward": 0.004, "backward": 0.006, "update": 0.001}
KRONECKER_SECONDS = {"curvature_backward": 0.002, "accumulate": 0.003, "refresh": 0.03}


def build_run(
    label: str = "sgd",
    *,
    seed: int = 0,
    epochs: int = 10,
    refresh_every: int = 0,
    rate: float = 0.9,
    diverge_at: int | None = None,
    origin: str = "generated",
    target_loss: float | None = None,
) -> RunRecord:
    """A run whose loss falls geometrically and whose steps cost what its phases say, with noise by epoch."""
    noise = random.Random(f"{label}{seed}")
    history, steps = History(), StepsRecord()
    totals: dict[str, list[float]] = {}
    loss, elapsed, ended = 0.25, 0.0, "done"
    for epoch in range(1, epochs + 1):
        drift = 1 + 0.1 * random.Random(f"machine{seed}{epoch}").random()
        for step in range(STEPS):
            refresh = bool(refresh_every) and ((epoch - 1) * STEPS + step) % refresh_every == 0
            phases = dict(PHASE_SECONDS)
            if refresh_every:
                phases["precondition"] = 0.005
            if refresh:
                phases |= KRONECKER_SECONDS
            scale = drift * (1 + 0.02 * noise.random())
            for name, seconds in phases.items():
                totals.setdefault(name, []).append(seconds * scale)
            steps.seconds.append(sum(phases.values()) * scale * 1.01)
            steps.kind.append("refresh" if refresh else "plain")
        elapsed += sum(steps.seconds[-STEPS:])
        loss = 0.07 + (loss - 0.07) * (rate + 0.02 * noise.random())
        diverged = diverge_at == epoch
        history.epoch.append(epoch)
        history.step.append(epoch * STEPS)
        history.train_loss.append(None if diverged else loss)
        history.validation_loss.append(None if diverged else loss * 1.01)
        history.elapsed_seconds.append(elapsed)
        if diverged:
            ended = "diverged"
            break
    hyperparameters = {"lr": 0.3, "momentum": 0.9}
    if refresh_every:
        hyperparameters |= {"damping": 0.01, "curvature_interval": refresh_every}
    return blank_run(
        label=label,
        task="curves-autoencoder",
        data=DataRecord(
            name="CURVES",
            origin=origin,
            description="Bézier curves drawn by the seeded generator",
            digest="ab" * 32,
            train_examples=16000,
            validation_examples=4000,
        ),
        optimizer=OptimizerRecord(name=label.split(":")[0], hyperparameters=hyperparameters),
        seed=seed,
        device="cpu",
        device_name="Example CPU",
        dtype="float32",
        batch_size=256,
        threads=2,
        status=ended,
        message="the training loss is not finite" if ended == "diverged" else None,
        target_loss=target_loss,
        parameters=843_000,
        history=history,
        steps=steps,
        phases={
            name: PhaseRecord(seconds_total=sum(seconds), calls=len(seconds), flops=431_616_000, bytes=6_700_000)
            for name, seconds in totals.items()
        },
        memory=MemoryRecord(peak_bytes=512 * 2**20, baseline_bytes=400 * 2**20, optimizer_state_bytes=3_372_000),
    )


def build_document(*runs: RunRecord) -> Document:
    """A document that holds the runs."""
    return Document(
        environment=EnvironmentRecord(
            ngbench="0.1.0",
            python="3.11.4",
            torch="2.13.0",
            platform="Linux",
            processor="Example CPU",
            cores=2,
            memory_bytes=8 * 2**30,
        ),
        runs=list(runs),
    )


@pytest.fixture
def make_run() -> Callable[..., RunRecord]:
    return build_run


@pytest.fixture
def make_document() -> Callable[..., Document]:
    return build_document


@pytest.fixture
def comparison() -> Document:
    """SGD and KFAC with two seeds, the second seed of KFAC diverged in its fourth epoch."""
    return build_document(
        build_run("sgd", seed=0),
        build_run("sgd", seed=1),
        build_run("kfac", seed=0, refresh_every=10, rate=0.7),
        build_run("kfac", seed=1, refresh_every=10, rate=0.7, diverge_at=4),
    )


def build_png(width: int = 8, height: int = 4, level: int = 128) -> bytes:
    """A grey image."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + bytes([level]) * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def build_fisher_error(layer: int | str = 5) -> dict[str, Any]:
    """What ``ngbench fisher-error`` writes, of two approximations at three steps."""
    return {
        "layer": layer,
        "layer_name": None,
        "fisher": "sampled",
        "steps": [0, 10, 20],
        "approximations": {
            "kfac": {"error_1": [0.5, 0.4, 0.3], "error_2": [0.6, 0.5, None], "iterations": [], "seconds": []},
            "deflation": {
                "error_1": [0.1, 0.08, 0.06],
                "error_2": [0.2, 0.15, 0.1],
                "iterations": [12, 10, 8],
                "seconds": [0.02, 0.03, 0.04],
            },
        },
    }


CLAIMS = [
    {
        "study": "figure-3.2",
        "claim": "KFAC ends below SGD",
        "verdict": "reproduced",
        "interval": [-0.02, -0.01],
        "observed": -0.015,
        "tolerance": 0.0,
    },
    {
        "study": "figure-3.2",
        "claim": "Lanczos is worse than Deflation",
        "verdict": "contradicted",
        "interval": None,
        "observed": None,
        "tolerance": "10 %",
    },
    {"study": "figure-4.1", "claim": "Depth matters", "verdict": "not tested"},
]


def studies_of(claims: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The studies of these claims, of which nothing else is known."""
    by_study: dict[str, list[dict[str, Any]]] = {}
    for claim in claims:
        by_study.setdefault(claim["study"], []).append(claim)
    unknown = dict.fromkeys(("title", "source", "question", "scale", "seconds", "definition"))
    return [{"study": study, **unknown, "claims": found} for study, found in by_study.items()]


@pytest.fixture
def png() -> bytes:
    return build_png()


@pytest.fixture
def fisher_error() -> Callable[..., dict[str, Any]]:
    return build_fisher_error


@pytest.fixture
def claims() -> list[dict[str, Any]]:
    return [dict(claim) for claim in CLAIMS]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a document, with further keys or claims, into a file below the test's directory."""

    def write(name: str, document: Document, claims: Sequence[dict[str, Any]] = (), **extra: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = document.model_dump(mode="json") | {"studies": studies_of(claims)} | extra
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write
