"""Batches from which a Fisher block can hardly be estimated."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ngbench.experiments.conformance.outcome import CheckFailed, Passed, raised
from ngbench.experiments.conformance.sample_blocks import KINDS, ApproximationSubject, is_finite, make_block

__all__ = ["check_degenerate_input", "check_nan_input"]

Pair = tuple[Tensor, Tensor]


def _zero_derivatives(inputs: Tensor, derivatives: Tensor) -> Pair:
    return inputs, torch.zeros_like(derivatives)


def _zero_inputs(inputs: Tensor, derivatives: Tensor) -> Pair:
    return torch.zeros_like(inputs), derivatives


def _equal(inputs: Tensor, derivatives: Tensor) -> Pair:
    return inputs[:1].expand_as(inputs).clone(), derivatives[:1].expand_as(derivatives).clone()


def _nothing(inputs: Tensor, derivatives: Tensor) -> Pair:
    return inputs, derivatives


DEGENERATE = {
    "derivatives that all vanish": (24, _zero_derivatives),
    "inputs that all vanish": (24, _zero_inputs),
    "examples that are all the same": (24, _equal),
    "a single example": (1, _nothing),
}


def check_degenerate_input(subject: ApproximationSubject) -> Passed:
    """Factors are finite for batches of one example, equal ones, and zeros: dead units and the first steps."""
    for kind in KINDS:
        for what, (examples, change) in DEGENERATE.items():
            block = make_block(kind, examples=examples, change=change)
            try:
                value = subject(block).value
            except Exception as error:
                raise CheckFailed(
                    f"a {kind} layer with {what} raised {raised(error)}; guard against a zero norm"
                ) from error
            if not is_finite(value):
                raise CheckFailed(f"a {kind} layer with {what} gave NaN or infinite factors: guard against a zero norm")
    return Passed(", ".join(DEGENERATE))


def check_nan_input(subject: ApproximationSubject) -> Passed:
    """NaN in a batch is refused, or seen in the factors, at which a refresh stops."""

    def spoil(inputs: Tensor, derivatives: Tensor) -> Pair:
        inputs.view(-1)[0] = math.nan
        return inputs, derivatives

    outcomes = set()
    for kind in KINDS:
        try:
            value = subject(make_block(kind, change=spoil)).value
        except ArithmeticError as error:
            outcomes.add(f"raises {type(error).__name__}")
            continue
        if is_finite(value):
            raise CheckFailed(
                f"NaN in the inputs of a {kind} layer gave finite factors: raise FloatingPointError or let it through"
            )
        outcomes.add("shows in the factors")
    return Passed(", ".join(sorted(outcomes)))
