"""Matrix products that round as no library promises not to: every entry of a result a little off, each its own way."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_PRODUCTS = (
    torch.ops.aten.mm,
    torch.ops.aten.addmm,
    torch.ops.aten.addmm_,
    torch.ops.aten.bmm,
    torch.ops.aten.baddbmm,
    torch.ops.aten.baddbmm_,
    torch.ops.aten.mv,
    torch.ops.aten.addmv,
    torch.ops.aten.addmv_,
    torch.ops.aten.dot,
    torch.ops.aten.linear,
    torch.ops.aten.convolution,
    torch.ops.aten.convolution_backward,
)


class Rounding(TorchDispatchMode):
    """Inside of it each entry of a product is multiplied by ``1 + u ε`` with u drawn from [-n, n].

    So the product of a matrix with itself is not symmetric, equal products differ from one call to the next and in a
    batch from alone, and what is exactly zero stays so.

    Args:
        units: n; with 0 products are as they are.
        seed: of the draws.

    Attributes:
        shapes: how often which product was taken, by the shapes of its matrices.
    """

    def __init__(self, units: float = 1, seed: int = 0) -> None:
        super().__init__()
        self.units = units
        self.generator = torch.Generator().manual_seed(seed)
        self.shapes: Counter[tuple[object, ...]] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function.overloadpacket in _PRODUCTS:
            matrices = tuple(tuple(x.shape) for x in args if isinstance(x, Tensor))
            self.shapes[(function.overloadpacket, *matrices)] += 1
            for tensor in result if isinstance(result, (tuple, list)) else [result]:
                if self.units and isinstance(tensor, Tensor):
                    self._disturb(tensor)
        return result

    def _disturb(self, tensor: Tensor) -> None:
        draws = torch.rand(tensor.shape, generator=self.generator, dtype=torch.float64).mul_(2).sub_(1)
        factor = draws.mul_(self.units * torch.finfo(tensor.dtype).eps).add_(1)
        tensor.copy_(tensor.double().mul_(factor))
