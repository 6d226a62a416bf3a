"""Which forward pass of a model its curvature is estimated on."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.capture.deferred import DeferredGradient
from ngbench.curvature.capture.hooks import ModuleHook
from ngbench.curvature.capture.passes import EmpiricalPass, ExactPass, FisherKind, Pass, PassSettings, SampledPass
from ngbench.curvature.capture.watch import Watch, suspend
from ngbench.curvature.layers import Layer, still_is
from ngbench.curvature.likelihoods import Likelihood

__all__ = ["Capture"]

# Odd, so that the seeds of 2³² draws in a row differ in what a generator on the CPU takes of them.
_STRIDE = 0x9E3779B97F4A7C15


class Capture:
    """Records the inputs of layers and the derivatives at their outputs.

    While :attr:`due` is true, every forward pass of the model in training mode with gradients is a candidate. The one
    that counts is the first through which a backward pass went that added to the gradient of a layer's parameter;
    where there is none, the last through which any went (``torch.autograd.grad`` adds to no gradient). Once there is
    one that counts, further passes are not recorded until :meth:`take` or :meth:`forget`, but in a loop that drops
    gradients between the forward and the backward pass: there nobody knows yet whether it will count. A pass without a
    backward pass leaves nothing behind: it goes with its graph. One that a checkpoint makes again is no pass.

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
        seed: of the targets that are drawn: those of the k-th estimate follow from it and from k.

    Raises:
        ValueError: (from the model's forward pass) the examples are not the first dimension of a layer's input.
        TypeError: (from the model's forward pass) the model returned something else than one tensor.
        RuntimeError: (from the backward pass) gradients are deferred, and the loss contains derivatives of the model.

    Attributes:
        due: whether forward passes are to be recorded.
        layers: those that are watched, by module.
        before_recording: gives what is called before a pass is recorded, or None; it may add layers.
        taken: how many batches were; the next targets follow from it.
        loss_scale: what the loss was multiplied with on top of ``gradient_scale``, until the next :meth:`take`.
        unseen: layers of the last estimate that the model uses in another way than by calling them too, so that what
            their calls saw is not all: they have no block.
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
        self.layers: dict[nn.Module, Layer] = {}
        self._defer = defer
        self.before_recording: Callable[[], Callable[[], None] | None] = lambda: None
        self.unseen: set[Layer] = set()
        self._settings = PassSettings(likelihood, fraction, gradient_scale, nullcontext)
        self._fisher = fisher
        self._seed = seed
        self.taken = 0
        self._last_call = ""
        self._current: Pass | None = None
        self._reached: list[Pass] = []
        self._number = 0
        self._oldest = 1
        self._latest: Callable[[], Pass | None] = lambda: None
        self._zeroed_late = False
        self._backward = -1
        self._began_with_gradients = False
        self._watch = Watch([])
        self._suspends = False
        self._suspended: dict[nn.Module, list[Tensor]] = {}
        self._handles: list[Any] = [
            model.register_forward_pre_hook(ModuleHook(self, model, "_start"), with_kwargs=True),
            model.register_forward_hook(ModuleHook(self, model, "_finish"), always_call=True),
        ]
        self._finalizer = weakref.finalize(self, _remove, self._handles)
        self.add(layers)

    @property
    def phase(self) -> Callable[[str], AbstractContextManager[Any]]:
        """A context that times the extra backward pass, named ``curvature_backward``."""
        return self._settings.phase

    @phase.setter
    def phase(self, context: Callable[[str], AbstractContextManager[Any]]) -> None:
        self._settings.phase = context

    @property
    def loss_scale(self) -> float:
        """See the attributes."""
        return self._settings.loss_scale

    @loss_scale.setter
    def loss_scale(self, scale: float) -> None:
        if scale != self._settings.loss_scale:
            self._settings.loss_scale = scale
            for reached in self._reached:
                reached.drop_blocks()

    @property
    def holds_gradients(self) -> bool:
        """Whether :meth:`take_gradients` has any."""
        return any(visit.deferred is not None for reached in self._reached for visit in reached.visits)

    @property
    def defer(self) -> bool:
        """See the argument; it may change between two steps."""
        return self._defer

    @defer.setter
    def defer(self, value: bool) -> None:
        self._defer = value
        for module in self.layers if value and not self._suspends else ():
            self._suspend(module)

    def _suspend(self, module: nn.Module) -> None:
        # Not before it is asked for: a hook takes a microsecond of every step.
        self._handles.append(module.register_forward_pre_hook(ModuleHook(self, module, "_enter")))
        self._suspends = True

    def add(self, layers: Mapping[nn.Module, Layer]) -> None:
        """Watch these layers too, or in place of those of the same modules."""
        for module in layers:
            if module in self.layers:
                continue
            # A model that is itself a layer is visited before its own closing hook runs.
            hook = ModuleHook(self, module, "_visit")
            self._handles.append(module.register_forward_hook(hook, with_kwargs=True, prepend=True, always_call=True))
            if self._defer:
                self._suspend(module)
        self.layers.update(layers)
        self._watch = Watch([parameter for layer in self.layers.values() for parameter in layer.parameters])

    def _start(self, module: nn.Module, arguments: Any, keywords: Mapping[str, Any]) -> None:
        self._abandon()
        # What a checkpoint computes again in a backward pass is part of a forward pass that was recorded, or, if the
        # checkpoint is re-entrant, of one that could not be.
        if not self.due or (_backward_pass() >= 0 and self._latest() is not None):
            return
        if any(p.counted for p in self._reached):
            if self._gradients_dropped():
                self.forget()
            elif not self._zeroed_late:
                return
        reason = _unfit(module, (*arguments, *keywords.values()))
        if reason:
            self._last_call = reason
        else:
            if (prepare := self.before_recording()) is not None:
                prepare()
            self._current = self._pass()
            self._began_with_gradients = self._has_gradients()

    def _pass(self) -> Pass:
        self._number += 1
        reached = _Reached(self)
        if self._fisher == "empirical":
            return EmpiricalPass(self._settings, reached, self._number)
        if self._fisher == "exact":
            return ExactPass(self._settings, reached, self._number)
        return SampledPass(self._settings, reached, self._number, (self._seed + self.taken * _STRIDE) % 2**63)

    def _has_gradients(self) -> bool:
        return any(p.grad is not None for layer in self.layers.values() for p in layer.parameters)

    def _gradients_dropped(self) -> bool:
        """Whether somebody else than the optimizer has set to None or zero what the recorded pass added."""
        if self._defer:
            return False
        gradients = [p.grad for layer in self.layers.values() for p in layer.parameters if p.grad is not None]
        return not any(bool(gradient.any()) for gradient in gradients)

    def _enter(self, module: nn.Module, arguments: Any) -> None:
        if not self._defer or self._current is None or not still_is(self.layers[module], module):
            return
        if not any(isinstance(one, Tensor) and _is_transformed(one) for one in arguments):
            self._suspended[module] = suspend(self.layers[module])

    def _visit(self, module: nn.Module, arguments: Any, keywords: Mapping[str, Any], output: Any) -> Tensor | None:
        if self._current is None and not self._suspended:
            return None
        suspended = self._suspended.pop(module, [])
        for parameter in suspended:
            parameter.requires_grad_(True)
        inputs = arguments[0] if arguments else keywords.get("input")
        # There is no output if the layer raised.
        if self._current is None or not isinstance(output, Tensor) or not still_is(self.layers[module], module):
            return None
        if not isinstance(inputs, Tensor) or _is_transformed(inputs):
            return None
        own = _own(output)
        watch = self._watch if suspended and torch.is_grad_enabled() else None
        self._current.visit(self.layers[module], inputs, own, watch)
        return own

    def changed(self) -> set[Layer]:
        """Layers whose modules compute something else by now, so that what their calls saw before is of no use."""
        return {layer for module, layer in self.layers.items() if not still_is(layer, module)}

    def _finish(self, module: nn.Module, arguments: Any, output: Any) -> Any:
        current, self._current = self._current, None
        self._watch.clear()
        if current is None or output is None:
            return None
        if not current.visits:
            self._last_call = "uncalled"
            return None
        self._last_call = "recorded"
        self._latest = weakref.ref(current)
        output = _own(output) if isinstance(output, Tensor) else output
        current.finish(output)
        return output

    def _reach(self, reached: Pass) -> None:
        """A backward pass went through a forward pass; one from before the last step is of no use any more."""
        if reached.number < self._oldest:
            return
        backward = _backward_pass()
        if backward != self._backward and reached.counted and not self._defer:
            # What was dropped between the forward and the backward pass, by somebody else than the optimizer.
            self._zeroed_late |= self._began_with_gradients and not self._has_gradients()
            others = [one for one in self._reached if one is not reached]
            if others and self._gradients_dropped():
                self._drop(others)
        self._backward = backward
        self._reached = [one for one in self._reached if one.counted and one is not reached] + [reached]

    def take(self) -> dict[Layer, FisherBlock]:
        """The blocks of the pass that counts, and none if there is none; they are handed out once.

        Deferred gradients that were not taken before are dropped.

        Raises:
            RuntimeError: what was recorded was overwritten since.
        """
        chosen = self._chosen()
        blocks = {} if chosen is None else chosen.blocks()
        if chosen is not None:
            self.unseen = set(chosen.unseen)
        if blocks:
            self.taken += 1
        for reached in self._reached:
            reached.clear()
        self.forget()
        self._last_call = ""
        self._oldest = self._number + 1
        self._latest = lambda: None
        self.loss_scale = 1.0
        return blocks

    def _chosen(self) -> Pass | None:
        counted = [reached for reached in self._reached if reached.counted]
        if counted:
            return min(counted, key=lambda reached: reached.number)
        return self._reached[-1] if self._reached else None

    def take_gradients(self) -> list[dict[Layer, DeferredGradient]]:
        """Of each pass whose gradients were deferred, what it would have added to ``grad`` by layer; handed out once.

        Raises:
            RuntimeError: what was recorded was overwritten since.
        """
        found = [reached.gradients() for reached in self._reached]
        return [gradients for gradients in found if gradients]

    def forget(self) -> None:
        """What ``zero_grad`` means: no backward pass has been. A later one through the same forward pass counts."""
        self._abandon()
        waiting = self._latest()
        # A loop that has gradients dropped between the forward and the backward pass may leave a step out. Then the
        # next forward pass comes while those of the one before are still there.
        self._zeroed_late |= waiting is not None and waiting not in self._reached
        self._drop(self._reached)
        self._reached.clear()

    def _drop(self, passes: Iterable[Pass]) -> None:
        for one in passes:
            one.drop_gradients()

    def _abandon(self) -> None:
        """The forward pass that is going on has raised, or has none that waits for it."""
        self._current = None
        self._watch.clear()

    def explain(self) -> str:
        """Why :meth:`take` has nothing."""
        names = ", ".join(repr(layer.name) for layer in self.layers.values())
        if not self._last_call:
            return (
                "no forward pass of the model was seen: call the model itself before step(); one that torch.compile"
                " compiled and that ran before the optimizer was made needs torch.compiler.reset()"
            )
        return {
            "evaluation": "the model was called in evaluation mode, which does not count: call model.train() first",
            "no gradients": "the model was called without gradients: call the model itself, with gradients enabled",
            "empty": "the model was called on a batch without examples",
            "traced": "the model was called by a tracer or a compiler alone: call the model itself",
            "uncalled": f"the model called none of its layers ({names}) as a module, with gradients and with its own"
            " weights; a weight that torch.nn.functional is given is not seen",
            "recorded": "no backward pass through a forward pass of the model that was recorded reached a layer"
            f" ({names}): call backward() before step()",
        }[self._last_call]

    def state_dict(self) -> dict[str, Any]:
        """The seed, and how many batches were taken: what the next targets follow from."""
        return {"seed": self._seed, "taken": self.taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the sequence of drawn targets where ``state`` left it."""
        self.forget()
        self._seed, self.taken = state["seed"], state["taken"]

    def remove(self) -> None:
        """Detach from the model."""
        self._finalizer()


class _Reached:
    """Tells a capture of a backward pass through a forward pass, whose graph holds it."""

    def __init__(self, capture: Capture) -> None:
        self._capture = weakref.ref(capture)

    def __call__(self, reached: Pass) -> None:
        if (capture := self._capture()) is not None:
            capture._reach(reached)


def _own(output: Tensor) -> Tensor:
    # Who overwrites a view, such as the output of a linear layer at several positions, in place replaces the view's
    # node in the graph, and what waits there for the derivative never gets it.
    return output.clone() if output._is_view() else output


def _unfit(model: nn.Module, arguments: Iterable[Any]) -> str:
    """Why a forward pass that begins now does not count, if it does not."""
    if not torch.is_grad_enabled():
        return "no gradients"
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return "traced"
    if any(isinstance(one, Tensor) and one.ndim and not len(one) for one in arguments):
        return "empty"
    return "" if model.training else "evaluation"


def _backward_pass() -> int:
    """The number of the backward pass that is running, or -1; torch's own hooks on several gradients ask the same."""
    return int(torch._C._current_graph_task_id())


def _is_transformed(tensor: Tensor) -> bool:
    """Whether ``torch.func`` differentiates or batches by it; there is no public way to ask."""
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def _remove(handles: Iterable[Any]) -> None:
    for handle in handles:
        handle.remove()
