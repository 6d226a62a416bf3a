"""Convolutional classifiers of CIFAR-10, CIFAR-100, SVHN and ImageNet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import nn

from ngbench.curvature.likelihoods import Categorical
from ngbench.data.arrays import ArrayDataSet
from ngbench.data.augmentation import CENTRAL, CentralCrops, RandomResizedCrops
from ngbench.data.choice import Choice, official_or_stand_in
from ngbench.data.cifar import cifar10, cifar100
from ngbench.data.crops import photograph_crops
from ngbench.data.download import DownloadError
from ngbench.data.image_folder import FolderImages, ImageFolders, list_images
from ngbench.data.images import standardized
from ngbench.data.svhn import svhn
from ngbench.disk.files import is_directory
from ngbench.errors import DataError
from ngbench.plugins.parameters import Range
from ngbench.task import Data, DataSource, Task

from .accuracy import accuracy, top5_accuracy
from .examples import Examples, chosen
from .hyperparameters import published_hyperparameters, thesis_grid
from .networks.cuda_convnet import cuda_convnet
from .networks.resnet import resnet18, resnet34, resnet50
from .networks.vgg import VGG11

__all__ = [
    "cuda_convnet_cifar10",
    "resnet18_cifar10",
    "resnet18_cifar100",
    "resnet34_svhn",
    "resnet50_imagenet",
    "vgg11_svhn",
]

ImageSize = Annotated[int, Range(minimum=32)]
Width = Annotated[int, Range(minimum=1)]

CLASSES = {"CIFAR-10": 10, "CIFAR-100": 100, "SVHN": 10, "ImageNet": 1000}
IMAGENET_COUNTS = (1_281_167, 50_000)
# By which pretrained networks expect their input to be shifted and divided.
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET_STAND_IN = (50_000, 10_000)


def _classifier(
    name: str,
    model: Callable[[], nn.Module],
    data: Callable[[Path], Data],
    batch_sizes: Sequence[int],
    epochs: int = 100,
    metrics: Mapping[str, Any] | None = None,
) -> Task:
    """The task of that name; the first batch size is the default."""
    return Task(
        model=model,
        data=data,
        likelihood=Categorical(),
        batch_size=batch_sizes[0],
        batch_sizes=batch_sizes[1:],
        epochs=epochs,
        hyperparameters=published_hyperparameters(name),
        grid=thesis_grid(chapter=4),
        metrics={"accuracy": accuracy, **(metrics or {})},
    )


def _small_images(
    load: Callable[[Path, Choice], ArrayDataSet], choice: Choice, examples: int | Literal["all"]
) -> Callable[[Path], Data]:
    """Loads images of 32 × 32 pixels, each channel standardized."""
    return lambda directory: standardized(chosen(load(directory, choice), examples)).classifier()


def _resized(images: ArrayDataSet, size: int) -> Data:
    """Standardized images: random-resized crops and flips to train on, central crops for validation."""
    validation = CentralCrops(torch.from_numpy(images.validation), size)
    return replace(images.classifier(), validation_inputs=validation, augment=RandomResizedCrops(size))


def _image_folder(folder: Path, examples: int | Literal["all"], size: int) -> Data:
    """The images in ``folder``: random-resized crops and flips to train on, central crops for validation.

    Raises:
        DownloadError: there is no such folder.
        DataError: it lacks the layout, has more classes than the network has outputs, or too few images.
    """
    if not is_directory(folder):
        raise DownloadError(
            f"ImageNet is not at {str(folder)!r} and cannot be downloaded without an account; "
            "unpack it there as train/CLASS/NAME.jpg and val/CLASS/NAME.jpg, or name its place with folder=PATH"
        )
    images = list_images(folder)
    if len(images.classes) > CLASSES["ImageNet"]:
        raise DataError(f"{str(folder)!r} has {len(images.classes)} classes, at most {CLASSES['ImageNet']} are allowed")
    if examples != "all":
        images = images.subset(examples)
    resize = round(size / CENTRAL)
    train, validation = (
        FolderImages(listing.paths, resize, side, IMAGENET_MEAN, IMAGENET_DEVIATION)
        for listing, side in ((images.train, resize), (images.validation, size))
    )
    return Data(
        train,
        images.train.labels,
        validation,
        images.validation.labels,
        _folder_source(images),
        augment=RandomResizedCrops(size),
    )


def _folder_source(images: ImageFolders) -> DataSource:
    """Only a folder with all of ImageNet's images is ImageNet."""
    complete = images.available == IMAGENET_COUNTS and len(images.classes) == CLASSES["ImageNet"]
    train, validation = images.available
    description = f"{train} + {validation} images of {len(images.classes)} classes in a folder"
    if not complete:
        description += ", in the place of ImageNet"
    if (used := (len(images.train.paths), len(images.validation.paths))) != images.available:
        description += f"; of these, {used[0]} + {used[1]} evenly spaced ones"
    return DataSource("ImageNet", "original" if complete else "stand-in", description, images.digest)


