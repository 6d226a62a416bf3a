"""A model and data of a program's own, in all forms that they are taken in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler, TensorDataset

import ngbench
from ngbench.errors import UsageError

X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
PAIRS = TensorDataset(X, Y)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


MODEL = network()
DATA = ngbench.Data.from_tensors(X, Y)
FORMS: dict[str, Any] = {
    "Data": DATA,
    "tensors": (X, Y),
    "arrays": (X.numpy(), Y.numpy()),
    "lists": [X.tolist(), Y.tolist()],
    "Dataset": PAIRS,
    "DataLoader": DataLoader(PAIRS, batch_size=12, shuffle=True),
    "pairs of its own": DataLoader(PAIRS, batch_size=12, collate_fn=lambda items: [X[:60], Y[: len(items)]]),
}


PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")


def test_a_comparison_is_at_most_five_lines_longer_than_a_loop_of_torch() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (at,) = [at for at, text in enumerate(blocks) if "optimizer.zero_grad()" in text]
    kept, loop = blocks[at].split("optimizer = ")
    assert "ngbench.compare(" in blocks[at + 1]
    names: dict[str, Any] = {}
    exec(compile(kept + blocks[at + 1], "page", "exec"), names)
    assert len(names["document"].runs) == 3
    added = [line for line in blocks[at + 1].splitlines() if line]
    assert len(added) <= len(loop.splitlines()) + 5


class Endless(IterableDataset):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        return iter(())


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_data_are_the_same_task(form: str) -> None:
    task = ngbench.task_of(MODEL, FORMS[form], "categorical", batch_size=12)
    data = task.data(None)  # type: ignore[arg-type]
    assert data.source.digest == DATA.source.digest
    assert task.batch_size == 12
    assert isinstance(task.likelihood, ngbench.Categorical)


def test_other_data_to_validate_on_are_the_second_of_a_pair() -> None:
    halves = (DataLoader(TensorDataset(X[:40], Y[:40]), batch_size=8), TensorDataset(X[40:], Y[40:]))
    task = ngbench.task_of(MODEL, halves, "categorical")
    data = task.data(None)  # type: ignore[arg-type]
    assert torch.equal(data.train_inputs[:], X[:40])
    assert torch.equal(data.validation_targets, Y[40:])
    assert task.batch_size == 8
    pairs = ngbench.task_of(MODEL, ((X[:40], Y[:40]), (X[40:], Y[40:])), "categorical", batch_size=8)
    assert pairs.data(None).source == data.source  # type: ignore[arg-type]


def test_targets_that_are_the_inputs_are_kept_once() -> None:
    autoencoder = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3))
    data = ngbench.task_of(autoencoder, (X, X), "gaussian", batch_size=12).data(None)  # type: ignore[arg-type]
    assert data.train_targets is data.train_inputs


def test_parts_and_the_task_made_of_them_give_the_same_runs() -> None:
    own: dict[str, Any] = {"model": MODEL, "data": FORMS["DataLoader"], "likelihood": "categorical"}
    before = {name: value.clone() for name, value in MODEL.state_dict().items()}
    state = torch.get_rng_state()
    parts = ngbench.compare(**own, optimizers=["sgd", torch.optim.AdamW], epochs=2, threads=1)
    task = ngbench.task_of(MODEL, DATA, ngbench.Categorical(), batch_size=12)
    whole = ngbench.compare({"Sequential": task}, ["sgd", torch.optim.AdamW], epochs=2, threads=1)
    assert [run.history.train_loss for run in parts.runs] == [run.history.train_loss for run in whole.runs]
    assert [(run.task, run.batch_size, run.data) for run in parts.runs] == [
        (run.task, run.batch_size, run.data) for run in whole.runs
    ]
    assert all(torch.equal(value, before[name]) for name, value in MODEL.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_each_function_that_trains_one_model_takes_its_parts() -> None:
    own: dict[str, Any] = {"model": network, "data": (X, Y), "likelihood": "categorical", "batch_size": 20}
    (trained,) = ngbench.train(**own, optimizer="sgd", epochs=1, threads=1).runs
    searched = ngbench.tune(**own, optimizers="sgd", spaces={"sgd": {"lr": [0.5, 0.1]}}, epochs=1, threads=1)
    measured = ngbench.fisher_error(**own, approximations="kfac", layer="1", steps=1, threads=1)
    for run in (trained, *searched.runs, *measured.runs):
        assert (run.task, run.batch_size) == ("network", 20)
    assert searched.search is not None
    assert searched.search.arms["sgd"].trial is not None
    assert measured.runs[0].fisher_errors


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": None}, "batch_size is missing"),
        ({"likelihood": None}, "likelihood=None is not allowed, it must be 'categorical' (cross-entropy of classes)"),
        ({"likelihood": nn.CrossEntropyLoss()}, "likelihood=CrossEntropyLoss() is not allowed"),
        ({"likelihood": "poisson"}, "likelihood='poisson' is not allowed"),
        ({"likelihood": ngbench.Categorical}, "or an object such as ngbench.Categorical()"),
        ({"likelihood": "gaussian"}, "model, data and likelihood do not fit together: ValueError: targets of shape"),
        ({"model": None}, "model is missing: model, data and likelihood go together"),
        ({"data": None}, "data is missing"),
        ({"model": 3}, "model=3 is not allowed, it must be a torch.nn.Module or a function without arguments"),
        ({"model": nn.Linear}, "a function without arguments that makes one"),
        ({"model": lambda: 3}, "do not fit together: TypeError: model() is int, not a torch.nn.Module"),
        ({"model": nn.Linear(7, 2)}, "do not fit together: RuntimeError: "),
        ({"data": X}, "data of type Tensor are not allowed, it must be (inputs, targets), a torch Dataset"),
        ({"data": "mnist"}, "data of type str are not allowed"),
        ({"data": (X, Y, X)}, "data of type tuple are not allowed"),
        ({"data": (X, Y[:9])}, "their first dimensions must be the same number of examples"),
        ({"data": (X, "classes")}, "data of type tuple are not allowed"),
        ({"data": (X, np.array(["a"] * 60))}, "inputs and targets cannot be tensors: TypeError"),
        ({"data": TensorDataset(X)}, "does not consist of pairs of an input and a target"),
        ({"data": Endless()}, "does not consist of pairs of an input and a target: TypeError"),
        ({"data": DataLoader(Endless(), batch_size=4)}, "chooses its examples or its batches itself"),
        ({"data": DataLoader(PAIRS, sampler=SubsetRandomSampler([1, 2]))}, "chooses its examples or its batches"),
        ({"data": DataLoader(PAIRS, batch_size=None)}, "chooses its examples or its batches"),
        ({"data": DataLoader(PAIRS, batch_sampler=[[0, 1]])}, "chooses its examples or its batches"),
        ({"task": "curves-autoencoder"}, "give either a task or model, data and likelihood, not both"),
    ],
)
def test_parts_that_make_no_task_are_one_sentence(given: dict[str, Any], message: str) -> None:
    own: dict[str, Any] = {"model": MODEL, "data": (X, Y), "likelihood": "categorical", "batch_size": 20} | given
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        ngbench.compare(**own, optimizers="sgd")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", [MODEL, network(), nn.Linear], ids=["model", "other", "class"])
@pytest.mark.parametrize("call", [ngbench.compare, ngbench.train, ngbench.tune, ngbench.fisher_error, ngbench.gan])
def test_a_model_in_the_place_of_a_task_is_told_where_it_belongs(call: Callable[..., Any], given: Any) -> None:
    with pytest.raises(UsageError, match=r"is a model, not a task: give model=\.\.\., with data=\.\.\. and likelihood"):
        call(given, "sgd")
