"""A task of what a program has already: a model, data in any of the usual forms, and a likelihood."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ngbench.curvature.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood
from ngbench.errors import ParameterError, describe
from ngbench.task import Data, Task, pairs_of

__all__ = ["task_of"]

_LIKELIHOODS: dict[str, Callable[[], Likelihood]] = {
    "categorical": Categorical,
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
}
_WHICH = (
    "it must be 'categorical' (cross-entropy of classes), 'bernoulli' (binary cross-entropy), 'gaussian' (squared "
    "error) or an object such as ngbench.Categorical()"
)
_FORMS = (
    "it must be (inputs, targets), a torch Dataset or DataLoader of such pairs, a pair of any of these to train and to "
    "validate on, or an ngbench.Data"
)


def task_of(
    model: nn.Module | Callable[[], nn.Module],
    data: Any,
    likelihood: Likelihood | str,
    *,
    batch_size: int | None = None,
    epochs: int = 1,
) -> Task:
    """A task of a model and data that are there already.

    Args:
        model: every run starts with a copy of it; or a function that makes one, whose weights then follow the seed.
        data: ``(inputs, targets)`` of tensors or arrays, a ``Dataset`` or a ``DataLoader`` of such pairs, of which a
            fifth is held out for validation; a pair of any of these, to train and to validate on; or
            :class:`ngbench.Data`. All of it is loaded into memory.
        likelihood: whose negative logarithm is the loss: ``"categorical"``, ``"bernoulli"``, ``"gaussian"``, or an
            object such as ``Gaussian(reduction="sum")``.
        batch_size: examples in a step; that of a ``DataLoader`` by default.
        epochs: where no other budget is asked for.

    Raises:
        ParameterError: an argument is none of these, or they do not fit together: the loss of two examples is tried.
        DataError: data of these forms that cannot be used.
    """
    build = _builder(model)
    if isinstance(likelihood, str) and likelihood in _LIKELIHOODS:
        likelihood = _LIKELIHOODS[likelihood]()
    if not isinstance(likelihood, Likelihood):
        raise ParameterError(f"likelihood={likelihood!r} is not allowed, {_WHICH}")
    held = _data(data)
    size = _batch_size(data) if batch_size is None else batch_size
    _try_loss(build, held, likelihood)
    return Task(model=build, data=lambda directory: held, likelihood=likelihood, batch_size=size, epochs=epochs)


def _builder(model: Any) -> Callable[[], nn.Module]:
    if isinstance(model, nn.Module):
        return lambda: copy.deepcopy(model)
    try:
        inspect.signature(model).bind()
    except (TypeError, ValueError):
        raise ParameterError(
            f"model={model!r} is not allowed, it must be a torch.nn.Module or a function without arguments that makes "
            "one"
        ) from None
    made: Callable[[], nn.Module] = model
    return made


def _data(given: Any) -> Data:
    if isinstance(given, Data):
        return given
    if isinstance(given, tuple) and len(given) == 2 and all(map(_is_source, given)):
        train, validation = given
        return Data.from_tensors(*_examples(train), validation=_examples(validation))
    if not _is_source(given):
        raise ParameterError(f"data of type {type(given).__name__} are not allowed, {_FORMS}")
    return Data.from_tensors(*_examples(given))


def _is_source(given: Any) -> bool:
    """Whether it has examples of its own; a text or a pair of pairs is no pair of inputs and targets."""
    if isinstance(given, (tuple, list)):
        return len(given) == 2 and not any(isinstance(one, (str, tuple, Dataset, DataLoader)) for one in given)
    return isinstance(given, (Dataset, DataLoader))


def _examples(given: Any) -> tuple[Any, Any]:
    if isinstance(given, (tuple, list)):
        inputs, targets = given
        return inputs, targets
    return pairs_of(given)


def _batch_size(data: Any) -> int:
    first = data[0] if isinstance(data, tuple) else data
    if not isinstance(first, DataLoader) or first.batch_size is None:
        raise ParameterError("batch_size is missing: how many examples a step takes; only a DataLoader has one")
    return first.batch_size


def _try_loss(build: Callable[[], nn.Module], data: Data, likelihood: Likelihood) -> None:
    """Refuse what does not fit before runs fail by it.

    Raises:
        ParameterError: the loss of two examples cannot be computed.
    """
    try:
        with torch.random.fork_rng(), torch.no_grad():
            network = build()
            if not isinstance(network, nn.Module):
                raise TypeError(f"model() is {type(network).__name__}, not a torch.nn.Module")
            inputs, targets = data.train_inputs[:2], data.train_targets[:2]
            kept = [part.to("cpu", torch.float32 if part.is_floating_point() else None) for part in (inputs, targets)]
            with likelihood.given(kept[1]):
                outputs = network.to("cpu", torch.float32)(kept[0])
            likelihood.loss(outputs, kept[1])
    except Exception as error:
        raise ParameterError(f"model, data and likelihood do not fit together: {describe(error)}") from error
