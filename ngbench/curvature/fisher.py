"""Fisher blocks of a layer on a batch, as implicit operators over what the layer saw.

With ``D_b = Σ_t g_{b,t} ā_{b,t}ᵀ`` the gradient of example ``b`` with respect to the weight matrix, the block is
``F = (1/m) Σ_b vec(D_b) vec(D_b)ᵀ``; with ``c`` derivative columns an example (the closed-form expectation over
targets) it is ``(1/m) Σ_b Σ_c vec(D_{b,c}) vec(D_{b,c})ᵀ``. F itself is never formed outside ``dense``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ngbench.curvature.moments import homogeneous_second_moment, second_moment

__all__ = ["FisherBlock", "LinearBlock", "SequenceBlock"]


class FisherBlock(ABC):
    """The block of one layer.

    Attributes:
        examples: m, the number of examples.
        columns: c, the number of derivative columns an example; 1 unless the expectation over targets is exact.
        d_in: columns of the weight matrix, the bias column included.
        d_out: rows of the weight matrix.
    """

    examples: int
    columns: int
    d_in: int
    d_out: int

    @abstractmethod
    def kfac_factors(self) -> tuple[Tensor, Tensor]:
        """``A`` and ``G`` of (3.19) and (3.29): shapes ``(d_in, d_in)`` and ``(d_out, d_out)``."""

    @abstractmethod
    def per_example_gradients(self) -> Tensor:
        """``D``: shape ``(c · m, d_out, d_in)``."""

    def dense(self) -> Tensor:
        """F itself, ``(d_in · d_out)²`` numbers: for tests."""
        # vec stacks columns, and flatten() of the transpose does the same.
        d = self.per_example_gradients().transpose(1, 2).flatten(1)
        return d.T @ d / self.examples


class LinearBlock(FisherBlock):
    """One position an example: ``F = (1/m) Σ_b (ā āᵀ) ⊗ (g gᵀ)``.

    Args:
        inputs: ``(m, d)``, without the constant.
        derivatives: ``(c · m, d_out)``.
        constant: whether a constant 1 is appended to each input, for the bias.
    """

    def __init__(self, inputs: Tensor, derivatives: Tensor, *, constant: bool) -> None:
        self.inputs = inputs
        self.derivatives = derivatives
        self.constant = constant
        self.examples = inputs.shape[0]
        self.columns = derivatives.shape[0] // inputs.shape[0]
        self.d_in = inputs.shape[1] + constant
        self.d_out = derivatives.shape[1]

    def kfac_factors(self) -> tuple[Tensor, Tensor]:
        a = homogeneous_second_moment(self.inputs, constant=self.constant)
        return a.div_(self.examples), second_moment(self.derivatives).div_(self.examples)

    def per_example_gradients(self) -> Tensor:
        inputs = torch.nn.functional.pad(self.inputs, (0, 1), value=1.0) if self.constant else self.inputs
        return self.derivatives.unsqueeze(2) * inputs.repeat(self.columns, 1).unsqueeze(1)


class SequenceBlock(FisherBlock):
    """Several positions an example, their patches at hand.

    Args:
        inputs: ``(m, T, d)``, without the constant.
        derivatives: ``(c · m, T, d_out)``.
        constant: whether a constant 1 is appended to each input, for the bias.
    """

    def __init__(self, inputs: Tensor, derivatives: Tensor, *, constant: bool) -> None:
        self.inputs = inputs
        self.derivatives = derivatives
        self.constant = constant
        self.examples = inputs.shape[0]
        self.columns = derivatives.shape[0] // inputs.shape[0]
        self.d_in = inputs.shape[2] + constant
        self.d_out = derivatives.shape[2]

    def kfac_factors(self) -> tuple[Tensor, Tensor]:
        a = homogeneous_second_moment(self.inputs.flatten(0, 1), constant=self.constant)
        g = second_moment(self.derivatives.flatten(0, 1))
        return a.div_(self.examples), g.div_(self.examples * self.inputs.shape[1])

    def per_example_gradients(self) -> Tensor:
        inputs = torch.nn.functional.pad(self.inputs, (0, 1), value=1.0) if self.constant else self.inputs
        return self.derivatives.transpose(1, 2) @ inputs.repeat(self.columns, 1, 1)
