"""The convolutional classifiers: batch sizes, budgets, data, metrics, and a step of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ngbench_tasks.classifiers import (
    cuda_convnet_cifar10,
    resnet18_cifar10,
    resnet18_cifar100,
    resnet34_svhn,
    resnet50_imagenet,
    vgg11_svhn,
)
from PIL import Image
from torch import nn

import ngbench.data.cifar
import ngbench.data.svhn
from ngbench.curvature.likelihoods import Categorical
from ngbench.errors import DataError
from ngbench.plugins.parameters import parameters_of
from ngbench.task import Task

BATCHES = {
    cuda_convnet_cifar10: (256, [128, 512]),
    resnet18_cifar100: (128, []),
    resnet34_svhn: (512, []),
    vgg11_svhn: (512, []),
    resnet18_cifar10: (256, []),
    resnet50_imagenet: (32, [256, 2048]),
}
EPOCHS = {resnet18_cifar10: 90, resnet50_imagenet: 90}
CLASSES = {resnet18_cifar100: 100, resnet50_imagenet: 1000}
TASKS = list(BATCHES)


@pytest.fixture(autouse=True)
def _few_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins of 60 + 20 images."""
    for name in ("CIFAR10", "CIFAR100"):
        data_set = getattr(ngbench.data.cifar, name)
        monkeypatch.setattr(ngbench.data.cifar, name, ngbench.data.cifar.CifarDataSet(**_with_counts(data_set)))
    monkeypatch.setattr(ngbench.data.svhn, "COUNTS", (60, 20))
    monkeypatch.setattr("ngbench_tasks.classifiers.IMAGENET_STAND_IN", (60, 20))


def _with_counts(data_set: Any) -> dict[str, Any]:
    return {**vars(data_set), "counts": (60, 20)}


@pytest.mark.parametrize("build", TASKS)
def test_batch_sizes_budgets_and_loss(build: Callable[[], Task]) -> None:
    task = build()
    assert (task.batch_size, list(task.batch_sizes)) == BATCHES[build]
    assert task.epochs == EPOCHS.get(build, 100)
    assert isinstance(task.likelihood, Categorical)
    with torch.device("meta"):
        last = [module for module in task.model().modules() if isinstance(module, nn.Linear)][-1]
    assert last.out_features == CLASSES.get(build, 10)


@pytest.mark.parametrize("build", TASKS)
def test_options_are_explained(build: Callable[[], Task]) -> None:
    options = {parameter.name: parameter for parameter in parameters_of(build)}
    assert {"data", "examples"} <= set(options)
    assert all(option.description for option in options.values())
    assert (build.__doc__ or "").startswith("Classifier of ")


