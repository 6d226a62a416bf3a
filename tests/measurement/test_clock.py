from __future__ import annotations

import time

import pytest
import torch

from ngbench.measurement.clock import CpuClock, CudaClock, clock_for


def test_the_cpu_clock_reads_seconds_of_the_performance_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    clock = CpuClock()
    assert clock.seconds(clock.mark(), clock.mark()) == 2.5


def test_each_device_has_its_clock() -> None:
    assert isinstance(clock_for(torch.device("cpu")), CpuClock)
    assert isinstance(clock_for(torch.device("cuda", 0)), CudaClock)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_cuda_clock_measures_the_device_and_reuses_its_events() -> None:
    clock = CudaClock(torch.device("cuda", 0))
    matrix = torch.randn(2048, 2048, device="cuda")
    start = clock.mark()
    for _ in range(20):
        matrix @ matrix
    end = clock.mark()
    clock.synchronise()
    assert clock.seconds(start, end) > 0
    clock.release()
    assert clock.mark() is start
