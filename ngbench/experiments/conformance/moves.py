"""States that move to another floating-point type or device."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ngbench.experiments.conformance.outcome import CheckFailed, CheckNotApplicable, Passed, raised
from ngbench.experiments.conformance.trial import CPU, OptimizerSubject, Trial

__all__ = ["check_device_move", "check_dtype_move", "dtype_name", "expect_types"]


def check_dtype_move(subject: OptimizerSubject) -> Passed:
    """A state of a float32 run is continued on the same model in float64."""
    return _move(subject, torch.float64, CPU)


def check_device_move(subject: OptimizerSubject) -> Passed:
    """A state of a run on the CPU is continued on the same model on CUDA."""
    if not torch.cuda.is_available():
        raise CheckNotApplicable("there is no CUDA device here")
    return _move(subject, torch.float32, torch.device("cuda", torch.cuda.current_device()))


def _move(subject: OptimizerSubject, dtype: torch.dtype, device: torch.device) -> Passed:
    first = Trial(subject)
    first.run(3)
    moved = Trial(subject, dtype=dtype, device=device)
    moved.model.load_state_dict(first.model.state_dict())
    target = dtype_name(dtype) if device == CPU else str(device)
    try:
        moved.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
        moved.run(3)
    except Exception as error:
        raise CheckFailed(
            f"a state loaded for a model in {target} raised {raised(error)}; "
            "load_state_dict() must bring tensors to the type and device of the parameters"
        ) from error
    expect_types(moved, dtype, device)
    return Passed(f"a state of float32 on the CPU goes on in {target}")


def expect_types(trial: Trial, dtype: torch.dtype, device: torch.device) -> None:
    """All parameters, and all of the state that has a parameter's shape, in this type or a wider one."""
    for name, parameter in trial.model.named_parameters():
        if parameter.dtype != dtype or parameter.device != device:
            raise CheckFailed(
                f"{name} became {dtype_name(parameter.dtype)} on {parameter.device} from {dtype_name(dtype)} on "
                f"{device}: update parameters in place"
            )
        if not torch.isfinite(parameter).all():
            raise CheckFailed(
                f"{name} became NaN or infinite in {dtype_name(dtype)}: compute in a wider type where it overflows"
            )
    shapes = {tuple(parameter.shape) for parameter in trial.model.parameters() if parameter.ndim}
    for path, tensor in _tensors(trial.optimizer.state_dict(), "state_dict()"):
        if not tensor.is_floating_point() or tuple(tensor.shape) not in shapes:
            continue
        if torch.finfo(tensor.dtype).eps > torch.finfo(dtype).eps:
            raise CheckFailed(
                f"{path} is {dtype_name(tensor.dtype)} beside a parameter of {dtype_name(dtype)}, which loses its "
                "digits: keep buffers in the type of the parameter (torch.zeros_like)"
            )
        if tensor.device != device:
            raise CheckFailed(f"{path} is on {tensor.device} beside a parameter on {device}: keep them together")


def _tensors(value: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(part, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        for at, part in enumerate(value):
            yield from _tensors(part, f"{path}[{at}]")


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
