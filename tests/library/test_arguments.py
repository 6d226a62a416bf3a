"""Every public function refuses, by one sentence, what an argument cannot be."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

import ngbench

TASK = "curves-autoencoder"
WRONG: dict[str, Any] = {
    "number": 3.5,
    "object": object(),
    "bytes": b"sgd",
    "tensor": torch.ones(2, 2),
    "list": [object()],
    "mapping": {1: 2},
}
PARTS = {
    "model": nn.Linear(2, 1),
    "data": (torch.ones(4, 2), torch.ones(4, 1)),
    "likelihood": "gaussian",
    "batch_size": 2,
}
GIVEN: dict[str, dict[str, Any]] = {
    "train": {"task": TASK, "optimizer": "sgd"},
    "compare": {"task": TASK, "optimizers": "sgd,adam"},
    "gan": {"task": "gan-mnist", "players": "sgd+sgd"},
    "fisher_error": {"task": TASK, "approximations": "kfac"},
    "tune": {"task": TASK, "optimizers": "sgd", "spaces": {"sgd": {"lr": [0.1]}}},
    "reproduce": {"studies": "figure-3.1"},
    "check": {"current": "nothing.json", "baseline": "nothing.json"},
    "load": {"path": "nothing.json"},
}
OPTIONS = {
    "train": ("batch_size", "data_dir", "device", "diagnostics", "dtype", "epochs", "seed", "seeds", "time_limit"),
    "gan": ("critic_steps", "fid_features", "fid_weights", "penalty"),
    "fisher_error": ("every", "fisher", "layer", "trained_with"),
    "tune": ("metric", "output", "sampler", "storage", "trials", "workers"),
    "reproduce": ("data_dir", "device", "seeds", "threads"),
    "check": ("allow_missing_baseline", "inconclusive", "reference", "target_loss"),
}
MEANT = {("time_limit", "number"), ("penalty", "number"), ("target_loss", "number")}
"""What is allowed after all."""


def arguments_of(name: str) -> list[str]:
    named = [one for one in inspect.signature(getattr(ngbench, name)).parameters if one != "options"]
    return [*named, *OPTIONS.get(name, ())]


CASES = [(name, argument) for name in GIVEN for argument in arguments_of(name)]


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_what_an_argument_cannot_be_is_refused_by_one_sentence(name: str, argument: str) -> None:
    for kind, wrong in WRONG.items():
        given = {**GIVEN[name], argument: wrong}
        if argument in PARTS and argument != "batch_size":
            given = {**GIVEN[name], **PARTS, argument: wrong}
            del given["task"]
        if (argument, kind) in MEANT:
            continue
        with pytest.raises(ngbench.UsageError) as error:
            getattr(ngbench, name)(**given)
        assert "\n" not in str(error.value), kind


def test_every_public_function_is_tried() -> None:
    functions = {name for name in ngbench.__all__ if getattr(ngbench, name).__module__ == "ngbench.library"}
    assert functions == set(GIVEN)
