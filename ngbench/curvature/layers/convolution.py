"""Two-dimensional convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.blocks.call import Call
from ngbench.curvature.blocks.convolution import ConvolutionBlock
from ngbench.curvature.blocks.patches import Geometry
from ngbench.curvature.layers.layer import Layer

__all__ = ["Conv2dLayer", "check_images"]


@Layer.register(nn.Conv2d)
class Conv2dLayer(Layer):
    """``nn.Conv2d``: its patches ``(c_in / groups · kh · kw)`` are the inputs of a matrix of ``c_out`` rows."""

    computed_by = ("forward", "_conv_forward")

    def __init__(self, name: str, module: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(name, module, weight, bias)
        self.geometry = Geometry.of(module)

    def block(self, calls: Sequence[Call]) -> FisherBlock:
        check_images(self.name, calls)
        return ConvolutionBlock(
            [call.inputs for call in calls],
            [call.derivatives for call in calls],
            self.geometry,
            constant=self.bias is not None,
        )


def check_images(name: str, calls: Sequence[Call]) -> None:
    """Refuse calls of a convolution without a dimension of examples.

    Raises:
        ValueError: it names the layer.
    """
    for call in calls:
        if call.inputs.ndim != 4:
            raise ValueError(
                f"layer {name!r} was called on {call.inputs.ndim}-dimensional input; its Fisher block needs"
                " (examples, channels, height, width)"
            )
