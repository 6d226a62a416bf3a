"""Approximations of Fisher blocks measured along a run that another optimizer drives (section 3.3.1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from ngbench.curvature.approximations import Approximation
from ngbench.curvature.capture import Capture, FisherKind
from ngbench.curvature.discrepancy import Reference
from ngbench.curvature.fisher import FisherBlock
from ngbench.curvature.kronecker import KroneckerSum
from ngbench.curvature.layers import Call, Layer, find_layers
from ngbench.errors import ParameterError, UnknownNameError
from ngbench.measurement.recorder import StepRecorder
from ngbench.training.config import RunConfig
from ngbench.training.devices import resolve_dtype
from ngbench.training.problem import DeviceData, Problem, initial_model, initial_optimizer
from ngbench.training.randomness import batches, epoch_generator, epoch_order, isolated, seeded_state
from ngbench.training.step import TrainingStep

__all__ = ["Curve", "FisherErrorRun", "Measurement", "choose_layers"]


@dataclass
class Curve:
    """What was measured of one approximation of one layer; one entry per measured step."""

    error_1: list[float] = field(default_factory=list)
    error_2: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Measurement:
    """One measured step, as it is told to whoever watches.

    Attributes:
        step: counted from 1.
        steps: how many the run has.
        loss: the mini-batch loss before the step.
        errors: Error 1 of each approximation, for each layer by name.
    """

    step: int
    steps: int
    loss: float
    errors: Mapping[str, Mapping[str, float]]


def choose_layers(model: nn.Module, which: str) -> dict[nn.Module, Layer]:
    """The layers that ``which`` names: ``all``, a name in the model, or a number counted from 1.

    Raises:
        UnknownNameError: there is no such layer.
        ParameterError: there are not so many.
    """
    layers = find_layers(model)
    if which == "all":
        return layers
    if which.isascii() and which.isdecimal():
        if not 1 <= int(which) <= len(layers):
            raise ParameterError(
                f"layer={which} is not allowed, it must be between 1 and {len(layers)}, a name or 'all'"
            )
        return dict([list(layers.items())[int(which) - 1]])
    chosen = {module: layer for module, layer in layers.items() if layer.name == which}
    if not chosen:
        raise UnknownNameError("layer", which, [layer.name for layer in layers.values()])
    return chosen


class FisherErrorRun:
    """A training run that measures, at some of its steps, approximations of the Fisher blocks of some layers.

    All approximations of a layer see the same inputs and derivatives, those of the mini-batch of the step, with no
    running average; each is warm-started from its own previous estimate. They work in the dtype of the run, the errors
    are taken in float64.

    Args:
        problem: the task and its data.
        config: the run; its optimizer drives it, for ``budget.steps`` updates.
        approximations: by name.
        layer: as for :func:`choose_layers`.
        every: measure at the first step and at every so manieth one after it.
        fisher: whose targets the derivatives are taken at.

    Attributes:
        model: the model that is trained.
        curves: what was measured, by layer name and approximation.
        layers: the measured layers, by name, with their numbers counted from 1.
        measured: the steps that were measured, counted from 1.
        losses: the mini-batch loss of every step.
    """

    def __init__(
        self,
        problem: Problem,
        config: RunConfig,
        approximations: Mapping[str, Approximation],
        *,
        layer: str,
        every: int,
        fisher: FisherKind,
    ) -> None:
        assert config.budget.steps is not None
        self._problem = problem
        self._config = config
        self._approximations = approximations
        self._steps = config.budget.steps
        self._every = every
        self._device = torch.device(config.device)
        dtype = resolve_dtype(config.dtype, self._device)
        self._data = DeviceData.of(problem.data, self._device, dtype)
        self.model = initial_model(problem, config.seed, self._device, dtype)
        self._chosen = choose_layers(self.model, layer)
        numbers = {found.name: at for at, found in enumerate(find_layers(self.model).values(), 1)}
        self.layers = {chosen.name: numbers[chosen.name] for chosen in self._chosen.values()}
        optimizer = initial_optimizer(problem, self.model, config.optimizer, config.hyperparameters)
        self._recorder: StepRecorder[float] = StepRecorder(time.perf_counter)
        self._step = TrainingStep(problem, self._data, self.model, optimizer, self._recorder)
        self._capture = Capture(self.model, self._chosen, problem.task.likelihood, fisher=fisher, seed=config.seed)
        self._previous: dict[tuple[str, str], KroneckerSum | None] = {}
        self.curves = {name: {key: Curve() for key in approximations} for name in self.layers}
        self.measured: list[int] = []
        self.losses: list[float] = []

    def run(self, observe: Callable[[Measurement], None]) -> bool:
        """Train and measure; ``observe`` is told of each measured step.

        Returns:
            Whether the run reached its end; otherwise its loss became NaN or infinite.
        """
        with isolated(self._device, seeded_state(self._config.seed, self._device)):
            self.model.train()
            for step, (generator, index) in zip(range(1, self._steps + 1), self._batches(), strict=False):
                self._capture.due = (step - 1) % self._every == 0
                loss = float(self._step(index, generator))
                self._recorder.clear()
                self.losses.append(loss)
                if not abs(loss) < float("inf"):
                    return False
                if blocks := self._capture.take():
                    errors = {layer.name: self._measure(layer, block) for layer, block in blocks.items()}
                    self.measured.append(step)
                    observe(Measurement(step, self._steps, loss, errors))
        return True

    def _batches(self) -> Iterator[tuple[torch.Generator, torch.Tensor]]:
        epoch = 0
        while True:
            epoch += 1
            order = epoch_order(self._config.seed, epoch, len(self._data.train_inputs)).to(self._device)
            generator = epoch_generator(self._config.seed, epoch, stream=1)
            for index in batches(order, self._config.batch_size):
                yield generator, index

    @torch.no_grad()
    def _measure(self, layer: Layer, block: FisherBlock) -> dict[str, float]:
        reference = Reference(_in_float64(layer, block.calls))
        for name, approximation in self._approximations.items():
            started = self._now()
            estimate = approximation(block, self._previous.get((layer.name, name)))
            seconds = self._now() - started
            self._previous[layer.name, name] = estimate.start
            curve = self.curves[layer.name][name]
            curve.error_1.append(reference.error_1(estimate.value))
            curve.error_2.append(reference.error_2(estimate.value))
            curve.iterations.append(sum(estimate.iterations.values()))
            curve.seconds.append(seconds)
        return {name: curve.error_1[-1] for name, curve in self.curves[layer.name].items()}

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def _in_float64(layer: Layer, calls: Sequence[Call]) -> FisherBlock:
    return layer.block([Call(call.inputs.double(), call.derivatives.double()) for call in calls])
