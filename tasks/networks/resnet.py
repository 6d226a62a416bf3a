"""Residual networks for ImageNet (He et al., 2016), named as the usual pretrained weights name their parts.

The activations are not in place, unlike elsewhere: a curvature reads the outputs of the layers before them.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .initialisation import initialise

__all__ = ["resnet18", "resnet34", "resnet50"]

WIDTH = 64
"""Channels of the first stage; each stage has twice those of the one before."""


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """What makes the input of a block fit its output, or nothing where it does."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = _conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``(m, inputs, h, w)`` to ``(m, width, h / stride, w / stride)``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        result: Tensor = self.relu(self.bn2(self.conv2(y)) + shortcut)
        return result


class Bottleneck(nn.Module):
    """A 3 × 3 convolution between two of 1 × 1, and a shortcut; the stride is that of the 3 × 3 convolution."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, width * self.expansion, 1)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(inputs, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``(m, inputs, h, w)`` to ``(m, 4 · width, h / stride, w / stride)``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        result: Tensor = self.relu(self.bn3(self.conv3(y)) + shortcut)
        return result


class ResNet(nn.Module):
    """A residual network of four stages, on images ``(m, 3, h, w)``.

    Args:
        block: of which the stages consist.
        depths: blocks of each stage.
        classes: outputs.
        width: channels of the first stage.
    """

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], depths: Sequence[int], classes: int, width: int = WIDTH
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        outputs = width
        stages = []
        for stage, depth in enumerate(depths):
            channels = width * 2**stage
            blocks: list[nn.Module] = []
            for index in range(depth):
                blocks.append(block(outputs, channels, stride=2 if stage and not index else 1))
                outputs = channels * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(outputs, classes)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(m, classes)``."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def resnet18(classes: int, width: int = WIDTH) -> ResNet:
    """ResNet-18."""
    return ResNet(BasicBlock, (2, 2, 2, 2), classes, width)


def resnet34(classes: int, width: int = WIDTH) -> ResNet:
    """ResNet-34."""
    return ResNet(BasicBlock, (3, 4, 6, 3), classes, width)


def resnet50(classes: int, width: int = WIDTH) -> ResNet:
    """ResNet-50."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes, width)
