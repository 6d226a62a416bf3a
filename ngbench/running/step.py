"""One training step: the plain loop that every optimizer runs in, with a mark at each change of phase."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ngbench.errors import PluginError
from ngbench.measurement.recorder import StepRecorder
from ngbench.plugins.protocol import measured
from ngbench.running.problem import DeviceData, Problem

__all__ = ["TrainingStep"]


class TrainingStep:
    """Zero the gradient, forward, loss, backward, step, on one batch.

    What the optimizer tells of a step (:class:`~ngbench.plugins.protocol.Measured`) is recorded: its own phases or,
    if it names none, one called ``step``. Nobody looks at gradients here, and it is told so.

    Args:
        problem: gives the likelihood and the augmentation.
        data: what the batches are taken from.
        model: in training mode.
        optimizer: on the model's parameters.
        recorder: is told of steps and phases.
        average: of the model's weights, with the update a part of the step.
        keep_outputs: whether the model's outputs are wanted after the step.

    Attributes:
        batch: inputs and targets of the last step. They are let go once the next ones are there, as in a plain loop:
            memory that is given back between steps costs page faults in each.
        outputs: of the model in the last step, before the update, without gradient; ``None`` unless they are kept.
    """

    def __init__(
        self,
        problem: Problem,
        data: DeviceData,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        recorder: StepRecorder[Any],
        *,
        average: AveragedModel | None = None,
        keep_outputs: bool = False,
    ) -> None:
        self._average = average
        self._likelihood = problem.task.likelihood
        self._augment = problem.data.augment
        self._inputs = data.train_inputs
        self._targets = data.train_targets
        self._model = model
        self._optimizer = optimizer
        self._recorder = recorder
        self._measured = measured(optimizer)
        self._update_phase = None if self._measured.names_phases else "step"
        self._keeps_outputs = keep_outputs
        self.batch: tuple[Tensor, Tensor] | None = None
        self.outputs: Tensor | None = None
        self._measured.leave_gradients_unread()
        self._measured.report_to(recorder)
        self._measured.train()
        if self._measured.needs_graph:
            # zero_grad() breaks the cycle that torch warns of.
            warnings.filterwarnings("ignore", r"Using backward\(\) with create_graph=True")

    def __call__(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """Train on the examples ``index`` ``(m,)``; ``generator`` is the augmentation's.

        Returns:
            The mini-batch loss, a scalar without gradient.
        """
        recorder = self._recorder
        recorder.begin_step()
        # index_select copies rows several times as fast as an index does, but only tensors have it.
        inputs = self._inputs.index_select(0, index) if isinstance(self._inputs, Tensor) else self._inputs[index]
        targets = inputs if self._targets is self._inputs else self._targets.index_select(0, index)
        if self._augment is not None:
            inputs = self._augment(inputs, generator)
        self.batch = (inputs, targets)
        if not self._measured.needs_closure:
            loss, outputs = self._evaluate(inputs, targets)
            self._optimizer.step()
        else:
            loss, outputs = self._step_with_closure(inputs, targets)
        if self._average is not None:
            recorder.switch("average")
            self._average.update_parameters(self._model)
        recorder.end_step()
        # Only now: until here nothing but the name is kept, so that the step takes as long as one without.
        self.outputs = None if outputs is None else outputs.detach()
        if self._measured.refreshed:
            recorder.label_step("refresh")
        return loss.detach()

    def _evaluate(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """Loss and outputs (if they are kept); the gradient is there, and the clock in the optimizer's phase."""
        self._optimizer.zero_grad()
        self._recorder.switch("forward")
        with self._likelihood.given(targets):
            outputs = self._model(inputs)
        loss = self._likelihood.loss(outputs, targets)
        if not self._keeps_outputs:
            # What the loss does not need for its gradient is free before the backward pass, as in a plain loop.
            outputs = None
        self._recorder.switch("backward")
        loss.backward(create_graph=self._measured.needs_graph)  # type: ignore[no-untyped-call]
        self._recorder.switch(self._update_phase)
        return loss, outputs

    def _step_with_closure(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """A step that may evaluate the mini-batch again: what the first evaluation gave, before any update.

        Raises:
            PluginError: it was asked for none.
        """
        evaluated = [] if self._measured.evaluates_alone else [self._evaluate(inputs, targets)]

        def closure() -> Tensor:
            with torch.enable_grad():
                loss, outputs = self._evaluate(inputs, targets)
            evaluated.append((loss.detach(), outputs))
            return loss

        self._recorder.switch(self._update_phase)
        self._optimizer.step(closure)  # type: ignore[arg-type]
        if not evaluated:
            raise PluginError(f"{type(self._optimizer).__name__}.step() did not call its closure")
        return evaluated[0]
