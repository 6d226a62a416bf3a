"""The Inception network of the Fréchet inception distance, as a feature network for weights that the user has.

Architecture: Szegedy et al., *Rethinking the Inception Architecture for Computer Vision* (2016), in the variant of
the original TensorFlow weights of 2015 on which published scores rest: average pools that leave the padding out,
and a maximum pool in the last block. Modules are named as in torchvision, as are the weights of the converted
file that goes round as ``pt_inception-2015-12-05-6726825d.pth`` (pytorch-fid) and
``weights-inception-2015-12-05-6726825d.pth`` (torch-fidelity).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SIDE", "InceptionTrunk"]

SIDE: Final = 299
"""Height and width of the images that the network was trained on."""

LAYERS: Final[Mapping[int, str]] = {64: "Conv2d_2b_3x3", 192: "Conv2d_4a_3x3", 768: "Mixed_6e", 2048: "Mixed_7c"}
"""The last module that each choice of features needs."""

Size = int | tuple[int, int]


class _Convolution(nn.Module):
    """Convolution without bias, batch norm, ReLU; the padding keeps the shape unless told otherwise."""

    def __init__(self, inputs: int, outputs: int, kernel: Size, *, stride: int = 1, same: bool = True) -> None:
        super().__init__()
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (size[0] // 2, size[1] // 2) if same else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, size, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class _Mixed(nn.Module):
    """Branches side by side, their outputs concatenated.

    Args:
        branches: for each one the names of its modules in order; a tuple of names within it is a fork whose parts
            are concatenated.
        pool: what comes before the last branch: an average or a maximum over 3 × 3, or a maximum of stride 2 that
            is a branch of its own.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        branches: Sequence[Sequence[str | tuple[str, str]]],
        pool: str,
    ) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._branches = branches
        self._pool = pool

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for branch in self._branches:
            value = self._pooled(x) if branch and branch[0] == "branch_pool" else x
            for name in branch:
                if isinstance(name, tuple):
                    value = torch.cat([self.get_submodule(fork)(value) for fork in name], 1)
                else:
                    value = self.get_submodule(name)(value)
            parts.append(value)
        if self._pool == "reduce":
            parts.append(F.max_pool2d(x, 3, stride=2))
        return torch.cat(parts, 1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self._pool == "maximum":
            return F.max_pool2d(x, 3, stride=1, padding=1)
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _mixed_5(inputs: int, pooled: int) -> _Mixed:
    modules = {
        "branch1x1": _Convolution(inputs, 64, 1),
        "branch5x5_1": _Convolution(inputs, 48, 1),
        "branch5x5_2": _Convolution(48, 64, 5),
        "branch3x3dbl_1": _Convolution(inputs, 64, 1),
        "branch3x3dbl_2": _Convolution(64, 96, 3),
        "branch3x3dbl_3": _Convolution(96, 96, 3),
        "branch_pool": _Convolution(inputs, pooled, 1),
    }
    branches = [
        ["branch1x1"],
        ["branch5x5_1", "branch5x5_2"],
        ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"],
        ["branch_pool"],
    ]
    return _Mixed(modules, branches, "average")


def _mixed_6a() -> _Mixed:
    modules = {
        "branch3x3": _Convolution(288, 384, 3, stride=2, same=False),
        "branch3x3dbl_1": _Convolution(288, 64, 1),
        "branch3x3dbl_2": _Convolution(64, 96, 3),
        "branch3x3dbl_3": _Convolution(96, 96, 3, stride=2, same=False),
    }
    branches = [["branch3x3"], ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"]]
    return _Mixed(modules, branches, "reduce")


def _mixed_6(width: int) -> _Mixed:
    modules = {
        "branch1x1": _Convolution(768, 192, 1),
        "branch7x7_1": _Convolution(768, width, 1),
        "branch7x7_2": _Convolution(width, width, (1, 7)),
        "branch7x7_3": _Convolution(width, 192, (7, 1)),
        "branch7x7dbl_1": _Convolution(768, width, 1),
        "branch7x7dbl_2": _Convolution(width, width, (7, 1)),
        "branch7x7dbl_3": _Convolution(width, width, (1, 7)),
        "branch7x7dbl_4": _Convolution(width, width, (7, 1)),
        "branch7x7dbl_5": _Convolution(width, 192, (1, 7)),
        "branch_pool": _Convolution(768, 192, 1),
    }
    branches = [
        ["branch1x1"],
        [f"branch7x7_{k}" for k in (1, 2, 3)],
        [f"branch7x7dbl_{k}" for k in (1, 2, 3, 4, 5)],
        ["branch_pool"],
    ]
    return _Mixed(modules, branches, "average")


def _mixed_7a() -> _Mixed:
    modules = {
        "branch3x3_1": _Convolution(768, 192, 1),
        "branch3x3_2": _Convolution(192, 320, 3, stride=2, same=False),
        "branch7x7x3_1": _Convolution(768, 192, 1),
        "branch7x7x3_2": _Convolution(192, 192, (1, 7)),
        "branch7x7x3_3": _Convolution(192, 192, (7, 1)),
        "branch7x7x3_4": _Convolution(192, 192, 3, stride=2, same=False),
    }
    branches = [["branch3x3_1", "branch3x3_2"], [f"branch7x7x3_{k}" for k in (1, 2, 3, 4)]]
    return _Mixed(modules, branches, "reduce")


def _mixed_7(inputs: int, pool: str) -> _Mixed:
    modules = {
        "branch1x1": _Convolution(inputs, 320, 1),
        "branch3x3_1": _Convolution(inputs, 384, 1),
        "branch3x3_2a": _Convolution(384, 384, (1, 3)),
        "branch3x3_2b": _Convolution(384, 384, (3, 1)),
        "branch3x3dbl_1": _Convolution(inputs, 448, 1),
        "branch3x3dbl_2": _Convolution(448, 384, 3),
        "branch3x3dbl_3a": _Convolution(384, 384, (1, 3)),
        "branch3x3dbl_3b": _Convolution(384, 384, (3, 1)),
        "branch_pool": _Convolution(inputs, 192, 1),
    }
    branches: list[list[str | tuple[str, str]]] = [
        ["branch1x1"],
        ["branch3x3_1", ("branch3x3_2a", "branch3x3_2b")],
        ["branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")],
        ["branch_pool"],
    ]
    return _Mixed(modules, branches, pool)


def _all_modules() -> dict[str, nn.Module]:
    """The modules in order; the maximum pools between them are :data:`_POOLED`."""
    return {
        "Conv2d_1a_3x3": _Convolution(3, 32, 3, stride=2, same=False),
        "Conv2d_2a_3x3": _Convolution(32, 32, 3, same=False),
        "Conv2d_2b_3x3": _Convolution(32, 64, 3),
        "Conv2d_3b_1x1": _Convolution(64, 80, 1),
        "Conv2d_4a_3x3": _Convolution(80, 192, 3, same=False),
        "Mixed_5b": _mixed_5(192, 32),
        "Mixed_5c": _mixed_5(256, 64),
        "Mixed_5d": _mixed_5(288, 64),
        "Mixed_6a": _mixed_6a(),
        "Mixed_6b": _mixed_6(128),
        "Mixed_6c": _mixed_6(160),
        "Mixed_6d": _mixed_6(160),
        "Mixed_6e": _mixed_6(192),
        "Mixed_7a": _mixed_7a(),
        "Mixed_7b": _mixed_7(1280, "average"),
        "Mixed_7c": _mixed_7(2048, "maximum"),
    }


_POOLED = ("Conv2d_2b_3x3", "Conv2d_4a_3x3")
"""The modules that a maximum pool of size 3 and stride 2 follows."""


class InceptionTrunk(nn.Module):
    """Inception up to one of its layers, with the mean over positions.

    Args:
        features: 64, 192, 768 or 2048, the channels of the layer.
    """

    def __init__(self, features: int = 2048) -> None:
        super().__init__()
        if features not in LAYERS:
            raise ValueError(f"features={features} is not allowed, it must be one of {', '.join(map(str, LAYERS))}")
        for name, module in _all_modules().items():
            self.add_module(name, module)
            if name == LAYERS[features]:
                break

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(m, features)`` of images ``(m, 3, 299, 299)`` in [-1, 1]."""
        for name, module in self.named_children():
            images = module(images)
            if name in _POOLED:
                images = F.max_pool2d(images, 3, stride=2)
        return images.mean((2, 3))
