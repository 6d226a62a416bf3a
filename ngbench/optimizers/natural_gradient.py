"""Natural-gradient descent as a ``torch.optim.Optimizer``: a drop-in, given a model, a likelihood and a curvature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast, overload

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.optim import Optimizer
from torch.optim.sgd import sgd

from ngbench.curvature.bounds import Fraction, Interval, NonNegative, Positive, PositiveShare, Seed, check, checked
from ngbench.curvature.capture import Capture, FisherKind
from ngbench.curvature.curvatures import Curvature
from ngbench.curvature.deferred import DeferredGradient
from ngbench.curvature.exact import refuse_workers
from ngbench.curvature.layers import Layer, find_layers
from ngbench.curvature.likelihoods import Likelihood
from ngbench.curvature.precision import statistics_dtype
from ngbench.measurement.phases import PhaseContext, no_phase
from ngbench.optimizers import states
from ngbench.optimizers.kernels import fused_sgd_is_right

__all__ = ["NaturalGradient"]


class NaturalGradient(Optimizer):
    """Natural-gradient descent with momentum, on top of any :class:`~ngbench.curvature.curvatures.Curvature`.

    It is used like any optimizer::

        optimizer = NaturalGradient(model, likelihood, make_curvature, lr=0.1)
        for inputs, targets in batches:
            optimizer.zero_grad()
            likelihood.loss(model(inputs), targets).backward()
            optimizer.step()

    When a curvature estimate is due, hooks on ``model`` record that forward pass and, unless the Fisher matrix is
    empirical, run a second backward pass for the derivatives at the layers' outputs. So ``model`` itself must be
    called, with gradients enabled, and must return the one tensor that ``likelihood`` takes. Several forward passes
    before a ``step`` (gradient accumulation) add up in the gradient as usual; the curvature is estimated on the first.

    A step with learning rate α, momentum β and weight decay η moves the parameters by ``−α v``, where
    ``v ← β v + (ν F̂⁻¹∇h + η θ)``. Parameters outside the layers that the curvature knows (batch norm, embeddings)
    take their plain gradient. ``ν = min(1, √(c / Σ_i |⟨F̂⁻¹∇h, ∇h⟩_i|))`` is the KL clipping of 3.E, the sum running
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
            :class:`~ngbench.curvature.capture.Capture`.
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

    Raises:
        ValueError: an argument is out of range, or the model has no layer that the curvature knows.
    """

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
        trained = [parameter for group in self.param_groups for parameter in group["params"]]
        for parameter in trained:
            # Asked before the first step, so that the question is no part of what a step costs.
            fused_sgd_is_right(parameter.device.type, parameter.dtype)
        found = find_layers(model, trained)
        if not found:
            raise ValueError(f"{type(model).__name__} has no trained layer that a natural gradient knows")
        self.layers = list(found.values())
        intervals = {"curvature_interval": curvature_interval, "inverse_interval": inverse_interval}
        self._share({"kl_clip": kl_clip, **intervals})
        self.curvature = curvature(found)
        # Whoever reads an optimizer by its ``state`` finds one, and makes none by a step of its own.
        self.state.update({parameter: {} for parameter in trained})
        self.refreshed = False
        self._phase: PhaseContext = no_phase
        self._steps = 0
        self._capture = Capture(
            model,
            found,
            likelihood,
            fisher=fisher,
            fraction=curvature_fraction,
            gradient_scale=gradient_scale,
            defer=defer_gradients and kl_clip is None,
            seed=int(torch.randint(2**62, ())) if seed is None else seed,
        )
        self._capture.due = True

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

    @property
    def kl_clip(self) -> float | None:
        """c of the KL clipping, as the parameter groups have it."""
        return cast("float | None", self._shared("kl_clip"))

    @property
    def curvature_interval(self) -> Interval:
        """T₁, as the parameter groups have it."""
        return cast("Interval", self._shared("curvature_interval"))

    @property
    def inverse_interval(self) -> Interval:
        """T₂, as the parameter groups have it."""
        return cast("Interval", self._shared("inverse_interval"))

    def _share(self, values: Mapping[str, Any]) -> None:
        """Put hyper-parameters of the whole optimizer into every group that has no value of its own."""
        self.defaults.update(values)
        for group in self.param_groups:
            for name, value in values.items():
                group.setdefault(name, value)

    def _shared(self, name: str) -> Any:
        value, *others = [group[name] for group in self.param_groups]
        if any(other != value for other in others):
            shown = ", ".join(str(one) for one in (value, *others))
            raise ValueError(f"{name} differs between parameter groups ({shown}), it must be the same in all of them")
        if name in _SHARED:
            check(name, value, _SHARED[name])
        return value

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As for any optimizer; what all groups share is by default what the first one has.

        Raises:
            ValueError: a hyper-parameter of the group is out of range.
        """
        for name, annotation in _OF_A_GROUP.items():
            if name in param_group:
                check(name, param_group[name], annotation)
        if self.param_groups:
            first = self.param_groups[0]
            shared = {key: first[key] for key in self.defaults if key not in _OF_A_GROUP and key in first}
            param_group = {**shared, **param_group}
        super().add_param_group(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As for any optimizer; deferred gradients are dropped."""
        # An interval may have changed since the last step.
        self._capture.due = _is_due(self._steps, self.curvature_interval)
        self._capture.drop_gradients()
        super().zero_grad(set_to_none)

    @torch.no_grad()
    def form_gradients(self) -> None:
        """Add the gradients that ``backward`` left unformed to ``grad``, where there are any."""
        self._form(self._capture.take_gradients())

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
            RuntimeError: there is no curvature yet, because the model was not called with gradients enabled.
            FloatingPointError: the curvature contains NaN or infinite values.
            ArithmeticError: the damped curvature is not positive definite in its precision.
            ValueError: a hyper-parameter in the parameter groups is out of range.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        directions = self._natural_gradients()
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
        outside the layers keep their gradients.

        Raises:
            RuntimeError, FloatingPointError, ArithmeticError, ValueError: as for :meth:`step`.
        """
        for parameter, direction in self._natural_gradients().items():
            if parameter.grad is None:
                parameter.grad = direction.contiguous()
            else:
                parameter.grad.copy_(direction)
        self._advance()

    def _natural_gradients(self) -> dict[Tensor, Tensor]:
        """F̂⁻¹∇h of each parameter of a layer, after what is due of the curvature."""
        # All of them before anything is taken or changed.
        settings = {name: self._shared(name) for name in (*_SHARED, *self.curvature.hyperparameters())}
        inverse_due = _is_due(self._steps, settings["inverse_interval"])
        if inverse_due:
            self.curvature.set_hyperparameters({name: settings[name] for name in self.curvature.hyperparameters()})
        deferred = self._capture.take_gradients()
        formed = (parameter.grad is not None for layer in self.layers for parameter in layer.parameters)
        if deferred and (settings["kl_clip"] is not None or any(formed)):
            # Of a sum of several gradients, not all of which were deferred, only the sum is of use.
            self._form(deferred)
            deferred = {}
        self._estimate(inverse_due)
        with self._phase("precondition"):
            return self._directions_deferred(deferred) if deferred else self._directions()

    def _advance(self) -> None:
        self._steps += 1
        self._capture.due = _is_due(self._steps, self.curvature_interval)

    def _estimate(self, inverse_due: bool) -> None:
        blocks = self._capture.take()
        if blocks:
            with self._phase("accumulate"):
                self.curvature.accumulate(blocks)
        elif self._steps == 0:
            raise RuntimeError("no curvature yet: call the model itself, with gradients enabled, before step()")
        if inverse_due:
            with self._phase("refresh"):
                self.curvature.refresh()
        self.refreshed = bool(blocks) or inverse_due

    def _directions(self) -> dict[Tensor, Tensor]:
        # Curvature is held in at least float32, whatever the type of the weights.
        gradients = {
            layer: gradient.to(statistics_dtype(gradient.dtype))
            for layer in self.layers
            if (gradient := layer.gradient()) is not None
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

    def _update(self, directions: Mapping[Tensor, Tensor]) -> None:
        for group in self.param_groups:
            found = [
                (parameter, move)
                for parameter in group["params"]
                if (move := directions.get(parameter, parameter.grad)) is not None
            ]
            if not found:
                continue
            parameters = [parameter for parameter, _ in found]
            moves = [move for _, move in found]
            # The fused kernel has the least memory traffic, and takes all tensors for contiguous.
            fused = all(t.is_contiguous() and fused_sgd_is_right(t.device.type, t.dtype) for t in (*parameters, *moves))
            sgd(
                parameters,
                moves,
                self._momentum_buffers(parameters, group["momentum"]),
                fused=fused,
                foreach=not fused,
                weight_decay=group["weight_decay"],
                momentum=group["momentum"],
                lr=group["lr"],
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
            # The fused kernel does not tell autograd that it wrote to them.
            increment_version(parameters)

    def _momentum_buffers(self, parameters: list[Tensor], momentum: float) -> list[Tensor | None]:
        if not momentum:
            return [None] * len(parameters)
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return [self.state[parameter]["momentum_buffer"] for parameter in parameters]

    def layer_shapes(self) -> list[dict[str, Any]]:
        """``name``, ``d_in``, ``d_out`` and, once known, ``positions`` of each layer, as a record holds them."""
        positions: Mapping[str, int] = getattr(self.curvature, "positions", {})
        return [
            {
                "name": layer.name,
                "d_in": layer.d_in,
                "d_out": layer.d_out,
                "positions": positions.get(layer.name, 1),
            }
            for layer in self.layers
        ]

    def diagnostics(self) -> dict[str, float]:
        """Numbers about the last step that belong in a record."""
        return self.curvature.diagnostics()

    def state_dict(self) -> dict[str, Any]:
        """As for any optimizer; the curvature's state is with that of the first layer's weight."""
        for group in self.param_groups:
            # Zeros that the first step would make: a state has the same entries before it as afterwards.
            self._momentum_buffers([one for one in group["params"] if one.requires_grad], group["momentum"])
        own = {
            "version": states.VERSION,
            "steps": self._steps,
            "kind": self.curvature.kind,
            "layers": {layer.name: states.described(layer) for layer in self.layers},
            "curvature": self.curvature.state_dict(),
            "capture": self._capture.state_dict(),
        }
        return states.joined(super().state_dict(), self._position_of_state(), own)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict` of an optimizer of the same model and curvature, in any type or device.

        Hyper-parameters are the state's, as for any optimizer.

        Raises:
            ValueError: the state is another optimizer's, or of another model; nothing is changed.
        """
        plain, own = states.separated(state_dict)
        states.check_parameters(plain, self.param_groups, self.defaults)
        states.check_curvature(own, self.curvature.kind, self.layers, self._capture.state_dict())
        try:
            self.curvature.load_state_dict(states.in_types_of(self.layers, own))
        except (AttributeError, LookupError, TypeError, RuntimeError, ValueError) as error:
            raise ValueError(f"the state of the curvature does not fit: {type(error).__name__}: {error}") from error
        self._capture.load_state_dict(own["capture"], self.layers[0].weight.device)
        super().load_state_dict(plain)
        self._steps = own["steps"]
        self._capture.due = _is_due(self._steps, self.curvature_interval)

    def _position_of_state(self) -> int:
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        return next(i for i, parameter in enumerate(parameters) if parameter is self.layers[0].weight)


# Hyper-parameters that each group may have for itself, and those of the whole optimizer.
_OF_A_GROUP = {"lr": NonNegative, "momentum": Fraction, "weight_decay": NonNegative}
_SHARED = {"kl_clip": Positive | None, "curvature_interval": Interval, "inverse_interval": Interval}


def _is_due(step: int, interval: Interval) -> bool:
    return step == 0 if interval == "once" else step % int(interval) == 0
