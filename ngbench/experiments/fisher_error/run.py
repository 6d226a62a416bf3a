"""Approximations of Fisher blocks measured along a run that another optimizer drives (section 3.3.1)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ngbench.arms import ArmSpec
from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.capture import Capture, FisherKind
from ngbench.curvature.kronecker.discrepancy import Reference
from ngbench.curvature.kronecker.estimate import ApproximateBlock
from ngbench.curvature.layers import Layer, find_layers
from ngbench.curvature.linalg.parallel import torch_threads
from ngbench.errors import ParameterError, UnknownNameError
from ngbench.measurement.recorder import StepRecorder
from ngbench.plugins import registry
from ngbench.records.record import RunRecord, Status
from ngbench.running.config import RunConfig
from ngbench.running.devices import resolve_dtype
from ngbench.running.initial import initial_model, initial_optimizer
from ngbench.running.problem import DeviceData, Problem, load_problem
from ngbench.running.randomness import batches, epoch_generator, epoch_order, isolated, seeded_state
from ngbench.running.step import TrainingStep

__all__ = ["FisherErrorConfig", "FisherErrorStarter", "choose_layers", "numbers_of"]


@dataclass(frozen=True, kw_only=True)
class FisherErrorConfig(RunConfig):
    """One run that measures: picklable, with every default filled in. Its optimizer drives it, for ``budget.steps``.

    Attributes:
        approximations: names with their options, as arms.
        layer: as for :func:`choose_layers`.
        every: measure at the first step, and again each time after so many steps.
        fisher: whose targets the derivatives are taken at.
    """

    approximations: Sequence[ArmSpec]
    layer: str
    every: int
    fisher: FisherKind


def choose_layers(model: nn.Module, which: str) -> dict[nn.Module, Layer]:
    """The layers that ``which`` names: ``all``, ``name:NAME``, ``number:N`` (from 1), or NAME or N alone.

    Raises:
        UnknownNameError: there is no such layer.
        ParameterError: there are not so many, or it is the name of one and the number of another.
    """
    layers = find_layers(model)
    if which == "all":
        return layers
    word, _, sought = which.partition(":")
    if word not in ("name", "number"):
        word, sought = "", which
    number = int(sought) if word != "name" and sought.isascii() and sought.isdecimal() else 0
    named = [module for module, layer in layers.items() if layer.name == sought and word != "number"]
    counted = list(layers)[number - 1 : number] if number else []
    if named and counted and named != counted:
        raise ParameterError(
            f"layer={which} is the name of one layer and the number of another, {layers[counted[0]].name!r}: "
            f"say name:{which} or number:{which}"
        )
    if not named and not counted:
        if number or word == "number":
            raise ParameterError(
                f"layer={which} is not allowed, it must be between 1 and {len(layers)}, a name or 'all'"
            )
        raise UnknownNameError("layer", sought, [layer.name for layer in layers.values()])
    return {module: layers[module] for module in named or counted}


def numbers_of(model: nn.Module, chosen: Mapping[nn.Module, Layer]) -> dict[str, int]:
    """The numbers of the chosen layers among all of the model, counted from 1, by name."""
    numbers = {found.name: at for at, found in enumerate(find_layers(model).values(), 1)}
    return {layer.name: numbers[layer.name] for layer in chosen.values()}


class FisherErrorRun:
    """A training run that measures, at some of its steps, approximations of the Fisher blocks of some layers.

    All approximations of a layer see the same inputs and derivatives, those of the mini-batch of the step, with no
    running average; each is warm-started from its own previous estimate. They work in the dtype of the run, the errors
    are taken in float64. A turn ends with a measured step, or with the run.

    Args:
        config: the run.
        problem: the task and its data.
        record: what is known of the run before it begins.
    """

    def __init__(self, config: FisherErrorConfig, problem: Problem, record: RunRecord) -> None:
        assert config.budget.steps is not None
        self._config = config
        self._problem = problem
        self._record = record
        self._steps = config.budget.steps
        self._previous: dict[tuple[str, str], ApproximateBlock | None] = {}
        self._measured: list[int] = []
        self._losses: list[float] = []

    def prepare(self) -> RunRecord:
        """Build data, model and optimizer."""
        with torch_threads(self._config.threads):
            return self._prepare()

    def _prepare(self) -> RunRecord:
        config = self._config
        device = torch.device(config.device)
        dtype = resolve_dtype(config.dtype, device)
        self._device, self._random = device, seeded_state(config.seed, device)
        self._data = DeviceData.of(self._problem.data, device, dtype)
        self._approximations = {
            arm.label: registry.approximation(arm.optimizer, arm.hyperparameters) for arm in config.approximations
        }
        model = initial_model(self._problem, config.seed, device, dtype)
        chosen = choose_layers(model, config.layer)
        # The plan is the same for all seeds, and so is what it says of nothing that is measured yet.
        self._errors = {error.layer_name: error.model_copy(deep=True) for error in self._record.fisher_errors}
        optimizer = initial_optimizer(self._problem.task, model, config.optimizer, config.hyperparameters)
        self._recorder: StepRecorder[float] = StepRecorder(time.perf_counter)
        self._step = TrainingStep(self._problem, self._data, model.train(), optimizer, self._recorder)
        likelihood = self._problem.task.likelihood
        self._capture = Capture(model, chosen, likelihood, fisher=config.fisher, seed=config.seed)
        self._training = zip(range(1, self._steps + 1), self._batches(), strict=False)
        return self._state("running")

    def turn(self, on_step: Any = None) -> RunRecord:
        """Train until a step was measured or the run is over; it diverges where its loss becomes NaN or infinite."""
        with torch_threads(self._config.threads), isolated(self._device, self._random) as after:
            for step, (generator, index) in self._training:
                self._capture.due = (step - 1) % self._config.every == 0
                loss = float(self._step(index, generator))
                self._recorder.clear()
                self._losses.append(loss)
                if not abs(loss) < float("inf"):
                    return self._state("diverged", f"the training loss became {loss} at step {step}")
                if blocks := self._capture.take():
                    for layer, block in blocks.items():
                        self._measure(step, layer, block)
                    break
        self._random = after
        return self._state("running" if len(self._losses) < self._steps else "done")

    def _state(self, status: Status, message: str | None = None) -> RunRecord:
        errors = [error.model_copy(deep=True) for error in self._errors.values()]
        changes = {"status": status, "message": message, "fisher_errors": errors, "step_losses": list(self._losses)}
        return self._record.model_copy(update=changes)

    def _batches(self) -> Iterator[tuple[torch.Generator, torch.Tensor]]:
        epoch = 0
        while True:
            epoch += 1
            order = epoch_order(self._config.seed, epoch, len(self._data.train_inputs)).to(self._device)
            generator = epoch_generator(self._config.seed, epoch, stream=1)
            for index in batches(order, self._config.batch_size):
                yield generator, index

    @torch.no_grad()
    def _measure(self, step: int, layer: Layer, block: FisherBlock) -> None:
        error = self._errors[layer.name]
        reference = Reference(layer.block([call.to(torch.float64) for call in block.calls]))
        error.steps.append(step)
        for name, approximation in self._approximations.items():
            started = self._now()
            estimate = approximation(block, self._previous.get((layer.name, name)))
            seconds = self._now() - started
            self._previous[layer.name, name] = estimate.start
            curve = error.approximations[name]
            curve.error_1.append(reference.error_1(estimate.value))
            curve.error_2.append(reference.error_2(estimate.value))
            curve.iterations.append(sum(estimate.iterations.values()))
            curve.seconds.append(seconds)

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


class FisherErrorStarter:
    """Starts runs that measure.

    Args:
        problem: that of all runs, if it is loaded already.
    """

    def __init__(self, problem: Problem | None = None) -> None:
        self._problem = problem

    def __call__(self, config: RunConfig, record: RunRecord) -> FisherErrorRun:
        assert isinstance(config, FisherErrorConfig)
        if self._problem is None:
            self._problem = load_problem(config.task, config.task_options, config.data_dir)
        return FisherErrorRun(config, self._problem, record)