@pytest.mark.parametrize("build", [cuda_convnet_cifar10, resnet18_cifar100, resnet34_svhn])
def test_step_on_the_stand_in(build: Callable[..., Task], tmp_path: Path) -> None:
    task = build(data="stand-in", examples=30)
    data = task.data(tmp_path)
    assert data.source.origin == "stand-in"
    assert (len(data.train_inputs), len(data.validation_inputs)) == (30, 10)
    inputs = data.train_inputs[:8]
    assert inputs.shape == (8, 3, 32, 32)
    model = task.model()
    outputs = model(inputs)
    task.likelihood.loss(outputs, data.train_targets[:8]).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_channels_are_standardized(tmp_path: Path) -> None:
    inputs = cuda_convnet_cifar10(data="stand-in").data(tmp_path).train_inputs[:]
    torch.testing.assert_close(inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(inputs.std((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("build", [resnet18_cifar10, resnet50_imagenet])
def test_crops_to_train_on_and_for_validation_have_one_size(build: Callable[..., Task], tmp_path: Path) -> None:
    data = build(data="stand-in", image_size=48).data(tmp_path)
    assert data.augment is not None
    batch = data.train_inputs[torch.arange(5)]
    augmented = data.augment(batch, torch.Generator().manual_seed(0))
    assert augmented.shape == data.validation_inputs[:5].shape == (5, 3, 48, 48)
    assert not torch.equal(augmented, data.augment(batch, torch.Generator().manual_seed(1)))


def image_folder(folder: Path, classes: int = 3) -> None:
    for part, count in (("train", 4), ("val", 2)):
        for label in range(classes):
            (folder / part / f"n{label:04}").mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (50, 40), (60 * label, 0, 0)).save(folder / part / f"n{label:04}" / f"{index}.jpg")


@pytest.mark.parametrize("where", ["imagenet", "elsewhere", "absolute"])
def test_images_of_a_folder_are_read_lazily(tmp_path: Path, where: str) -> None:
    folder = tmp_path / "disk" if where == "absolute" else tmp_path / "data" / where
    image_folder(folder)
    options = {} if where == "imagenet" else {"folder": str(folder) if where == "absolute" else where}
    task = resnet50_imagenet(data="official", image_size=32, **options)
    data = task.data(tmp_path / "data")
    (folder / "train" / "n0000" / "0.jpg").unlink()
    assert data.train_targets.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    # Random crops are taken from 8/7 of their size.
    assert data.train_inputs[torch.tensor([11, 4])].shape == (2, 3, 37, 37)
    assert data.validation_inputs[0:6].shape == (6, 3, 32, 32)
    with pytest.raises(DataError, match="cannot read the image"):
        data.train_inputs[torch.tensor([0])]
    red = data.validation_inputs[0:6][:, 0, 16, 16] * 0.229 + 0.485
    torch.testing.assert_close(red * 255, 60.0 * data.validation_targets, atol=4, rtol=0)


def test_a_folder_that_is_not_all_of_imagenet_does_not_pass_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_folder(tmp_path / "imagenet")
    source = resnet50_imagenet(examples=6).data(tmp_path).source
    assert source.origin == "stand-in"
    assert source.description == (
        "12 + 6 images of 3 classes in a folder, in the place of ImageNet; of these, 6 + 3 evenly spaced ones"
    )
    monkeypatch.setattr("ngbench_tasks.classifiers.IMAGENET_COUNTS", (12, 6))
    monkeypatch.setitem(resnet50_imagenet.__globals__["CLASSES"], "ImageNet", 3)
    assert resnet50_imagenet().data(tmp_path).source.origin == "original"
    monkeypatch.setitem(resnet50_imagenet.__globals__["CLASSES"], "ImageNet", 2)
    with pytest.raises(DataError, match="has 3 classes, at most 2 are allowed"):
        resnet50_imagenet().data(tmp_path)


def test_without_a_folder_imagenet_is_asked_for_or_stood_in_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataError, match=r"ImageNet is not at .*imagenet' and cannot be downloaded"):
        resnet50_imagenet(data="official").data(tmp_path)
    source = resnet50_imagenet(image_size=32).data(tmp_path).source
    assert (source.name, source.origin) == ("ImageNet", "stand-in")
    assert "a stand-in takes the place of ImageNet" in caplog.text


def test_metrics_are_fractions(tmp_path: Path) -> None:
    metrics = resnet50_imagenet().metrics
    outputs = torch.tensor([[9.0, 8, 7, 6, 5, 4, 3], [1, 2, 3, 4, 5, 6, 7], [0, 0, 0, 0, 0, 0, 1]])
    targets = torch.tensor([0, 2, 0])
    assert float(metrics["accuracy"](outputs, targets)) == pytest.approx(1 / 3)
    targets = torch.tensor([4, 2, 6])
    assert float(metrics["top5_accuracy"](outputs, targets)) == 1
    targets = torch.tensor([5, 1, 6])
    assert float(metrics["top5_accuracy"](outputs, targets)) == pytest.approx(1 / 3)
    assert set(cuda_convnet_cifar10().metrics) == {"accuracy"}


@pytest.mark.parametrize("build", [build for build in TASKS if build is not cuda_convnet_cifar10])
def test_narrow_networks_have_fewer_parameters(build: Callable[..., Task]) -> None:
    with torch.device("meta"):
        full, narrow = (sum(p.numel() for p in build(width=width).model().parameters()) for width in (64, 8))
        default = sum(p.numel() for p in build().model().parameters())
    assert narrow < full / 20
    assert default == full
