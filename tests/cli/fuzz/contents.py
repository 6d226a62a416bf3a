"""Records with everything in them."""

from __future__ import annotations

import json
from typing import Any

from ngbench.records.documents import dump
from tests.records.gate_documents import build_document, build_run
from tests.report.conftest import CLAIMS, build_fisher_error, studies_of

__all__ = ["ALL_METRICS", "comparison", "players"]

ALL_METRICS = (
    "step_time.ratio:5%",
    "step_time.median:5%",
    "phase.*.seconds:5%",
    "phase.*.ratio:5%",
    "phase.*.flops:0%",
    "peak_memory:1MiB",
    "training_loss:1%",
    "best_training_loss:1%",
    "validation_loss:1%",
    "seconds_to_target:5%",
    "epochs_to_target:1",
    "fisher_error.*:1%",
)


def comparison(*seeds: int) -> dict[str, Any]:
    """Everything that a document may hold."""
    diagnostics = {"energy_gap": [[1, 0.5], [2, None]], "iterations/0/term_1": [[1, 6.0], [3, 4.0]]}
    layers = [{"name": "0", "d_in": 3, "d_out": 4}]
    runs = [
        build_run(label, seed=seed, rounds=3, every=5, diagnostics=diagnostics, layers=layers, target_loss=0.23)
        for label in ("sgd", "kfac")
        for seed in seeds
    ]
    content: dict[str, Any] = json.loads(dump(build_document(*runs, studies=studies_of(CLAIMS))))
    for run in content["runs"]:
        steps, history = run["steps"], run["history"]
        steps |= {"seconds": steps["seconds"][:8], "kind": steps["kind"][:8], "turns": [3, 6, 8], "interrupted": [1]}
        history |= {"step": [3, 6, 8], "metrics": {"accuracy": [0.1, 0.2, 0.3]}}
        history["training_metrics"] = {"accuracy": [0.1, 0.2, 0.3]}
        run["samples"] = [{"epoch": 1, "path": "a.png"}]
        run["fisher_errors"] = [build_fisher_error()]
    return content


def players(*seeds: int) -> dict[str, Any]:
    """The same of two players."""
    content = comparison(*seeds)
    player = {"name": "sgd", "hyperparameters": {"lr": 1.0}}
    score = {"metric": "fid", "network": "n", "digest": "d", "features": 10, "every": 1, "samples": 9}
    for run in content["runs"]:
        run["adversarial"] = {
            "players": {"generator": player, "critic": player},
            "critic_steps": 5,
            "penalty": 10.0,
            "fid": {**score, "real_samples": 9},
        }
        run["history"]["metrics"] = {name: [3, 2, 1] for name in ("fid", "critic_loss", "gradient_penalty")}
        run["phases"] = {f"critic/{name}": phase for name, phase in run["phases"].items()}
    return content
