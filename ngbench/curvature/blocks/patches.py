"""Where a convolution looks: padding, and the patches of its input as a view."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_weight

__all__ = ["Geometry", "pair"]


@dataclass(frozen=True)
class Geometry:
    """The shape of a two-dimensional convolution; pairs are vertical, horizontal.

    Attributes:
        kernel: height and width of the kernel.
        stride: pixels between positions.
        dilation: pixels between the kernel's entries.
        padding: pixels added on the left, right, top and bottom.
        mode: what is added: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        groups: groups of channels that are convolved apart.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    mode: str = "zeros"
    groups: int = 1

    @classmethod
    def of(cls, module: nn.Conv2d) -> Geometry:
        """That of a module, ``"same"`` and ``"valid"`` padding resolved."""
        kernel, dilation = pair(module.kernel_size), pair(module.dilation)
        if module.padding == "valid":
            padding = (0, 0, 0, 0)
        elif module.padding == "same":
            total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
            # PyTorch puts the odd pixel on the right and at the bottom.
            top, left = (number // 2 for number in total)
            padding = (left, total[1] - left, top, total[0] - top)
        else:
            vertical, horizontal = pair(module.padding)
            padding = (horizontal, horizontal, vertical, vertical)
        return cls(kernel, pair(module.stride), dilation, padding, module.padding_mode, module.groups)

    def pad(self, x: Tensor) -> Tensor:
        """``x`` ``(n, c, height, width)`` with its padding."""
        if not any(self.padding):
            return x
        return functional.pad(x, self.padding, mode="constant" if self.mode == "zeros" else self.mode)

    def grid(self, x: Tensor) -> tuple[int, int]:
        """Height and width of the output for an input ``(..., height, width)`` before padding."""
        left, right, top, bottom = self.padding
        height, width = (
            (size - d * (k - 1) - 1) // s + 1
            for size, k, s, d in zip(
                (x.shape[-2] + top + bottom, x.shape[-1] + left + right),
                self.kernel,
                self.stride,
                self.dilation,
                strict=True,
            )
        )
        return height, width

    def windows(self, x: Tensor) -> Tensor:
        """The patches of ``x`` ``(n, c, height, width)`` at each position of the output, nothing copied but padding.

        Returns:
            A view of shape ``(n, groups, c / groups, kh, kw, output height, output width)``.
        """
        grid = self.grid(x)
        x = self.pad(x)
        example, channel, row, column = x.stride()
        channels = x.shape[1] // self.groups
        return x.as_strided(
            (x.shape[0], self.groups, channels, *self.kernel, *grid),
            (
                example,
                channels * channel,
                channel,
                self.dilation[0] * row,
                self.dilation[1] * column,
                self.stride[0] * row,
                self.stride[1] * column,
            ),
        )

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution of ``x`` with ``weight`` ``(c_out, c / groups, kh, kw)``."""
        x, padding = self._padded(x)
        return functional.conv2d(x, weight, bias, self.stride, padding, self.dilation, self.groups)

    def weight_gradient(self, x: Tensor, derivatives: Tensor) -> Tensor:
        """``Σ_b Σ_t g aᵀ`` as ``(c_out, c / groups · kh · kw)``, for derivatives ``(n, c_out, ...)``."""
        x, padding = self._padded(x)
        shape = (derivatives.shape[1], x.shape[1] // self.groups, *self.kernel)
        gradient: Tensor = conv2d_weight(  # type: ignore[no-untyped-call]
            x, shape, derivatives, self.stride, padding, self.dilation, self.groups
        )
        return gradient.flatten(1)

    def _padded(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """``x`` and the padding that is left to the convolution, which knows only symmetric zeros."""
        left, right, top, bottom = self.padding
        if self.mode == "zeros" and left == right and top == bottom:
            return x, (top, left)
        return self.pad(x), (0, 0)


def pair(value: object) -> tuple[int, int]:
    """Vertical and horizontal of an option of a convolution, which may be one number for both."""
    first, second = value if isinstance(value, tuple) else (value, value)
    return int(first), int(second)
