"""The largest eigenvalues of a symmetric operator on matrices, by Lanczos' method."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from ngbench.curvature.linalg.parallel import torch_threads

__all__ = ["largest_eigenvalues"]

# Up to this order all eigenvalues are cheaper than some.
_DENSE_ORDER = 1500


def largest_eigenvalues(
    times: Callable[[Tensor], Tensor], dense: Callable[[], Tensor], start: Tensor, count: int
) -> Tensor:
    """The ``count`` algebraically largest eigenvalues, or all of them if that is little more, in ascending order.

    Args:
        times: the product with a matrix of the shape of ``start``.
        dense: gives the operator as a matrix.
        start: where the iteration starts; a random one, if it is zero.
        count: how many.
    """
    order = start.numel()
    if order <= _DENSE_ORDER or 2 * count >= order:
        every: Tensor = torch.linalg.eigvalsh(dense())
        return every

    def product(vector: np.ndarray) -> np.ndarray:
        matrix = torch.from_numpy(np.asarray(vector, dtype=np.float64)).view(start.shape).to(start)
        return times(matrix).flatten().cpu().numpy()

    operator = LinearOperator((order, order), matvec=product, dtype=np.float64)
    first = start.flatten().cpu().numpy() if start.any() else None
    with torch_threads(1):
        found: np.ndarray = eigsh(operator, k=count, which="LA", v0=first, return_eigenvectors=False, tol=1e-9)
    return torch.from_numpy(found).to(start)
