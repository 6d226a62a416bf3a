from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ngbench.measurement import memory
from ngbench.measurement.memory import CpuMemory, memory_meter, parameter_bytes, state_bytes

MEBIBYTE = 2**20


def test_the_peak_outlives_the_tensor_until_the_reset() -> None:
    meter = memory_meter(torch.device("cpu"))
    if "since the run" not in meter.source:
        pytest.skip("this system keeps no peak that can be reset")
    meter.trim()
    meter.reset()
    before = meter.in_use()
    block = torch.ones(64 * MEBIBYTE, dtype=torch.uint8)
    assert meter.in_use() - before > 48 * MEBIBYTE
    del block
    assert meter.peak() - before > 48 * MEBIBYTE
    # The allocator may keep the block where a free one in the middle of its heap was large enough for it.
    meter.trim()
    meter.reset()
    assert meter.peak() - before < 48 * MEBIBYTE


def test_without_a_peak_that_can_be_reset_the_source_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CLEAR_REFS", Path("/nonexistent/clear_refs"))
    meter = CpuMemory()
    assert meter.source.endswith("since the process began")
    assert meter.peak() >= 0.5 * meter.in_use()


def test_state_bytes_count_nested_tensors_and_each_once() -> None:
    parameter = nn.Parameter(torch.zeros(10))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    assert state_bytes(optimizer) == 0
    shared = torch.zeros(6, dtype=torch.float64)
    optimizer.state[parameter] = {"factors": [shared, (shared, torch.zeros(3))]}
    assert state_bytes(optimizer) == 6 * 8 + 3 * 4


def test_parameter_bytes_follow_the_dtype() -> None:
    model = nn.Linear(3, 2)
    assert parameter_bytes(model) == 8 * 4
    assert parameter_bytes(model.double()) == 8 * 8