def cuda_convnet_cifar10(*, data: Choice = "auto", examples: Examples = "all") -> Task:
    """Classifier of CIFAR-10's ten classes, cuda-convnet: three convolutions and a linear layer.

    Args:
        data: ``official`` is CIFAR-10's python batches, downloaded where they are missing; ``stand-in`` is as many
            crops of ten photographs; ``auto`` prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
    """
    return _classifier(
        "cuda-convnet-cifar10",
        partial(cuda_convnet, CLASSES["CIFAR-10"]),
        _small_images(cifar10, data, examples),
        batch_sizes=(256, 128, 512),
    )


def resnet18_cifar100(*, data: Choice = "auto", examples: Examples = "all", width: Width = 64) -> Task:
    """Classifier of CIFAR-100's hundred classes, ResNet-18.

    Args:
        data: ``official`` is CIFAR-100's python batches, downloaded where they are missing; ``stand-in`` is as many
            crops of sixteen photographs, a class each, so that 84 of the 100 outputs have no examples; ``auto``
            prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
        width: channels of the first stage; fewer make a narrow network that is quick on a CPU.
    """
    return _classifier(
        "resnet18-cifar100",
        partial(resnet18, CLASSES["CIFAR-100"], width=width),
        _small_images(cifar100, data, examples),
        batch_sizes=(128,),
    )


def resnet34_svhn(*, data: Choice = "auto", examples: Examples = "all", width: Width = 64) -> Task:
    """Classifier of the ten digits of SVHN, ResNet-34.

    Args:
        data: ``official`` is SVHN's files of cropped digits, downloaded where they are missing; ``stand-in`` is as
            many crops of ten photographs; ``auto`` prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
        width: channels of the first stage; fewer make a narrow network that is quick on a CPU.
    """
    return _classifier(
        "resnet34-svhn",
        partial(resnet34, CLASSES["SVHN"], width=width),
        _small_images(svhn, data, examples),
        batch_sizes=(512,),
    )


def vgg11_svhn(*, data: Choice = "auto", examples: Examples = "all", width: Width = 64) -> Task:
    """Classifier of the ten digits of SVHN, VGG-11.

    Args:
        data: ``official`` is SVHN's files of cropped digits, downloaded where they are missing; ``stand-in`` is as
            many crops of ten photographs; ``auto`` prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
        width: channels of the first convolution; fewer make a narrow network that is quick on a CPU.
    """
    return _classifier(
        "vgg11-svhn",
        partial(VGG11, CLASSES["SVHN"], width=width),
        _small_images(svhn, data, examples),
        batch_sizes=(512,),
    )


def resnet18_cifar10(
    *, data: Choice = "auto", examples: Examples = "all", image_size: ImageSize = 224, width: Width = 64
) -> Task:
    """Classifier of CIFAR-10's ten classes, ResNet-18 on random-resized crops of 224 × 224 pixels and flips.

    Args:
        data: ``official`` is CIFAR-10's python batches, downloaded where they are missing; ``stand-in`` is as many
            crops of ten photographs; ``auto`` prefers the official files.
        examples: how many training examples to use; the validation set shrinks in proportion.
        image_size: pixels of a side of the crops.
        width: channels of the first stage; fewer make a narrow network that is quick on a CPU.
    """
    return _classifier(
        "resnet18-cifar10",
        partial(resnet18, CLASSES["CIFAR-10"], width=width),
        lambda directory: _resized(standardized(chosen(cifar10(directory, data), examples)), image_size),
        batch_sizes=(256,),
        epochs=90,
    )


def resnet50_imagenet(
    *,
    data: Choice = "auto",
    examples: Examples = "all",
    image_size: ImageSize = 224,
    width: Width = 64,
    folder: str = "imagenet",
) -> Task:
    """Classifier of ImageNet's thousand classes, ResNet-50 on random-resized crops of 224 × 224 pixels and flips.

    The published runs trained on batches of 2048, which 64 workers shared: the default is what one of them saw.
    Random crops are taken from the central square of an image, its shorter side resized to 8/7 of the crop's.

    Args:
        data: ``official`` is the images in ``folder``, which are not downloaded; ``stand-in`` is 60,000 crops of
            sixteen photographs, a class each, so that 984 of the 1000 outputs have no examples; ``auto`` prefers
            the folder.
        examples: how many training examples to use; the validation set shrinks in proportion.
        image_size: pixels of a side of the crops.
        width: channels of the first stage; fewer make a narrow network that is quick on a CPU.
        folder: that holds train/CLASS/NAME.jpg and val/CLASS/NAME.jpg, of the data directory or an absolute path.
    """

    def stand_in() -> Data:
        crops = photograph_crops("ImageNet", *IMAGENET_STAND_IN, CLASSES["ImageNet"])
        return _resized(standardized(chosen(crops, examples)), image_size)

    def load(directory: Path) -> Data:
        return official_or_stand_in(
            "ImageNet", data, lambda: _image_folder(directory / folder, examples, image_size), stand_in
        )

    return _classifier(
        "resnet50-imagenet",
        partial(resnet50, CLASSES["ImageNet"], width=width),
        load,
        batch_sizes=(32, 256, 2048),
        epochs=90,
        metrics={"top5_accuracy": top5_accuracy},
    )
