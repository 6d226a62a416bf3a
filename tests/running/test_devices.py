from __future__ import annotations

import pytest
import torch

from ngbench.errors import DeviceError, ParameterError
from ngbench.running.devices import explain_device, resolve_device, resolve_dtype

CPU = torch.device("cpu")


@pytest.fixture
def cuda_devices(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    count: int = request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    return count


@pytest.mark.parametrize("cuda_devices", [0], indirect=True)
def test_auto_is_the_cpu_where_there_is_no_cuda_and_is_said(cuda_devices: int) -> None:
    assert resolve_device("auto") == CPU
    assert explain_device("auto", CPU, 2) == "device: cpu (no CUDA device found), 2 threads"
    assert explain_device("cpu", CPU, 1) == "device: cpu, 1 thread"


@pytest.mark.parametrize("cuda_devices", [2], indirect=True)
def test_auto_is_cuda_where_there_is_one(cuda_devices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H100")
    assert resolve_device("auto") == torch.device("cuda", 0)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert resolve_device("cpu") == CPU
    assert explain_device("auto", torch.device("cuda", 0), 2) == "device: cuda:0, H100 (chosen automatically)"
    with pytest.raises(DeviceError, match="'cuda:2': this machine has CUDA devices 0 to 1"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("cuda_devices", [0], indirect=True)
def test_cuda_where_there_is_none_is_refused(cuda_devices: int) -> None:
    with pytest.raises(DeviceError, match=r"'cuda:0': this machine has no CUDA device.*device='cpu'"):
        resolve_device("cuda:0")


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", "cpu:0", ""])
def test_other_devices_are_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="is not one of auto, cpu, cuda, cuda:N"):
        resolve_device(text)


def test_dtypes() -> None:
    assert resolve_dtype("bfloat16", CPU) is torch.bfloat16
    with pytest.raises(ParameterError, match="'float16' is not one of float32, float64, bfloat16"):
        resolve_dtype("float16", CPU)
