"""One forward pass of a model, what its layers saw in it, and the derivatives that belong to it.

Derivatives are taken at the gradient edge of each layer's output, so that an activation that overwrites the output in
place does not change what is differentiated. What a pass recorded lives as long as the graph of its outputs, or as the
capture that a backward pass through it made keep it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.blocks.call import Call, inputs_in_dtype
from ngbench.curvature.capture.deferred import DeferredGradient
from ngbench.curvature.capture.watch import Watch, ends_at
from ngbench.curvature.layers import Layer
from ngbench.curvature.likelihoods import Likelihood
from ngbench.curvature.linalg.precision import in_dtype, statistics_dtype

__all__ = ["EmpiricalPass", "ExactPass", "FisherKind", "Pass", "PassSettings", "SampledPass"]

FisherKind = Literal["sampled", "empirical", "exact"]


@dataclass
class PassSettings:
    """What all passes of a capture have in common; see :class:`~ngbench.curvature.capture.Capture`."""

    likelihood: Likelihood
    fraction: float
    gradient_scale: float
    phase: Callable[[str], AbstractContextManager[Any]]
    loss_scale: float = 1.0

    def used(self, examples: int) -> int:
        """How many of the first examples of a batch the curvature sees."""
        # The guard keeps rounding, as in 0.07 · 100 = 7.000000000000001, from adding an example.
        return max(1, math.ceil(self.fraction * examples - 1e-9))


class _Kept:
    """A tensor of somebody else's that is used later: its value, or an error."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor.detach()
        # Tensors of inference mode do not count what is written to them.
        self._version = None if tensor.is_inference() else tensor._version

    @property
    def shape(self) -> torch.Size:
        return self._tensor.shape

    def value(self, what: str) -> Tensor:
        """The tensor.

        Raises:
            RuntimeError: it was overwritten in place since.
        """
        if self._version is not None and self._tensor._version != self._version:
            raise RuntimeError(
                f"{what} was overwritten in place between the forward pass and step(), which needs it: give the model a"
                " new tensor a batch"
            )
        return self._tensor


@dataclass
class _Derivative:
    """The derivative of the training loss at an output, over the backward passes that reach it.

    Those that add to the gradient of a parameter of the layer add up. Until there is one, the last of the others
    counts, for whoever takes gradients by ``torch.autograd.grad``.
    """

    value: Tensor | None = None
    counted: bool = False

    def add(self, derivative: Tensor, counts: bool) -> None:
        if self.counted and not counts:
            return
        derivative = derivative.detach()
        self.value = self.value + derivative if self.counted and self.value is not None else derivative
        self.counted = counts


@dataclass
class _Visit:
    """One call of a layer.

    Attributes:
        watched: the layer's parameters were kept out of the graph.
        edge: where the derivatives at the output are found in the graph, until they are.
        loss: the derivative of the training loss at the output.
        deferred: what of it belongs to gradients that nobody has formed.
        model: derivatives at the output for targets of the model's distribution.
    """

    layer: Layer
    inputs: _Kept
    watched: bool
    edge: GradientEdge | None = None
    loss: _Derivative = field(default_factory=_Derivative)
    deferred: Tensor | None = None
    model: Tensor | None = None

    def input(self) -> Tensor:
        return self.inputs.value(f"the input of layer {self.layer.name!r}")


