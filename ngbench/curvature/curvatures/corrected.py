"""What two-level corrections have in common: the level that is corrected, and λ of ``F• = F + λI``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.bounds import Positive, check
from ngbench.curvature.curvatures.base import Curvature
from ngbench.curvature.curvatures.exact import refuse_workers
from ngbench.curvature.layers import Layer

__all__ = ["CorrectedCurvature"]


class CorrectedCurvature(Curvature):
    """A curvature with a coarse correction, and the hyper-parameters of both levels.

    Args:
        layers: the layers, in the order of the model.
        fine: the curvature of the same layers that is corrected.
        damping: λ, or None to follow the damping of ``fine``.

    Raises:
        ValueError: there is no λ of its own, and ``fine`` has none to follow.
    """

    _space_in_words = ""

    def __init__(self, layers: Mapping[Any, Layer], fine: Curvature, damping: float | None) -> None:
        if damping is None and "damping" not in fine.hyperparameters():
            raise ValueError(f"damping=None is not allowed with {type(fine).__name__}, which has no damping to follow")
        self.layers = {layer.name: layer for layer in layers.values()}
        self.fine = fine
        self._own_damping = damping

    @property
    def damping(self) -> float:
        """λ of F•."""
        return self.fine.hyperparameters()["damping"] if self._own_damping is None else self._own_damping

    @property
    def kind(self) -> str:
        apart = "" if self._own_damping is None else ", damped apart"
        return f"{type(self).__name__}{self._space_in_words} on {self.fine.kind}{apart}"

    def accumulate(self, blocks: Mapping[Layer, FisherBlock]) -> None:
        refuse_workers("a two-level correction")
        self.layers.update({layer.name: layer for layer in blocks})
        self.fine.accumulate(blocks)

    def hyperparameters(self) -> dict[str, float]:
        """Those of the fine level and, where it is its own, ``coarse_damping``."""
        own = {} if self._own_damping is None else {"coarse_damping": self._own_damping}
        return {**self.fine.hyperparameters(), **own}

    def set_hyperparameters(self, values: Mapping[str, float]) -> None:
        own = self._damping_of(values)
        self.fine.set_hyperparameters(values)
        self._take_damping(own)

    def _damping_of(self, values: Mapping[str, float]) -> float:
        """λ among ``values``.

        Raises:
            ValueError: it is out of range.
        """
        name = "damping" if self._own_damping is None else "coarse_damping"
        check(name, values[name], Positive)
        return values[name]

    def _take_damping(self, value: float) -> None:
        """Take λ, where it is not that of the fine level."""
        self._own_damping = None if self._own_damping is None else value
