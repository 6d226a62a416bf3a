"""Devices and floating-point types by the names of the command line."""

from __future__ import annotations

import re

import torch

from ngbench.errors import DeviceError, ParameterError
from ngbench.spelling import argument

__all__ = ["device_name", "explain_device", "resolve_device", "resolve_dtype"]

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def resolve_device(text: str) -> torch.device:
    """The device meant by ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` takes CUDA where there is one.

    Raises:
        ParameterError: the text is none of these.
        DeviceError: this machine has no such CUDA device.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", text):
        raise ParameterError(f"device {text!r} is not one of auto, cpu, cuda, cuda:N")
    count = torch.cuda.device_count() if text != "cpu" and torch.cuda.is_available() else 0
    if text == "cpu" or (text == "auto" and not count):
        return torch.device("cpu")
    index = int(text.partition(":")[2] or 0)
    if not count:
        reason = "" if torch.version.cuda else f" (torch {torch.__version__} is built without CUDA)"
        raise DeviceError(f"device {text!r}: this machine has no CUDA device{reason}; use {argument('device', 'cpu')}")
    if index >= count:
        raise DeviceError(f"device {text!r}: this machine has CUDA devices 0 to {count - 1}")
    return torch.device("cuda", index)


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The floating-point type called ``name``.

    Raises:
        ParameterError: there is none, or the tool does not train in it.
        DeviceError: the device cannot compute in it.
    """
    if name not in DTYPES:
        raise ParameterError(f"dtype {name!r} is not one of {', '.join(DTYPES)}")
    dtype = DTYPES[name]
    if dtype is torch.bfloat16 and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise DeviceError(f"dtype {name!r}: {device_name(device)} cannot compute in it")
    return dtype


def device_name(device: torch.device) -> str | None:
    """The name of the CUDA device's model; ``None`` for the CPU, which the environment record names."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def explain_device(asked: str, device: torch.device, threads: int) -> str:
    """One line that says where the runs compute and why."""
    if device.type == "cuda":
        chosen = " (chosen automatically)" if asked == "auto" else ""
        return f"device: {device}, {device_name(device)}{chosen}"
    why = " (no CUDA device found)" if asked == "auto" else ""
    return f"device: cpu{why}, {threads} thread{'s' if threads != 1 else ''}"