class Pass(ABC):
    """A forward pass of the model, from its beginning to the step that uses it.

    Args:
        settings: of the capture.
        reached: is told of a backward pass through this pass.
        number: of the pass among those of its capture.

    Attributes:
        number: as given.
        counted: whether a backward pass through it added to the gradient of a layer.
        unseen: layers whose weights the outputs depend on in another way than by a call of the layer.
    """

    def __init__(self, settings: PassSettings, reached: Callable[[Pass], None], number: int) -> None:
        self.settings = settings
        self.number = number
        self.visits: list[_Visit] = []
        self.counted = False
        self.unseen: set[Layer] = set()
        self._reached = reached
        self._blocks: dict[Layer, FisherBlock] = {}

    def visit(self, layer: Layer, inputs: Tensor, output: Tensor, watch: Watch | None) -> None:
        """A layer was called.

        Args:
            layer: the layer.
            inputs: what it was given.
            output: what it returned, not a view of something.
            watch: if the layer's parameters were kept out of the graph, what tells of the derivative at its output.
        """
        visit = _Visit(layer, _Kept(inputs), watch is not None)
        if watch is not None:
            watch.add(inputs, output, layer.parameters[0], lambda d: self._keep_deferred(visit, d))
        if not output.requires_grad:
            return
        visit.edge = get_gradient_edge(output)
        self.visits.append(visit)

    def _keep_deferred(self, visit: _Visit, derivative: Tensor | None) -> None:
        if derivative is None:
            return
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the loss contains derivatives of the model (create_graph=True), to which the weight of layer"
                f" {visit.layer.name!r} contributes more than its deferred gradient: set defer_gradients=False"
            )
        shared = visit.deferred is visit.loss.value
        visit.loss.add(derivative, counts=True)
        if shared:
            visit.deferred = visit.loss.value
        else:
            visit.deferred = derivative.detach() if visit.deferred is None else visit.deferred + derivative.detach()
        self._reach(counts=True)

    def finish(self, outputs: Any) -> None:
        """The forward pass is over.

        Raises:
            ValueError: the examples are not the first dimension of a layer's input.
            TypeError: the outputs are not the one tensor that is needed.
        """
        if isinstance(outputs, Tensor):
            self._check_batches(outputs)
            self._find_unseen(outputs)
        self._finish(outputs)
        for visit in self.visits:
            # The graph holds hooks that hold the visit; a graph that holds itself is never freed.
            visit.edge = None

    @abstractmethod
    def _finish(self, outputs: Any) -> None:
        """Find the derivatives, or have a backward pass leave them."""

    def _check_batches(self, outputs: Tensor) -> None:
        examples = len(outputs) if outputs.ndim else 0
        for visit in self.visits:
            shape = visit.inputs.shape
            rows = shape[0] if shape else 0
            if rows != examples:
                raise ValueError(
                    f"layer {visit.layer.name!r} was called on {rows} rows in a batch of {examples} examples: the first"
                    " dimension of its input must be the examples, or whose gradient is whose is unknown"
                )
        ambiguous = [v for v in self.visits if v.layer.takes_positions and v.inputs.shape[1:2] == (examples,)]
        if ambiguous and outputs.requires_grad:
            self._check_first_dimension(outputs, ambiguous)

    def _check_first_dimension(self, outputs: Tensor, visits: list[_Visit]) -> None:
        """Refuse inputs (T, m, d) with T = m: what the first example owes to a layer lies in a column, not a row."""
        edges = [visit.edge for visit in visits if visit.edge is not None]
        found = torch.autograd.grad(outputs[:1].sum(), edges, retain_graph=True, allow_unused=True)
        for visit, derivative in zip(visits, found, strict=True):
            if derivative is not None and derivative[1:].any() and not derivative[:, 1:].any():
                raise ValueError(
                    f"layer {visit.layer.name!r} was called with the examples in the second dimension of its input of"
                    f" shape {tuple(visit.inputs.shape)}: they must be the first dimension, or whose gradient is whose"
                    " is unknown"
                )

    def _find_unseen(self, outputs: Tensor) -> None:
        calls: dict[Layer, int] = {}
        for visit in self.visits:
            calls[visit.layer] = calls.get(visit.layer, 0) + (not visit.watched)
        uses = _uses(outputs.grad_fn)
        for layer, seen in calls.items():
            if layer.weight.requires_grad and uses.get(get_gradient_edge(layer.weight).node, 0) > seen:
                self.unseen.add(layer)

    def _leaves(self) -> list[Node]:
        """Where gradients of the layers' parameters are added up."""
        parameters = {id(p): p for visit in self.visits for p in visit.layer.parameters if p.requires_grad}
        return [get_gradient_edge(parameter).node for parameter in parameters.values()]

    def _reach(self, counts: bool) -> None:
        self.counted |= counts
        self._reached(self)

    def drop_blocks(self) -> None:
        """Make them again where they are wanted next."""
        self._blocks.clear()

    def drop_gradients(self) -> None:
        """What ``zero_grad`` means for the pass: the backward passes through it have not been."""
        self.counted = False
        self.drop_blocks()
        for visit in self.visits:
            visit.loss, visit.deferred = _Derivative(), None

    def clear(self) -> None:
        """Forget all, though the graph may hold the pass for long."""
        self.visits.clear()
        self._blocks.clear()

    def blocks(self) -> dict[Layer, FisherBlock]:
        """The Fisher blocks of the layers on this batch.

        Raises:
            RuntimeError: what was recorded was overwritten since.
        """
        found = {
            layer: self._block(layer, visits) for layer, visits in self._by_layer().items() if layer not in self.unseen
        }
        return {layer: block for layer, block in found.items() if block is not None}

    def gradients(self) -> dict[Layer, DeferredGradient]:
        """Of the layers whose gradients were deferred, what they would have added to ``grad``; once."""
        gradients: dict[Layer, DeferredGradient] = {}
        for layer, visits in self._by_layer().items():
            calls = [(visit.input(), visit.deferred) for visit in visits if visit.deferred is not None]
            if not calls:
                continue
            if self._is_of_loss(visits) and (block := self._block(layer, visits)) is not None:
                gradients[layer] = DeferredGradient(block, self.settings.gradient_scale / block.examples)
            else:
                dtype = statistics_dtype(layer.weight.dtype)
                gradients[layer] = DeferredGradient(layer.block([Call(x, g).to(dtype) for x, g in calls]))
            for visit in visits:
                visit.deferred = None
        return gradients

    def _by_layer(self) -> dict[Layer, list[_Visit]]:
        seen: dict[Layer, list[_Visit]] = {}
        for visit in self.visits:
            seen.setdefault(visit.layer, []).append(visit)
        return seen

    def _block(self, layer: Layer, visits: list[_Visit]) -> FisherBlock | None:
        """The block of a layer on the recorded batch, made once."""
        if layer not in self._blocks:
            calls = tuple(call for visit in visits if (call := self._call(visit)) is not None)
            if not calls:
                return None
            block = self._blocks[layer] = layer.block(calls)
            block.calls = calls
            # The gradient of the whole batch is the mean column of its empirical block: no product will follow.
            block.reused = any(visit.watched for visit in visits) and not self._is_of_loss(visits)
        return self._blocks[layer]

    def _inputs(self, visit: _Visit) -> tuple[Tensor, int]:
        """Of the examples that the curvature sees, and how many there are."""
        inputs, examples = visit.input(), visit.inputs.shape[0]
        used = self.settings.used(examples)
        inputs = inputs[:used] if used < examples else inputs
        return inputs_in_dtype(inputs, statistics_dtype(visit.layer.weight.dtype)), used

    @abstractmethod
    def _call(self, visit: _Visit) -> Call | None:
        """What the layer saw, with the derivatives that the Fisher matrix is made of; None without any."""

    @abstractmethod
    def _is_of_loss(self, visits: list[_Visit]) -> bool:
        """Whether the block's derivatives are those of the gradient that nobody has formed, on the whole batch."""


