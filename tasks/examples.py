"""Options that several tasks have."""

from __future__ import annotations

from typing import Annotated, Literal

from ngbench.data.arrays import ArrayDataSet
from ngbench.plugins.parameters import Range

__all__ = ["Examples", "chosen"]

Examples = Annotated[int, Range(minimum=1)] | Literal["all"]


def chosen(arrays: ArrayDataSet, examples: int | Literal["all"]) -> ArrayDataSet:
    """So many training examples, or all of them.

    Raises:
        DataError: the data set has fewer.
    """
    return arrays if examples == "all" else arrays.subset(examples)
