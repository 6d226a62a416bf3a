"""The checks of optimizers, in the order in which they are shown."""

from __future__ import annotations

from functools import partial

from ngbench.experiments.conformance.accumulation import check_gradient_accumulation
from ngbench.experiments.conformance.convergence import GOALS, check_convergence
from ngbench.experiments.conformance.costs import check_memory, check_time
from ngbench.experiments.conformance.deletion import check_hooks
from ngbench.experiments.conformance.dtypes import check_dtype
from ngbench.experiments.conformance.moved_parameters import (
    check_frozen_parameters,
    check_parameter_groups,
    check_unused_parameters,
)
from ngbench.experiments.conformance.moves import check_device_move, check_dtype_move
from ngbench.experiments.conformance.nonfinite import check_nan_gradient
from ngbench.experiments.conformance.outcome import Check
from ngbench.experiments.conformance.signature import check_optimizer_signature
from ngbench.experiments.conformance.state import check_resumption, check_state_dict
from ngbench.experiments.conformance.stepping import check_determinism, check_measured, check_phases, check_step
from ngbench.experiments.conformance.trial import OptimizerSubject

__all__ = ["OPTIMIZER_CHECKS"]

OPTIMIZER_CHECKS: tuple[Check[OptimizerSubject], ...] = (
    Check("signature", "be imported and show its hyper-parameters", check_optimizer_signature),
    Check("step", "take a step", check_step),
    Check("determinism", "take the same steps with the same seed", check_determinism),
    Check("state-dict", "continue from its state_dict()", check_state_dict, ("determinism",)),
    Check("measured", "tell of its steps what a record can hold", check_measured),
    Check("resumption", "continue from a checkpoint", check_resumption, ("state-dict", "measured")),
    Check("parameter-groups", "train each parameter group by its own settings", check_parameter_groups),
    Check("frozen-parameters", "leave parameters alone that need no gradient", check_frozen_parameters),
    Check("unused-parameters", "leave parameters alone that have no gradient", check_unused_parameters),
    Check("dtype", "train models of float64 and bfloat16 as those of float32", check_dtype),
    Check("dtype-move", "load a state for a model of another type", check_dtype_move, ("dtype",)),
    Check("device-move", "load a state for a model on another device", check_device_move),
    Check("hooks", "leave nothing on the model", check_hooks),
    Check("gradient-accumulation", "use the sum of several backward passes", check_gradient_accumulation),
    Check("nan-gradient", "not hide a gradient that is NaN", check_nan_gradient),
    Check("phases", "name the phases of its step", check_phases),
    Check("time", "take steps on a perceptron", check_time),
    Check("memory", "hold the same memory after each step", check_memory),
    *(Check(name, "lower the loss", partial(check_convergence, goal=goal)) for name, goal in GOALS.items()),
)