class _ModelsPass(Pass):
    """Derivatives for targets of the model's own distribution, by a backward pass of their own as soon as it is over.

    It asks for derivatives with respect to the layers' outputs alone, never those of the weights.
    """

    @abstractmethod
    def _columns(self, outputs: Tensor) -> Tensor:
        """Derivatives at outputs ``(m, ...)``: shape ``(c, m, ...)``, of which m · Fisher is the sum of squares."""

    def _finish(self, outputs: Any) -> None:
        if not isinstance(outputs, Tensor):
            raise TypeError(f"the model must return one tensor to its likelihood, not {type(outputs).__name__}")
        with self.settings.phase("curvature_backward"):
            self._differentiate(outputs)
        leaves = self._leaves()
        if outputs.requires_grad:
            outputs.register_hook(lambda _: self._reach(any(ends_at(leaf) for leaf in leaves)))  # type: ignore[no-untyped-call]

    def _differentiate(self, outputs: Tensor) -> None:
        used = self.settings.used(outputs.shape[0])
        edges = [visit.edge for visit in self.visits if visit.edge is not None]
        pieces: list[list[Tensor]] = [[] for _ in edges]
        # Of the whole batch: a likelihood may know what counts in it.
        for column in self._columns(outputs.detach()):
            cotangent = column
            if used < outputs.shape[0]:
                cotangent = torch.cat([column[:used], torch.zeros_like(column[used:])])
            derivatives = torch.autograd.grad(
                outputs, edges, grad_outputs=cotangent, retain_graph=True, allow_unused=True
            )
            for piece, derivative in zip(pieces, derivatives, strict=True):
                if derivative is not None:
                    piece.append(derivative[:used])
        for visit, piece in zip(self.visits, pieces, strict=True):
            visit.model = torch.cat(piece) if len(piece) > 1 else (piece[0] if piece else None)

    def _call(self, visit: _Visit) -> Call | None:
        if visit.model is None:
            return None
        inputs, _ = self._inputs(visit)
        return visit.layer.call(inputs, _statistics(visit, visit.model))

    def _is_of_loss(self, visits: list[_Visit]) -> bool:
        return False


