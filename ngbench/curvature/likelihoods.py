"""Predictive distributions: the loss, a sample of targets, and the output Hessian of each.

A model outputs the natural parameters ``z`` of a distribution of the target (logits of a Bernoulli or
categorical, mean of a unit-variance normal). The per-example training loss is ``L = s · NLL(z, y)``, where the
scale ``s`` is the task's own reduction over outputs: 1 for a sum, 1/D for a mean over D outputs (2/D and 2 for
the squared error, whose NLL carries a factor 1/2), and m/n where a batch of m examples has n positions with a class
each and the loss is their mean. Sampling targets from the model's own distribution gives the
Fisher matrix (2.84); ``fisher_columns`` gives its expectation over targets in closed form, which is ``s`` times
the generalised Gauss-Newton matrix of ``L`` (Theorem 2.1 states the case ``s = 1``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from math import fsum, prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ngbench.curvature.bounds import checked
from ngbench.curvature.linalg.precision import in_dtype, statistics_dtype

__all__ = ["Bernoulli", "Categorical", "Gaussian", "Likelihood"]

Reduction = Literal["mean", "sum"]

# What torch is told to ignore where every target must be a class.
_NO_TARGET = -(2**63)
# Of examples that are taken at once where a copy of all of them would not fit into memory.
_ROWS = 512


class Likelihood(ABC):
    """The predictive distribution of a model, with the loss that is its scaled negative log-likelihood.

    The first dimension of outputs and targets holds the examples. Shapes that do not fit are a ``ValueError`` that
    names both: nothing is broadcast.

    The Fisher matrix takes no targets of the batch, but a likelihood that ignores some of them must know which. Tell it
    those of a forward pass by calling the model inside :meth:`given`. What :meth:`sampled_derivative` and
    :meth:`fisher_columns` then get are the outputs of that whole batch.
    """

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over the batch of the per-example losses: a scalar."""
        return self.per_example_loss(outputs, targets).mean()

    @abstractmethod
    def per_example_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss ``L`` of each example: shape ``(m,)``."""

    @abstractmethod
    def sample(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Targets drawn from the predictive distribution, one for each example."""

    @abstractmethod
    def output_derivative(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """``∂L_b/∂z_b`` for each example: same shape as ``outputs``."""

    def sampled_derivative(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """:meth:`output_derivative` at targets from :meth:`sample`."""
        return self.output_derivative(outputs, self.sample(outputs, generator))

    @abstractmethod
    def fisher_columns(self, outputs: Tensor) -> Tensor:
        """Columns whose outer products sum to ``E_y[∇_z L ∇_z Lᵀ]`` for each example.

        Returns:
            Shape ``(C, *outputs.shape)``, where ``C`` is the number of outputs of one example.
        """

    def constant_loss(self, targets: Tensor) -> float | None:
        """The lowest :meth:`loss` on these targets of outputs that are the same for all examples.

        A network whose loss is no lower has learnt nothing of its inputs. ``None`` where there is no formula.
        """
        return None

    @contextmanager
    def given(self, targets: Tensor) -> Iterator[None]:
        """Within the block, the model is called on the batch of ``targets``; see the class.

        Only a likelihood that ignores some targets looks at them.
        """
        yield


def _check_outputs(outputs: Tensor) -> None:
    if not outputs.ndim or 0 in outputs.shape[1:]:
        raise ValueError(f"outputs of shape {tuple(outputs.shape)} are not (m, ...) with an output for each example")


def _check_targets(outputs: Tensor, targets: Tensor) -> None:
    _check_outputs(outputs)
    if targets.shape != outputs.shape:
        raise ValueError(
            f"targets of shape {tuple(targets.shape)} do not fit outputs of shape {tuple(outputs.shape)}:"
            " the shapes must be the same"
        )


def _mean(targets: Tensor) -> Tensor:
    """The mean over examples, in double precision, and never more than a few of them at once."""
    total = torch.zeros(targets.shape[1:], dtype=torch.float64, device=targets.device)
    for part in torch.split(targets, _ROWS):
        total += part.double().sum(0)
    return total / len(targets)


def _rows(values: Tensor) -> Tensor:
    """One row for each example: ``(m, ...)`` to ``(m, D)``, with D = 1 for ``(m,)``."""
    return values.flatten(1) if values.ndim > 1 else values.unsqueeze(1)


def _diagonal_columns(diagonal: Tensor) -> Tensor:
    """Columns of the diagonal matrices given by ``diagonal`` ``(m, ...)``: shape ``(D, m, ...)``."""
    flat = _rows(diagonal)
    return torch.diag_embed(flat).permute(2, 0, 1).reshape(flat.shape[1], *diagonal.shape)


def _successes(p: Tensor, generator: torch.Generator | None) -> Tensor:
    """1 where a trial of probability ``p`` succeeds, else 0: of the shape of ``p``."""
    # On the CPU draws are made one after another, so four trials share one of 64 bits. What 16 bits cannot resolve is
    # rounded up or down by a draw that all trials share, which makes each probability exact and the covariance of two
    # trials less than 2⁻³³. Unlike torch.bernoulli, a comparison lets a NaN pass on to the derivative instead of
    # stopping the device.
    draws = torch.empty((p.numel() + 3) // 4, dtype=torch.int64, device=p.device)
    bits = draws.random_(-(2**63), None, generator=generator).view(torch.int16)[: p.numel()].view_as(p)
    p = p.to(torch.promote_types(p.dtype, torch.float32))
    rounding = torch.rand((), generator=generator, dtype=p.dtype, device=p.device)
    return torch.add(rounding, p, alpha=2**16).floor_().sub_(2**15).gt_(bits)


class Bernoulli(Likelihood):
    """Independent Bernoulli targets in [0, 1]; outputs are logits; the loss is the binary cross-entropy.

    Outputs and targets have one shape, ``(m, ...)``; ``(m,)`` is one output an example.

    Args:
        reduction: over the outputs of one example.
    """

    @checked
    def __init__(self, reduction: Reduction = "mean") -> None:
        self.reduction = reduction

    def _scale(self, outputs: Tensor) -> float:
        return 1 / prod(outputs.shape[1:]) if self.reduction == "mean" else 1.0

    def per_example_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        _check_targets(outputs, targets)
        losses = F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
        return _rows(losses).sum(1) * self._scale(outputs)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.reduction == "mean":
            _check_targets(outputs, targets)
            return F.binary_cross_entropy_with_logits(outputs, targets)
        return super().loss(outputs, targets)

    def constant_loss(self, targets: Tensor) -> float:
        p = _mean(targets)
        entropies = -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))
        return float(entropies.sum()) * self._scale(targets)

    def sample(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        _check_outputs(outputs)
        return _successes(_less_likely(outputs), generator).eq(outputs.signbit()).to(outputs.dtype)

    def output_derivative(self, outputs: Tensor, targets: Tensor) -> Tensor:
        _check_targets(outputs, targets)
        return (torch.sigmoid(outputs) - targets).mul_(self._scale(outputs))

    def sampled_derivative(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        _check_outputs(outputs)
        q = _less_likely(outputs)
        # With u = 1 where the less likely target was drawn, p − y is u − q for logits ≥ 0 and q − u for others.
        error = _successes(q, generator).sub_(q)
        return error.mul_(torch.copysign(q.new_tensor(self._scale(outputs)), outputs)).to(outputs.dtype)

    def fisher_columns(self, outputs: Tensor) -> Tensor:
        _check_outputs(outputs)
        q = _less_likely(outputs)
        return _diagonal_columns((q * (1 - q)).sqrt_().mul_(self._scale(outputs)).to(outputs.dtype))


def _less_likely(logits: Tensor) -> Tensor:
    """The probability of the less likely target, in the type of the statistics: of p near 1, 1 − p keeps no digits."""
    return in_dtype(logits, statistics_dtype(logits.dtype)).abs().neg_().sigmoid_()


class Categorical(Likelihood):
    """Classes in ``0..K-1``, one for each position of an example; the loss is the cross-entropy.

    Outputs are logits ``(m, K, ...)`` and targets are classes ``(m, ...)``, of type int64 or uint8, as for
    :func:`torch.nn.functional.cross_entropy`; probabilities as targets are not taken. The loss is the mean over the n
    positions of the batch that count, so that the scale of one example is s = m/n: 1 for outputs ``(m, K)`` and 1/T for
    T positions an example, if none is ignored. The classes of different positions are independent, given the outputs.

    A position that is ignored has no part in loss, samples and derivatives. Whether it is, the targets alone say: under
    a sampled or exact Fisher matrix call the model with them known::

        with likelihood.given(targets):
            outputs = model(inputs)
        likelihood.loss(outputs, targets).backward()

    Args:
        ignore_index: the target of positions that are ignored, such as −100, or None where each target is a class. The
            loss is NaN where all are ignored, as in torch.
        class_axis: the dimension of the outputs that holds the classes, 1 or −1: −1 for ``(m, T, K)``.

    Raises:
        ValueError: (from each method) shapes do not fit, or a target is no class; :meth:`sampled_derivative` or
            :meth:`fisher_columns` was called outside :meth:`given` although positions may be ignored.
        TypeError: (from each method) targets are not of the types above.
    """

    @checked
    def __init__(self, *, ignore_index: int | None = None, class_axis: Literal[1, -1] = 1) -> None:
        self.ignore_index = ignore_index
        self.class_axis = class_axis
        self._given: Tensor | None = None

    @contextmanager
    def given(self, targets: Tensor) -> Iterator[None]:
        before, self._given = self._given, targets
        try:
            yield
        finally:
            self._given = before

    def _logits(self, outputs: Tensor) -> Tensor:
        """The outputs as ``(m, K, ...)``."""
        if outputs.ndim < 2 or 0 in outputs.shape[1:]:
            form = "(m, K, ...)" if self.class_axis == 1 else "(m, ..., K)"
            raise ValueError(f"outputs of shape {tuple(outputs.shape)} are not {form} with K logits for each position")
        return outputs.movedim(self.class_axis, 1)

    def _classes(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The targets as int64 ``(m, ...)``."""
        logits = self._logits(outputs)
        positions = (*logits.shape[:1], *logits.shape[2:])
        shapes = f"targets of shape {tuple(targets.shape)} and outputs of shape {tuple(outputs.shape)}"
        if targets.dtype not in (torch.int64, torch.uint8):
            raise TypeError(
                f"{shapes}: the targets are {targets.dtype}, not class indices of type int64 or uint8"
                " (class probabilities are not taken)"
            )
        if targets.shape != positions:
            raise ValueError(
                f"{shapes} do not fit: with the classes in dimension {self.class_axis} of the outputs"
                f" (class_axis={self.class_axis}) targets have shape {positions}"
            )
        return targets.long()

    def _counted(self, classes: Tensor) -> Tensor | None:
        """Which positions count, ``(m, ...)``; None if all do."""
        return None if self.ignore_index is None else classes != self.ignore_index

    def _counted_as_given(self, outputs: Tensor) -> Tensor | None:
        if self.ignore_index is None:
            return None
        if self._given is None:
            raise ValueError(
                f"which positions are ignored (ignore_index={self.ignore_index}) is known from the targets alone, and"
                f" outputs of shape {tuple(outputs.shape)} came without: call the model in"
                " 'with likelihood.given(targets):', or take the empirical Fisher matrix"
            )
        return self._counted(self._classes(outputs, self._given))

    def _scale(self, logits: Tensor, counted: Tensor | None) -> float | Tensor:
        if counted is None:
            return 1 / prod(logits.shape[2:])
        # It stays on the device, and is exact in the type of the statistics.
        return len(logits) / counted.sum(dtype=statistics_dtype(logits.dtype))

    @contextmanager
    def _in_range(self, classes: Tensor, count: int) -> Iterator[None]:
        """Name the target for which torch finds no class. It is not looked for before: that would stop the device."""
        try:
            yield
        except (IndexError, RuntimeError) as error:
            wrong = (classes < 0) | (classes >= count)
            if (counted := self._counted(classes)) is not None:
                wrong &= counted
            if not wrong.any():
                raise
            value = int(classes[wrong][0])
            raise ValueError(
                f"target {value} is no class of 0 to {count - 1}; positions are ignored by"
                f" Categorical(ignore_index=...), which is {self.ignore_index} here"
            ) from error

    def _cross_entropy(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        classes, logits = self._classes(outputs, targets), self._logits(outputs)
        ignored = _NO_TARGET if self.ignore_index is None else self.ignore_index
        with self._in_range(classes, logits.shape[1]):
            return F.cross_entropy(logits, classes, reduction=reduction, ignore_index=ignored)

    def per_example_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        losses = self._cross_entropy(outputs, targets, "none")
        scale = self._scale(self._logits(outputs), self._counted(targets.long()))
        return _rows(losses).sum(1) * scale

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._cross_entropy(outputs, targets, "mean")

    def constant_loss(self, targets: Tensor) -> float:
        classes = targets.flatten() if self.ignore_index is None else targets[targets != self.ignore_index]
        p = torch.unique(classes, return_counts=True)[1].double() / len(classes)
        return -float(torch.xlogy(p, p).sum())

    def sample(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A class drawn for each position, ``(m, ...)``; ``ignore_index`` where :meth:`given` says so."""
        classes = self._draw(outputs, generator)
        if self.ignore_index is not None and self._given is not None:
            classes.masked_fill_(self._classes(outputs, self._given) == self.ignore_index, self.ignore_index)
        return classes

    def _draw(self, outputs: Tensor, generator: torch.Generator | None) -> Tensor:
        # The smallest of exponential waiting times with rates p falls on class k with probability p_k; unlike
        # torch.multinomial this lets a NaN pass on to the derivative instead of stopping the device. In a half type
        # waiting times would often be equal.
        p = self._probabilities(outputs)
        return (p / torch.empty_like(p).exponential_(generator=generator)).argmax(1)

    def _probabilities(self, outputs: Tensor) -> Tensor:
        """``(m, K, ...)``, in the type of the statistics."""
        logits = self._logits(outputs)
        return torch.softmax(logits, 1, dtype=statistics_dtype(logits.dtype))

    def output_derivative(self, outputs: Tensor, targets: Tensor) -> Tensor:
        classes = self._classes(outputs, targets)
        return self._derivative(outputs, classes, self._counted(classes))

    def sampled_derivative(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        # A class that is drawn counts, be it that of ignore_index.
        counted = self._counted_as_given(outputs)
        return self._derivative(outputs, self._draw(outputs, generator), counted)

    def _derivative(self, outputs: Tensor, classes: Tensor, counted: Tensor | None) -> Tensor:
        derivative = self._probabilities(outputs)
        scale = self._scale(derivative, counted)
        index = (classes if counted is None else classes.where(counted, 0)).unsqueeze(1)
        # Of a class of probability near 1, p − 1 keeps no digits; less the sum of the others it is.
        with self._in_range(classes, derivative.shape[1]):
            derivative.scatter_(1, index, 0.0)
        derivative.scatter_(1, index, -derivative.sum(1, keepdim=True)).mul_(scale)
        if counted is not None:
            derivative.masked_fill_(~counted.unsqueeze(1), 0.0)
        return derivative.to(outputs.dtype).movedim(1, self.class_axis)

    def fisher_columns(self, outputs: Tensor) -> Tensor:
        """As of any likelihood; C is K times the number of positions, and a column is zero at all positions but one."""
        # diag(p) − p pᵀ = S Sᵀ with S = diag(√p) − p √pᵀ, because Σ p = 1. Of its diagonal √p (1 − p), 1 − p is the sum
        # of the others.
        counted = self._counted_as_given(outputs)
        p = self._probabilities(outputs)
        scale = self._scale(p, counted)
        p = p.flatten(2).transpose(1, 2) if p.ndim > 2 else p.unsqueeze(1)
        examples, positions, classes = p.shape
        root = p.sqrt() * scale
        if counted is not None:
            root = root.masked_fill(~_rows(counted).unsqueeze(2), 0.0)
        s = -p.unsqueeze(3) * root.unsqueeze(2)  # one matrix S for each position of each example
        diagonal = s.diagonal(dim1=2, dim2=3)
        diagonal.zero_()
        diagonal.copy_(-s.sum(2))
        s = s.to(outputs.dtype)
        if positions == 1:
            return s.squeeze(1).permute(2, 0, 1).reshape(classes, *outputs.shape)
        columns = s.new_zeros(positions, classes, examples, positions, classes)
        columns.diagonal(dim1=0, dim2=3).copy_(s.permute(3, 0, 2, 1))
        shape = outputs.movedim(self.class_axis, -1).shape
        return columns.reshape(-1, *shape).movedim(-1, 2 if self.class_axis == 1 else -1)


class Gaussian(Likelihood):
    """Unit-variance normal targets; outputs are the mean; the loss is the squared error ``‖z − y‖²``.

    Outputs and targets have one shape, ``(m, ...)``; ``(m,)`` is one output an example.

    Args:
        reduction: over the outputs of one example.
    """

    @checked
    def __init__(self, reduction: Reduction = "mean") -> None:
        self.reduction = reduction

    def _scale(self, outputs: Tensor) -> float:
        return 2 / prod(outputs.shape[1:]) if self.reduction == "mean" else 2.0

    def per_example_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        _check_targets(outputs, targets)
        return _rows((outputs - targets).square()).sum(1) * (self._scale(outputs) / 2)

    def constant_loss(self, targets: Tensor) -> float:
        mean = _mean(targets)
        squares = fsum(float((part.double() - mean).square().sum()) for part in torch.split(targets, _ROWS))
        return squares / len(targets) * self._scale(targets) / 2

    def sample(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return outputs + self._noise(outputs, generator)

    def _noise(self, outputs: Tensor, generator: torch.Generator | None) -> Tensor:
        _check_outputs(outputs)
        return torch.empty_like(outputs).normal_(generator=generator)

    def output_derivative(self, outputs: Tensor, targets: Tensor) -> Tensor:
        _check_targets(outputs, targets)
        return (outputs - targets).mul_(self._scale(outputs))

    def sampled_derivative(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        # Not by way of targets: z − (z + ε) loses ε where the outputs are large.
        return self._noise(outputs, generator).mul_(-self._scale(outputs))

    def fisher_columns(self, outputs: Tensor) -> Tensor:
        _check_outputs(outputs)
        return _diagonal_columns(torch.full_like(outputs, self._scale(outputs)))
