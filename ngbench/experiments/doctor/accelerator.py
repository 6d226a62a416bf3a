"""The state of CUDA and cuDNN as torch sees them."""

from __future__ import annotations

from typing import Any

from ngbench.experiments.doctor.findings import NOTHING, finding
from ngbench.records.experiments import FindingRecord, FindingState
from ngbench.spelling import argument
from ngbench.units import format_bytes

__all__ = ["examine_cuda"]

_SPARE = 0.9
"""The part of a device's memory that is free if nothing else uses it."""


def examine_cuda(torch: Any) -> list[FindingRecord]:
    """A finding for CUDA, for cuDNN, and for each device.

    Args:
        torch: the module, or whatever answers in its place.
    """
    built = torch.version.cuda
    if built is None:
        fact, advice = f"torch {torch.__version__} is built without it", "to use a GPU, install a torch with CUDA"
        return [
            finding(
                "CUDA", FindingState.NOTE, f"{fact}: runs compute on the CPU", advice, {"built": None, "devices": 0}
            )
        ]
    if not torch.cuda.is_available() or not torch.cuda.device_count():
        return [
            finding(
                "CUDA",
                FindingState.NOTE,
                f"torch is built for CUDA {built}, and no device answers: runs compute on the CPU",
                "if there is a GPU, see what nvidia-smi says, and CUDA_VISIBLE_DEVICES",
                {"built": built, "devices": 0},
            )
        ]
    count = torch.cuda.device_count()
    found = [
        finding(
            "CUDA",
            FindingState.GOOD,
            f"{built}, {count} device{'s' if count != 1 else ''}",
            NOTHING,
            {"built": built, "devices": count},
        ),
        _cudnn(torch),
    ]
    return found + [_device(torch, index) for index in range(count)]


def _cudnn(torch: Any) -> FindingRecord:
    cudnn = torch.backends.cudnn
    values = {
        "version": cudnn.version(),
        "enabled": cudnn.enabled,
        "benchmark": cudnn.benchmark,
        "deterministic": cudnn.deterministic,
    }
    if not cudnn.is_available() or not cudnn.enabled:
        advice = "install a torch with cuDNN, or set torch.backends.cudnn.enabled"
        return finding(
            "cuDNN", FindingState.BAD, "not used: convolutions are slower than they could be", advice, values
        )
    fact = f"version {cudnn.version()}"
    if cudnn.benchmark:
        return finding(
            "cuDNN",
            FindingState.NOTE,
            f"{fact}, which tries algorithms on new shapes: the first steps are slower, and runs may differ",
            "leave torch.backends.cudnn.benchmark false for measurements",
            values,
        )
    return finding("cuDNN", FindingState.GOOD, fact, NOTHING, values)


def _device(torch: Any, index: int) -> FindingRecord:
    name = torch.cuda.get_device_name(index)
    free, total = torch.cuda.mem_get_info(index)
    values = {"name": name, "free_bytes": free, "total_bytes": total}
    fact = f"{name}, {format_bytes(free)} of {format_bytes(total)} free"
    if free < _SPARE * total:
        return finding(
            f"cuda:{index}",
            FindingState.BAD,
            f"{fact}: others use it",
            f"see nvidia-smi, or choose another with {argument('device')}",
            values,
        )
    return finding(f"cuda:{index}", FindingState.GOOD, fact, NOTHING, values)