class SampledPass(_ModelsPass):
    """Targets are drawn from the model (2.84).

    Args:
        seed: of the draw.
    """

    def __init__(self, settings: PassSettings, reached: Callable[[Pass], None], number: int, seed: int) -> None:
        super().__init__(settings, reached, number)
        self._seed = seed

    def _columns(self, outputs: Tensor) -> Tensor:
        generator = torch.Generator(outputs.device).manual_seed(self._seed)
        return self.settings.likelihood.sampled_derivative(outputs, generator).unsqueeze(0)


class ExactPass(_ModelsPass):
    """The expectation over targets in closed form."""

    def _columns(self, outputs: Tensor) -> Tensor:
        return self.settings.likelihood.fisher_columns(outputs)


class EmpiricalPass(Pass):
    """Derivatives of the training loss (2.85), as its own backward passes leave them; several add up."""

    def _finish(self, outputs: Any) -> None:
        for visit in self.visits:
            edge = visit.edge
            if visit.watched or edge is None:
                continue
            trained = [parameter for parameter in visit.layer.parameters if parameter.requires_grad]
            leaf = get_gradient_edge(trained[0]).node if trained else None
            edge.node.register_prehook(self._keeper(visit, edge.output_nr, leaf))

    def _keeper(self, visit: _Visit, output: int, leaf: Node | None) -> Callable[[tuple[Tensor | None, ...]], None]:
        def keep(derivatives: tuple[Tensor | None, ...]) -> None:
            derivative = derivatives[output]
            if derivative is not None:
                counts = leaf is not None and ends_at(leaf)
                visit.loss.add(derivative, counts)
                self._reach(counts)

        return keep

    def _call(self, visit: _Visit) -> Call | None:
        derivatives = visit.loss.value
        if derivatives is None:
            return None
        inputs, used = self._inputs(visit)
        scale = visit.inputs.shape[0] / (self.settings.gradient_scale * self.settings.loss_scale)
        return visit.layer.call(inputs, _statistics(visit, derivatives[:used]), scale)

    def _is_of_loss(self, visits: list[_Visit]) -> bool:
        examples = visits[0].inputs.shape[0]
        return self.settings.used(examples) == examples and all(v.deferred is v.loss.value for v in visits)


def _statistics(visit: _Visit, derivatives: Tensor) -> Tensor:
    return in_dtype(derivatives, statistics_dtype(visit.layer.weight.dtype))


def _uses(root: Node | None) -> dict[Node, int]:
    """How often each leaf enters a graph; what autocast cast counts as often as its result."""
    consumers: dict[Node, int] = {}
    casts: list[tuple[Node, Node]] = []
    waiting, found = [root] if root is not None else [], {root}
    while waiting:
        node = waiting.pop()
        # The edges by which a deferred gradient is found lead to all parameters, and nothing flows along them.
        following = node.next_functions[:1] if node.name() == Watch.NODE else node.next_functions
        for after, _ in following:
            if after is None:
                continue
            consumers[after] = consumers.get(after, 0) + 1
            if node.name() == "ToCopyBackward0":
                casts.append((node, after))
            if after not in found:
                found.add(after)
                waiting.append(after)
    for cast, leaf in casts:
        consumers[leaf] += consumers.get(cast, 1) - 1
    return consumers
