"""Every convolutional network takes steps with every natural gradient, on the CPU and, where there is one, on CUDA."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ngbench.plugins import registry

OPTIMIZERS = ("kfac", "kpsvd", "deflation", "lanczos", "kfac-corrected", "two-level", "exact-ng", "block-diagonal-ng")
LARGE = ("resnet18-cifar100", "resnet34-svhn", "vgg11-svhn", "resnet18-cifar10", "resnet50-imagenet")
SMALL_IMAGES = {"image_size": "64"}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def _steps(task_name: str, optimizer: str, directory: Path, device: str, *, examples: int, steps: int) -> list[float]:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    options = {"data": "stand-in", "examples": str(examples)}
    if task_name in ("resnet18-cifar10", "resnet50-imagenet"):
        options |= SMALL_IMAGES
    task = registry.task(task_name, options)
    data = task.data(directory)
    torch.manual_seed(0)
    model = task.model().to(device)
    plugin = registry.optimizer(optimizer)
    built = registry.build_optimizer(
        plugin, model, task, registry.effective_hyperparameters(plugin, task, {"damping": "0.1", "lr": "1e-3"})
    )
    index = torch.arange(examples)
    inputs, targets = data.train_inputs[index], data.train_targets[index].to(device)
    if data.augment is not None:
        inputs = data.augment(inputs, torch.Generator().manual_seed(0))
    losses = []
    for _ in range(steps):
        built.zero_grad()
        loss = task.likelihood.loss(model(inputs.to(device)), targets)
        loss.backward()
        built.step()
        losses.append(float(loss.detach()))
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    return losses


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_cuda_convnet_learns(optimizer, directory, device):
    losses = _steps("cuda-convnet-cifar10", optimizer, directory, device, examples=32, steps=6)
    assert losses[-1] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("task", LARGE)
def test_large_networks_take_a_step(task, optimizer, directory, device):
    (loss,) = _steps(task, optimizer, directory, device, examples=4, steps=1)
    assert loss > 0
