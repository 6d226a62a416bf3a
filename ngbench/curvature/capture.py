"""Forward hooks that record what each layer sees when a curvature estimate is due.

Only derivatives with respect to the layers' outputs are asked of the extra backward pass, never those of the
weights. They are taken at the gradient edge of each output, so that an activation that overwrites the output in
place does not change what is differentiated.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from ngbench.curvature.deferred import DeferredGradient, Watch, ends_at, suspend
from ngbench.curvature.fisher import FisherBlock
from ngbench.curvature.layers import Call, Layer
from ngbench.curvature.likelihoods import Likelihood
from ngbench.curvature.precision import in_dtype, statistics_dtype

__all__ = ["Capture", "FisherKind"]

FisherKind = Literal["sampled", "empirical", "exact"]


@dataclass
class _Visit:
    """One call of a layer while recording; ``derivatives`` arrive with a backward pass."""

    layer: Layer
    inputs: Tensor
    edge: GradientEdge | None = None
    derivatives: Tensor | None = None
    # Of the training loss as it was differentiated, if the weight's gradient is deferred.
    gradient: Tensor | None = None
    # Whether ``derivatives`` are those of passes that added to the layer's gradient.
    counted: bool = False


class Capture:
    """Records the inputs of layers and the derivatives at their outputs.

    A forward pass of the model with gradients enabled is recorded when :attr:`due` is true and no recorded batch
    waits to be taken: with several forward passes a step (gradient accumulation) the first one counts.

    Args:
        model: the model; it must return one tensor, the outputs of the likelihood.
        layers: the layers to watch, by module.
        likelihood: gives targets and output derivatives.
        fisher: ``"sampled"`` draws targets from the model (2.84), ``"exact"`` takes the expectation over them in
            closed form, ``"empirical"`` uses the derivatives of the training loss's own backward pass (2.85), or their
            sum over several.
        fraction: the part of the batch that is used, its first ``⌈fraction · m⌉`` examples.
        gradient_scale: what the loss was multiplied with before ``backward``, relative to the mean over the batch
            of the forward pass (1/k under k-fold gradient accumulation); only ``"empirical"`` needs it.
        defer: whether the weights of recorded calls stay out of the backward pass. ``loss.backward()`` then leaves the
            ``grad`` of the layers' parameters alone, and :meth:`take_gradients` has what they would have been.
        seed: of the generator that draws targets.

    Raises:
        ValueError: (from the model's forward pass) a layer's input has another first dimension than the outputs.
        TypeError: (from the model's forward pass) the model returned something else than one tensor.
        RuntimeError: (from the backward pass) gradients are deferred, and the loss contains derivatives of the model.

    Attributes:
        due: whether the next forward pass is to be recorded.
        phase: a context that times the extra backward pass, named ``curvature_backward``.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[nn.Module, Layer],
        likelihood: Likelihood,
        *,
        fisher: FisherKind = "sampled",
        fraction: float = 1.0,
        gradient_scale: float = 1.0,
        defer: bool = False,
        seed: int = 0,
    ) -> None:
        self.due = False
        self.phase: Callable[[str], AbstractContextManager[Any]] = nullcontext
        self._likelihood = likelihood
        self._fisher = fisher
        self._fraction = fraction
        self._gradient_scale = gradient_scale
        self._seed = seed
        self._generator: torch.Generator | None = None
        self._defer = defer
        self._recording = False
        self._visits: list[_Visit] = []
        self._blocks: dict[Layer, FisherBlock] = {}
        self._watch = Watch([parameter for layer in layers.values() for parameter in layer.parameters])
        self._suspended: dict[nn.Module, list[Tensor]] = {}
        self._handles = self._attach(model, layers)
        self._finalizer = weakref.finalize(self, _remove, self._handles)

    def _attach(self, model: nn.Module, layers: Mapping[nn.Module, Layer]) -> list[Any]:
        # The model outlives the optimizer, so its hooks must not keep the capture alive.
        this = weakref.ref(self)

        def before(module: nn.Module, arguments: Any) -> None:
            if (capture := this()) is not None:
                capture._start()

        def enter(module: nn.Module, arguments: Any) -> None:
            if (capture := this()) is not None and capture._recording:
                capture._suspended[module] = suspend(layers[module])

        def visit(module: nn.Module, arguments: tuple[Any, ...], output: Tensor | None) -> Tensor | None:
            if (capture := this()) is None or not capture._recording:
                return output
            suspended = capture._suspended.pop(module, [])
            for parameter in suspended:
                parameter.requires_grad_(True)
            # There is none if the layer raised.
            if output is not None:
                # An activation that overwrites a view, such as the output of a linear layer at several positions,
                # replaces the view's node in the graph, and what waits there for the derivative never gets it.
                output = output.clone() if output._is_view() else output
                capture._record(layers[module], arguments[0], output, suspended)
            return output

        def after(module: nn.Module, arguments: Any, output: Any) -> None:
            if (capture := this()) is not None and capture._recording:
                capture._finish(output)

        handles: list[Any] = [model.register_forward_pre_hook(before), model.register_forward_hook(after)]
        # A model that is itself a layer is visited before its own closing hook runs.
        handles += [layer.register_forward_hook(visit, prepend=True, always_call=self._defer) for layer in layers]
        if self._defer:
            handles += [layer.register_forward_pre_hook(enter) for layer in layers]
        return handles

    def _start(self) -> None:
        if self._recording:
            # The last forward pass raised before its end.
            self._forget()
        self._recording = self.due and not self._visits and torch.is_grad_enabled()

    def _record(self, layer: Layer, inputs: Tensor, output: Tensor, suspended: list[Tensor]) -> None:
        visit = _Visit(layer, inputs.detach())
        if suspended and torch.is_grad_enabled():
            self._watch.add(inputs, output, suspended[0], self._keep_gradient(visit))
        if not output.requires_grad:
            return
        self._visits.append(visit)
        if self._fisher != "empirical":
            visit.edge = get_gradient_edge(output)
        elif not suspended:
            output.register_hook(_keep_derivatives(visit))  # type: ignore[no-untyped-call]

    def _keep_gradient(self, visit: _Visit) -> Callable[[Tensor | None], None]:
        """What adds derivatives to a deferred gradient."""
        this = weakref.ref(self)

        def keep(derivative: Tensor | None) -> None:
            capture = this()
            if capture is None or derivative is None:
                return
            if torch.is_grad_enabled():
                raise RuntimeError(
                    "the loss contains derivatives of the model (create_graph=True), to which the weight of layer"
                    f" {visit.layer.name!r} contributes more than its deferred gradient: set defer_gradients=False"
                )
            derivative = derivative.detach()
            visit.gradient = derivative if visit.gradient is None else visit.gradient + derivative
            if capture._fisher == "empirical":
                visit.derivatives = visit.gradient

        return keep

    def _finish(self, outputs: Any) -> None:
        self._recording = False
        self._watch.clear()
        if isinstance(outputs, Tensor):
            self._check_batches(outputs)
        if self._fisher == "empirical" or not self._visits:
            return
        if not isinstance(outputs, Tensor):
            self._forget()
            raise TypeError(f"the model must return one tensor to its likelihood, not {type(outputs).__name__}")
        with self.phase("curvature_backward"):
            self._differentiate(outputs)

    def _check_batches(self, outputs: Tensor) -> None:
        for visit in self._visits:
            rows = visit.inputs.shape[0] if visit.inputs.ndim else 0
            if rows != outputs.shape[0]:
                self._forget()
                raise ValueError(
                    f"layer {visit.layer.name!r} was called on {rows} rows in a batch of {outputs.shape[0]} examples:"
                    " the first dimension of its input must be the examples, or whose gradient is whose is unknown"
                )

    def _differentiate(self, outputs: Tensor) -> None:
        used = self._used(outputs.shape[0])
        z = outputs.detach()[:used]
        if self._fisher == "sampled":
            columns = self._likelihood.sampled_derivative(z, self._draw(z.device)).unsqueeze(0)
        else:
            columns = self._likelihood.fisher_columns(z)
        edges = [visit.edge for visit in self._visits if visit.edge is not None]
        pieces: list[list[Tensor]] = [[] for _ in edges]
        for column in columns:
            cotangent = column
            if used < outputs.shape[0]:
                cotangent = torch.cat([column, torch.zeros_like(outputs[used:])])
            derivatives = torch.autograd.grad(
                outputs, edges, grad_outputs=cotangent, retain_graph=True, allow_unused=True
            )
            for piece, derivative in zip(pieces, derivatives, strict=True):
                if derivative is not None:
                    piece.append(derivative[:used])
        for visit, piece in zip(self._visits, pieces, strict=True):
            visit.derivatives = torch.cat(piece) if len(piece) > 1 else (piece[0] if piece else None)
            # The graph holds a hook that holds the visit; a graph that holds itself is never freed.
            visit.edge = None

    def _draw(self, device: torch.device) -> torch.Generator:
        if self._generator is None:
            self._generator = torch.Generator(device).manual_seed(self._seed)
        return self._generator

    def _used(self, examples: int) -> int:
        # The guard keeps rounding, as in 0.07 · 100 = 7.000000000000001, from adding an example.
        return max(1, math.ceil(self._fraction * examples - 1e-9))

    def take(self) -> dict[Layer, FisherBlock]:
        """The blocks of the recorded batch, and none if nothing was recorded; they are handed out once.

        Deferred gradients that were not taken before are dropped.
        """
        seen = {layer: self._block(layer, visits) for layer, visits in self._seen().items()}
        self._forget()
        return {layer: block for layer, block in seen.items() if block is not None}

    def take_gradients(self) -> dict[Layer, DeferredGradient]:
        """Of the layers whose gradients were deferred, what they would have added to ``grad``; handed out once."""
        gradients: dict[Layer, DeferredGradient] = {}
        if not self._defer:
            return gradients
        for layer, visits in self._seen().items():
            seen = [(visit.inputs, visit.gradient) for visit in visits if visit.gradient is not None]
            if not seen:
                continue
            examples = visits[0].inputs.shape[0]
            shared = all(visit.gradient is visit.derivatives for visit in visits)
            if shared and self._used(examples) == examples and (block := self._block(layer, visits)) is not None:
                gradients[layer] = DeferredGradient(block, self._gradient_scale / examples)
            else:
                dtype = statistics_dtype(layer.weight.dtype)
                calls = [Call(in_dtype(x, dtype), in_dtype(g, dtype)) for x, g in seen]
                gradients[layer] = DeferredGradient(layer.block(calls))
        self.drop_gradients()
        return gradients

    def drop_gradients(self) -> None:
        """What ``zero_grad`` means for deferred gradients, and for derivatives of passes before it."""
        for visit in self._visits:
            visit.gradient, visit.counted = None, False

    def _seen(self) -> dict[Layer, list[_Visit]]:
        seen: dict[Layer, list[_Visit]] = {}
        for visit in self._visits:
            seen.setdefault(visit.layer, []).append(visit)
        return seen

    def _block(self, layer: Layer, visits: list[_Visit]) -> FisherBlock | None:
        """The block of a layer on the recorded batch, made once."""
        if layer not in self._blocks:
            calls = tuple(self._call(visit, visit.derivatives) for visit in visits if visit.derivatives is not None)
            if not calls:
                return None
            block = self._blocks[layer] = layer.block(calls)
            block.calls = calls
            # The gradient of the whole batch is the mean column of its empirical block: no product will follow.
            examples = visits[0].inputs.shape[0]
            block.reused = self._defer and (self._fisher != "empirical" or self._used(examples) < examples)
        return self._blocks[layer]

    def _call(self, visit: _Visit, derivatives: Tensor) -> Call:
        dtype = statistics_dtype(visit.layer.weight.dtype)
        inputs, examples = visit.inputs, visit.inputs.shape[0]
        used = self._used(examples)
        if used < examples:
            inputs = inputs[:used]
        inputs = in_dtype(inputs, dtype)
        if self._fisher != "empirical":
            return visit.layer.call(inputs, in_dtype(derivatives, dtype))
        return visit.layer.call(inputs, in_dtype(derivatives[:used], dtype), examples / self._gradient_scale)

    def _forget(self) -> None:
        self._watch.clear()
        self._visits.clear()
        self._blocks.clear()

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator that draws targets."""
        return {"generator": None if self._generator is None else self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Continue the sequence of drawn targets where ``state`` left it."""
        self._forget()
        if state["generator"] is None:
            self._generator = None
        else:
            self._draw(device).set_state(state["generator"].cpu())

    def remove(self) -> None:
        """Detach from the model."""
        self._finalizer()


def _keep_derivatives(visit: _Visit) -> Callable[[Tensor | None], None]:
    """What adds derivatives to those of an empirical Fisher matrix.

    The passes that count are those that add to the gradient of a parameter of the layer. Until there is one, the last
    of the others does, for whoever takes gradients by ``torch.autograd.grad``.
    """
    trained = [parameter for parameter in visit.layer.parameters if parameter.requires_grad]
    leaf = get_gradient_edge(trained[0]).node if trained else None

    def keep(derivative: Tensor | None) -> None:
        counts = leaf is not None and ends_at(leaf)
        if derivative is None or (visit.counted and not counts):
            return
        before = visit.derivatives if visit.counted else None
        visit.derivatives = derivative.detach() if before is None else before + derivative.detach()
        visit.counted = counts

    return keep


def _remove(handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()
