from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from ngbench.errors import DataError
from ngbench.task import Data

X = torch.arange(20.0).reshape(10, 2)
Y = torch.arange(10)


def rows(data: Data) -> tuple[list[int], list[int]]:
    """The examples to train and to validate on, by their targets; inputs still belong to them."""
    for inputs, targets in (
        (data.train_inputs, data.train_targets),
        (data.validation_inputs, data.validation_targets),
    ):
        assert torch.equal(inputs[:], X[targets])
    return data.train_targets.tolist(), data.validation_targets.tolist()


def test_a_share_is_held_out_and_every_example_is_used_once() -> None:
    train, held_out = rows(Data.from_tensors(X, Y, validation=0.3))
    assert (len(train), len(held_out)) == (7, 3)
    assert sorted(train + held_out) == list(range(10))
    assert held_out != [7, 8, 9]
    state = torch.get_rng_state()
    assert rows(Data.from_tensors(X, Y, validation=0.3)) == (train, held_out)
    assert torch.equal(torch.get_rng_state(), state)


def test_other_examples_to_validate_on_are_taken_as_they_are() -> None:
    assert rows(Data.from_tensors(X[:6], Y[:6], validation=(X[6:], Y[6:]))) == ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9])


def test_an_auto_encoder_shares_its_inputs() -> None:
    for data in (Data.from_tensors(X), Data.from_tensors(X[:6], validation=(X[6:], None))):
        assert data.train_targets is data.train_inputs
        assert data.validation_targets is data.validation_inputs


def test_arrays_and_data_sets_give_the_same_data() -> None:
    wanted = Data.from_tensors(X, Y)
    arrays = Data.from_arrays(np.asarray(X), np.asarray(Y))
    dataset = Data.from_dataset(TensorDataset(X, Y))
    assert rows(wanted) == rows(arrays) == rows(dataset)
    assert wanted.source == arrays.source == dataset.source
    assert wanted.source.description == "10 examples of shape (2,)"
    halves = Data.from_dataset(TensorDataset(X[:6], Y[:6]), validation=TensorDataset(X[6:], Y[6:]), name="halves")
    assert rows(halves) == ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9])
    assert halves.source.name == "halves"


@pytest.mark.parametrize(
    "other",
    [
        Data.from_tensors(X + 1, Y),
        Data.from_tensors(X.double(), Y),
        Data.from_tensors(X.reshape(10, 1, 2), Y),
        Data.from_tensors(X, Y.flip(0)),
        Data.from_tensors(X, Y, validation=0.3),
    ],
    ids=["values", "type", "shape", "targets", "split"],
)
def test_the_digest_tells_data_apart(other: Data) -> None:
    assert other.source.digest != Data.from_tensors(X, Y).source.digest


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Data.from_tensors(X, Y[:9]), r"inputs of shape \(10, 2\) and targets of shape \(9,\) are not allowed"),
        (lambda: Data.from_tensors(torch.tensor(1.0), Y), r"inputs of shape \(\)"),
        (lambda: Data.from_tensors(X[:0], Y[:0]), "the same number of examples"),
        (lambda: Data.from_tensors(X, Y, validation=0.01), "validation=0.01 of 10 examples is 0"),
        (lambda: Data.from_tensors(X, Y, validation=1.0), "validation=1.0 of 10 examples is 10"),
        (lambda: Data.from_tensors(X, Y, validation=(X, Y[:1])), "are not allowed"),
        (lambda: Data.from_dataset(TensorDataset(X)), "does not consist of pairs of an input and a target"),
        (lambda: Data.from_dataset([(object(), 1)]), "does not consist of pairs"),
    ],
)
def test_what_is_no_data_is_one_sentence(make: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()
