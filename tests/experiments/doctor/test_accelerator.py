from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ngbench.experiments.doctor.accelerator import examine_cuda
from ngbench.records.experiments import FindingState

GIB = 2**30


def fake_torch(
    *, built: str | None = "12.8", free: list[int] | None = None, cudnn: bool = True, benchmark: bool = False
) -> Any:
    """What torch says on a machine with a device of 80 GiB for each entry of ``free``."""
    free = [80 * GIB] if free is None else free
    return SimpleNamespace(
        __version__="2.13.0",
        version=SimpleNamespace(cuda=built),
        cuda=SimpleNamespace(
            is_available=lambda: bool(free),
            device_count=lambda: len(free),
            get_device_name=lambda index: f"Model {index}",
            mem_get_info=lambda index: (free[index], 80 * GIB),
        ),
        backends=SimpleNamespace(
            cudnn=SimpleNamespace(
                version=lambda: 91002,
                is_available=lambda: cudnn,
                enabled=True,
                benchmark=benchmark,
                deterministic=False,
            )
        ),
    )


def states(torch: Any) -> dict[str, FindingState]:
    return {finding.topic: finding.state for finding in examine_cuda(torch)}


def test_a_device_of_ones_own_is_good() -> None:
    assert states(fake_torch()) == {"CUDA": FindingState.GOOD, "cuDNN": FindingState.GOOD, "cuda:0": FindingState.GOOD}


def test_a_device_that_others_use_is_named() -> None:
    findings = examine_cuda(fake_torch(free=[80 * GIB, 20 * GIB]))
    assert [finding.topic for finding in findings if finding.state is FindingState.BAD] == ["cuda:1"]
    assert findings[-1].fact == "Model 1, 20.0 GiB of 80.0 GiB free: others use it"


def test_cudnn_that_is_missing_or_searches_is_said() -> None:
    assert states(fake_torch(cudnn=False))["cuDNN"] is FindingState.BAD
    assert states(fake_torch(benchmark=True))["cuDNN"] is FindingState.NOTE


def test_no_device_and_no_cuda_are_told_apart() -> None:
    (without,) = examine_cuda(fake_torch(built=None, free=[]))
    (hidden,) = examine_cuda(fake_torch(free=[]))
    assert "built without it" in without.fact
    assert "CUDA_VISIBLE_DEVICES" in hidden.advice
