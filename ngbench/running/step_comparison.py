"""How far the steps of a run are from the exact natural-gradient step, measured beside the run and off its clock."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ngbench.curvature.capture import Capture
from ngbench.curvature.curvatures.step_distance import compare_with_exact
from ngbench.curvature.layers import Layer, find_layers
from ngbench.running.initial import initial_model
from ngbench.running.problem import Problem
from ngbench.running.randomness import isolated

__all__ = ["StepComparer"]


class StepComparer:
    """Compares the move of the parameters in a step with ``(F + λI)⁻¹∇h`` at the parameters before it.

    It works on a replica of the model, so that neither hooks nor buffers nor random numbers of the run are touched.
    The move is taken relative to the learning rate of the first parameter group, and over the layers that have a
    Fisher block.

    Args:
        problem: the task and its data.
        model: the model that is trained.
        optimizer: what trains it.
        damping: λ > 0 of the exact step.
        seed: of the sampled targets.
    """

    def __init__(
        self,
        problem: Problem,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        damping: float,
        seed: int,
    ) -> None:
        parameter = next(model.parameters())
        self._likelihood = problem.task.likelihood
        self._model = model
        self._optimizer = optimizer
        self._damping = damping
        self._replica = initial_model(problem, seed, parameter.device, parameter.dtype)
        self._layers = find_layers(self._replica)
        self._capture = Capture(self._replica, self._layers, self._likelihood, seed=seed)

    def before(self) -> None:
        """Remember the parameters; to be called before the step."""
        self._replica.load_state_dict(self._model.state_dict())

    def after(self, inputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Compare the step that was taken on a batch.

        Returns:
            ``exact_angle`` in degrees and ``exact_distance``, the distance to the exact step relative to its length;
            without what is no number, and empty where the exact step has too many unknowns.
        """
        self._replica.train()
        self._replica.zero_grad()
        self._capture.due = True
        with isolated(inputs.device):
            with self._likelihood.given(targets):
                outputs = self._replica(inputs)
            self._likelihood.loss(outputs, targets).backward()  # type: ignore[no-untyped-call]
        blocks = self._capture.take()
        gradients = {layer: gradient for layer in blocks if (gradient := layer.gradient()) is not None}
        try:
            found = compare_with_exact(
                {layer: blocks[layer] for layer in gradients}, gradients, self._steps(), self._damping
            )
        except (FloatingPointError, ValueError):
            return {}
        numbers = {"exact_angle": math.degrees(found.angle), "exact_distance": found.distance}
        return {name: value for name, value in numbers.items() if math.isfinite(value)}

    @torch.no_grad()
    def _steps(self) -> dict[Layer, Tensor]:
        rate = float(self._optimizer.param_groups[0]["lr"])
        trained = {layer.name: layer for layer in find_layers(self._model).values()}
        steps = {}
        for layer in self._layers.values():
            moved = [
                (before - now) / rate
                for before, now in zip(layer.parameters, trained[layer.name].parameters, strict=True)
            ]
            steps[layer] = layer.join(moved[0], moved[1] if len(moved) > 1 else None)
        return steps
