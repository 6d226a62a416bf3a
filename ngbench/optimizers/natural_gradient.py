"""Natural-gradient descent as a ``torch.optim.Optimizer``: a drop-in, given a model, a likelihood and a curvature."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

import torch
from torch import Tensor, nn

from ngbench.curvature.bounds import Fraction, Interval, NonNegative, Positive, PositiveShare, Seed, checked
from ngbench.curvature.capture import Capture, FisherKind
from ngbench.curvature.capture.deferred import DeferredGradient
from ngbench.curvature.curvatures.base import Curvature
from ngbench.curvature.curvatures.exact import refuse_workers
from ngbench.curvature.layers import Layer
from ngbench.curvature.likelihoods import Likelihood
from ngbench.curvature.linalg.precision import statistics_dtype
from ngbench.measurement.phases import PhaseContext, no_phase
from ngbench.optimizers import states
from ngbench.optimizers.coverage import Coverage
from ngbench.optimizers.groups import SHARED, SharedGroups
from ngbench.optimizers.kernels import fused_sgd_is_right
from ngbench.optimizers.scaling import forget_scale, undo_scale
from ngbench.plugins.protocol import LayerShape

__all__ = ["NaturalGradient"]


class NaturalGradient(SharedGroups):
    """Natural-gradient descent with momentum, on top of any :class:`~ngbench.curvature.curvatures.base.Curvature`.

    It is used like any optimizer::

        optimizer = NaturalGradient(model, likelihood, make_curvature, lr=0.1)
        for inputs, targets in batches:
            optimizer.zero_grad()
            likelihood.loss(model(inputs), targets).backward()
            optimizer.step()

    When a curvature estimate is due, hooks on ``model`` record its forward passes and, unless the Fisher matrix is
    empirical, run a second backward pass for the derivatives at the layers' outputs. So ``model`` itself must be
    called, in training mode and with gradients, and must return the one tensor that ``likelihood`` takes. The curvature
    is estimated on the first forward pass whose backward pass added to the gradient; several before a ``step``
    (gradient accumulation) add up in the gradient as usual. What ``zero_grad`` drops counts nowhere, and a step that
    raises leaves parameters, averages and state as they were.

    Layers are found again before each estimate: one that is unfrozen or added later has a curvature from then on. A
    copy of the model has no part in the optimizer. The optimizer itself cannot be copied or pickled: make another one,
    and load :meth:`state_dict`.

    A step with learning rate α, momentum β and weight decay η moves the parameters by ``−α v``, where
    ``v ← β v + (ν F̂⁻¹∇h + η θ)``. Parameters without a curvature (batch norm, embeddings, layers that were not called)
    take their plain gradient, and are named once: in a warning, in :attr:`without_curvature` and in
    :meth:`diagnostics`. ``ν = min(1, √(c / Σ_i |⟨F̂⁻¹∇h, ∇h⟩_i|))`` is the KL clipping of 3.E, the sum running
    over the layers. Weight decay is not preconditioned (the first of the two readings in Zhang et al., *Three
    mechanisms of weight decay regularization*, 2019, would add it to ∇h).

    ``lr``, ``momentum`` and ``weight_decay`` of each parameter group, and in all groups alike ``kl_clip``, the two
    intervals, ``damping`` and what else the curvature lets change, are hyper-parameters that schedulers and loops may
    set between steps (``for group in optimizer.param_groups: group["damping"] *= 0.9``). A damping counts from the next
    inversion on. :meth:`precondition` is for other optimizers to make the step.

    Args:
        model: the model.
        likelihood: the predictive distribution of the model's outputs.
        curvature: from the layers found in the model to the curvature.
        params: parameters or parameter groups to train, as for any optimizer; all of the model's by default. Each
            group may have its own ``lr``, ``momentum`` and ``weight_decay``.
        lr: learning rate α > 0.
        momentum: β in [0, 1).
        weight_decay: η ≥ 0.
        kl_clip: c > 0, or None for no clipping.
        fisher: whose targets the derivatives are taken at: ``"sampled"``, ``"empirical"`` or ``"exact"``.
        curvature_interval: T₁, steps between estimates of the curvature, or ``"once"`` for the first step alone.
        inverse_interval: T₂, steps between inversions, or ``"once"``.
        curvature_fraction: the part of the batch that the curvature sees, in (0, 1].
        gradient_scale: what the loss is multiplied with before ``backward``; see
            :class:`~ngbench.curvature.capture.Capture`. The scale of a ``torch.amp.GradScaler`` is found without it.
        defer_gradients: whether to leave the gradients of the layers' weights unformed where the curvature is estimated
            on the same batch: ``backward`` then takes a third less, and the curvature makes its step from what it
            recorded. The step is the same. What stands between ``backward`` and ``step`` finds no ``grad`` of these
            parameters, as if they had no part in the loss: call :meth:`form_gradients` before gradients are read or
            changed (clipped, scaled), and :meth:`zero_grad` of the optimizer, not of the model, to drop them. KL
            clipping, which needs them, has them formed anyway. Not for losses that contain derivatives of the model,
            nor for activation checkpointing.
        seed: of the targets drawn for the sampled Fisher matrix; by default one that torch's global generator gives.

    Attributes:
        phase: names the phases of a step for whoever measures them.
        refreshed: whether the last step estimated or inverted the curvature.
        curvature: the curvature.
        can_defer: whether a loop in which nobody looks at gradients between ``backward`` and ``step`` may set
            :attr:`defer_gradients`; for whoever runs the loop to ask.

    Raises:
        ValueError: an argument is out of range, or the model has no layer that the curvature knows.
    """

    _detached = False

    @checked
    def __init__(
        self,
        model: nn.Module,
        likelihood: Likelihood,
        curvature: Callable[[Mapping[nn.Module, Layer]], Curvature],
        *,
        params: Iterable[Any] | None = None,
        lr: Positive = 0.01,
        momentum: Fraction = 0.9,
        weight_decay: NonNegative = 0.0,
        kl_clip: Positive | None = None,
        fisher: FisherKind = "sampled",
        curvature_interval: Interval = 1,
        inverse_interval: Interval = 1,
        curvature_fraction: PositiveShare = 1.0,
        gradient_scale: Positive = 1.0,
        defer_gradients: bool = False,
        seed: Seed | None = None,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(model.parameters() if params is None else params, defaults)
        for parameter in self._trained():
            # Asked before the first step, so that the question is no part of what a step costs.
            fused_sgd_is_right(parameter.device.type, parameter.dtype)
        self._coverage = Coverage(model)
        layers = self._coverage.find(self._trained())
        intervals = {"curvature_interval": curvature_interval, "inverse_interval": inverse_interval}
        self._share({"kl_clip": kl_clip, **intervals})
        self.curvature = curvature(layers)
        # Whoever reads an optimizer by its ``state`` finds one, and makes none by a step of its own.
        self.state.update({parameter: {} for parameter in self._trained()})
        self.refreshed = False
        self.can_defer = False
        self._empirical = fisher == "empirical"
        self._phase: PhaseContext = no_phase
        self._steps = 0
        self._capture = Capture(
            model,
            layers,
            likelihood,
            fisher=fisher,
            fraction=curvature_fraction,
            gradient_scale=gradient_scale,
            defer=defer_gradients and kl_clip is None,
            seed=int(torch.randint(2**62, ())) if seed is None else seed,
        )
        self._capture.before_recording = weakref.WeakMethod(self._find_new_layers)
        self._capture.due = True

    @property
    def covered_layers(self) -> list[Layer]:
        """The layers with a Fisher block, in the order of the model's modules."""
        return list(self._capture.layers.values())

    @property
    def without_curvature(self) -> dict[str, str]:
        """The parameters that the last step moved along their plain gradient, by name, and why."""
        return dict(self._coverage.without)

    @property
    def defer_gradients(self) -> bool:
        """See the argument; it may be set between two steps."""
        return self._capture.defer

    @defer_gradients.setter
    def defer_gradients(self, defer: bool) -> None:
        self._capture.defer = defer and self.kl_clip is None

    def detach(self) -> None:
        """Take all hooks off the model, for tools that cannot do with them; no step can be made after it."""
        self._capture.remove()
        self._detached = True

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError(
            f"a {type(self).__name__} cannot be copied or pickled, since it is tied to its model: make another one of"
            " the copy of the model, and load state_dict()"
        )

    @property
    def phase(self) -> PhaseContext:
        """The context that each phase of a step runs in; see :mod:`ngbench.measurement.phases`."""
        return self._phase

    @phase.setter
    def phase(self, context: PhaseContext) -> None:
        self._phase = self._capture.phase = context

    @property
    def curvature(self) -> Curvature:
        """What preconditions; its hyper-parameters are in the parameter groups."""
        return self._curvature

    @curvature.setter
    def curvature(self, curvature: Curvature) -> None:
        self._curvature = curvature
        self._share(curvature.hyperparameters())

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As for any optimizer; what was recorded for the gradients that are dropped is dropped too."""
        # An interval may have changed since the last step.
        self._capture.due = _is_due(self._steps, self.curvature_interval)
        self._capture.forget()
        super().zero_grad(set_to_none)

    @torch.no_grad()
    def form_gradients(self) -> None:
        """Add the gradients that ``backward`` left unformed to ``grad``, where there are any."""
        for deferred in self._capture.take_gradients():
            self._form(deferred)

    def _form(self, deferred: Mapping[Layer, DeferredGradient]) -> None:
        for layer, gradient in deferred.items():
            for parameter, part in zip(layer.parameters, layer.split(gradient.form()), strict=True):
                part = part.to(parameter.dtype)
                parameter.grad = part.contiguous() if parameter.grad is None else parameter.grad + part

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step.

        Args:
            closure: re-evaluates the model and returns the loss, as for any optimizer.

        Raises:
            RuntimeError: there is no curvature yet, because no forward pass counted; what was recorded was overwritten;
                a gradient scaler left no way to know the scale of the loss; or the hooks were taken off.
            FloatingPointError: the curvature contains NaN or infinite values.
            ArithmeticError: the damped curvature is not positive definite in its precision.
            ValueError: a hyper-parameter in the parameter groups is out of range.
        """
        loss = None
        if self._detached:
            raise RuntimeError("the hooks of this optimizer were taken off the model by detach(): make another one")
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        directions = self._natural_gradients()
        if directions is None:
            return loss
        self._note_coverage(directions)
        with self._phase("update"):
            self._update(directions)
        self._advance()
        return loss

    @torch.no_grad()
    def precondition(self) -> None:
        """Replace the gradients of the layers' parameters by natural gradients, for another optimizer to step with.

        It stands in the place of :meth:`step`, and counts as one for the intervals::

            natural.zero_grad()
            likelihood.loss(model(inputs), targets).backward()
            natural.precondition()
            adam.step()

        Learning rate, momentum and weight decay are those of the other optimizer; KL clipping is this one's. Parameters
        outside the layers keep their gradients. A gradient scaler does not tell its scale here: have it ``unscale_``
        the other optimizer's gradients first where there is KL clipping, and give an empirical Fisher matrix no scaled
        loss.

        Raises:
            RuntimeError, FloatingPointError, ArithmeticError, ValueError: as for :meth:`step`.
        """
        directions = self._natural_gradients() or {}
        self._note_coverage(directions)
        for parameter, direction in directions.items():
            if parameter.grad is None:
                parameter.grad = direction.contiguous()
            else:
                parameter.grad.copy_(direction)
        self._advance()

    def _natural_gradients(self) -> dict[Tensor, Tensor] | None:
        """F̂⁻¹∇h of each parameter of a layer, after what is due of the curvature; all or nothing.

        Returns:
            None where a gradient scaler found gradients that are not finite, so that there must be no step.
        """
        # All of them before anything is taken or changed.
        settings = {name: self._shared(name) for name in (*SHARED, *self.curvature.hyperparameters())}
        curvature, taken = self.curvature.held(), self._capture.taken
        try:
            if undo_scale(self, self._capture, empirical=self._empirical):
                self._capture.forget()
                return None
            return self._find_directions(settings)
        except Exception:
            self.curvature.put_back(curvature)
            self._capture.taken = taken
            forget_scale(self)
            raise

    def _find_directions(self, settings: Mapping[str, Any]) -> dict[Tensor, Tensor]:
        inverse_due = _is_due(self._steps, settings["inverse_interval"])
        if inverse_due:
            self.curvature.set_hyperparameters({name: settings[name] for name in self.curvature.hyperparameters()})
        deferred = self._capture.take_gradients()
        formed = (parameter.grad is not None for layer in self.covered_layers for parameter in layer.parameters)
        if deferred and (len(deferred) > 1 or settings["kl_clip"] is not None or any(formed)):
            # Of a sum of several gradients, not all of which were deferred, only the sum is of use.
            for gradients in deferred:
                self._form(gradients)
            deferred = []
        self._estimate(inverse_due)
        with self._phase("precondition"):
            return self._directions_deferred(deferred[0]) if deferred else self._directions()

    def _advance(self) -> None:
        self._steps += 1
        self._capture.due = _is_due(self._steps, self.curvature_interval)

    def _estimate(self, inverse_due: bool) -> None:
        why = self._capture.explain() if self._capture.due else ""
        blocks = self._capture.take()
        if blocks:
            with self._phase("accumulate"):
                self.curvature.accumulate(blocks)
            self._coverage.note_blocks(blocks, self.curvature)
        elif not self._steps:
            raise RuntimeError(f"no curvature yet: {why}")
        elif why:
            self._coverage.note_missed(why)
        if inverse_due:
            with self._phase("refresh"):
                self.curvature.refresh()
        self.refreshed = bool(blocks) or inverse_due

    @property
    def _step_supports_amp_scaling(self) -> bool:
        # What torch.amp.GradScaler asks before it hands over its scale with the step, instead of dividing by it.
        return self._empirical or self._capture.defer

    def _find_new_layers(self) -> None:
        self._capture.add(self._coverage.find_new(self._trained(), self._capture.layers))

    def _note_coverage(self, directions: Mapping[Tensor, Tensor]) -> None:
        plain = [p for p in self._trained() if p.grad is not None and p not in directions]
        self._coverage.note(plain, self.covered_layers, self._capture.unseen, self._capture.changed())

    def _directions(self) -> dict[Tensor, Tensor]:
        changed = self._capture.changed()
        # Curvature is held in at least float32, whatever the type of the weights.
        gradients = {
            layer: gradient.to(statistics_dtype(gradient.dtype))
            for layer in self.covered_layers
            if (gradient := layer.gradient()) is not None and layer not in changed
        }
        natural = self.curvature.precondition(gradients)
        kl_clip = self.kl_clip
        if kl_clip is not None and natural:
            # ⟨F̂⁻¹∇h, ∇h⟩ stays on the device: a step never waits for it.
            products = [torch.dot(natural[layer].flatten(), gradients[layer].flatten()).abs() for layer in natural]
            scale = (kl_clip / torch.stack(products).sum()).sqrt().clamp(max=1)
            if scale.device.type != "cpu" or scale < 1:
                natural = {layer: matrix.mul_(scale) for layer, matrix in natural.items()}
        # A bias that was frozen after the optimizer was made has no gradient, and stays.
        return {
            parameter: direction.to(parameter.dtype)
            for layer, matrix in natural.items()
            for parameter, direction in zip(layer.parameters, layer.split(matrix), strict=True)
            if parameter.grad is not None
        }

    def _directions_deferred(self, deferred: Mapping[Layer, DeferredGradient]) -> dict[Tensor, Tensor]:
        refuse_workers("defer_gradients=True")
        natural = self.curvature.precondition_deferred(deferred)
        directions = {
            parameter: direction
            for layer, parts in natural.items()
            for parameter, direction in zip(layer.parameters, parts, strict=True)
            if parameter.requires_grad
        }
        self._form({layer: gradient for layer, gradient in deferred.items() if layer not in natural})
        return directions

    @property
    def diagnose(self) -> bool:
        """Whether diagnostics may cost products that the step has no use for; to be set before the first batch."""
        return self.curvature.diagnose

    @diagnose.setter
    def diagnose(self, diagnose: bool) -> None:
        self.curvature.diagnose = diagnose

    def layers(self) -> list[LayerShape]:
        """The layers that a curvature was estimated of, as :class:`~ngbench.plugins.protocol.Measured` has them."""
        return self._coverage.shapes(self.covered_layers)

    def diagnostics(self) -> dict[str, float]:
        """Numbers about the last step that belong in a record.

        Those of the curvature, and ``without_curvature/NAME`` = 1 of a parameter that took its plain gradient for the
        first time.
        """
        return {**self.curvature.diagnostics(), **{f"without_curvature/{n}": 1.0 for n in self._coverage.fresh}}

    def state_dict(self) -> dict[str, Any]:
        """As for any optimizer; the curvature's state is with that of the first layer's weight."""
        for group in self.param_groups:
            # Zeros that the first step would make: a state has the same entries before it as afterwards.
            self._momentum_buffers([one for one in group["params"] if one.requires_grad], group["momentum"])
        own = {
            "version": states.VERSION,
            "steps": self._steps,
            "kind": self.curvature.kind,
            "layers": {layer.name: states.described(layer) for layer in self.covered_layers},
            "curvature": self.curvature.state_dict(),
            "capture": self._capture.state_dict(),
            "named": sorted(self._coverage.named),
        }
        return states.joined(super().state_dict(), self._position_of_state(), own)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict` of an optimizer of the same model and curvature, in any type or device.

        Hyper-parameters are the state's, as for any optimizer.

        Raises:
            ValueError: the state is another optimizer's, or of another model; nothing is changed.
        """
        with states.whole():
            plain, own = states.separated(state_dict)
            states.check_parameters(plain, self.param_groups, self.defaults)
            states.check_curvature(own, self.curvature.kind, self.covered_layers, self._capture.state_dict())
            self.curvature.load_state_dict(states.in_types_of(self.covered_layers, own))
        self._capture.load_state_dict(own["capture"])
        super().load_state_dict(plain)
        self._steps = own["steps"]
        self._coverage.named = set(own["named"])
        self._capture.due = _is_due(self._steps, self.curvature_interval)

    def _position_of_state(self) -> int:
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        return next(i for i, parameter in enumerate(parameters) if parameter is self.covered_layers[0].weight)


def _is_due(step: int, interval: Interval) -> bool:
    return step == 0 if interval == "once" else step % int(interval) == 0
