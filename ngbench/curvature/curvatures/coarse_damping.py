"""λ of ``F• = F + λI`` in a two-level correction: its own, or that of the level that is corrected."""

from __future__ import annotations

from collections.abc import Mapping

from ngbench.curvature.bounds import Positive, check
from ngbench.curvature.curvatures.base import Curvature

__all__ = ["CoarseDamping"]


class CoarseDamping:
    """The damping of a correction, and the hyper-parameters of both levels.

    Args:
        fine: the curvature that is corrected.
        own: λ, or None to follow the damping of ``fine``.

    Raises:
        ValueError: there is no λ of its own, and ``fine`` has none to follow.
    """

    def __init__(self, fine: Curvature, own: float | None) -> None:
        if own is None and "damping" not in fine.hyperparameters():
            raise ValueError(f"damping=None is not allowed with {type(fine).__name__}, which has no damping to follow")
        self._fine = fine
        self._own = own

    @property
    def value(self) -> float:
        """λ."""
        return self._fine.hyperparameters()["damping"] if self._own is None else self._own

    @property
    def kind(self) -> str:
        """What the states of both levels are compared by."""
        return self._fine.kind if self._own is None else f"{self._fine.kind}, damped apart"

    def hyperparameters(self) -> dict[str, float]:
        """Those of the fine level and, where it is its own, ``coarse_damping``."""
        own = {} if self._own is None else {"coarse_damping": self._own}
        return {**self._fine.hyperparameters(), **own}

    def set(self, values: Mapping[str, float]) -> None:
        """Take new ones for both levels.

        Raises:
            ValueError: one is out of range; nothing is changed.
        """
        own = self.of(values)
        self._fine.set_hyperparameters(values)
        self.restore(own)

    def of(self, values: Mapping[str, float]) -> float:
        """λ among ``values``.

        Raises:
            ValueError: it is out of range.
        """
        name = "damping" if self._own is None else "coarse_damping"
        check(name, values[name], Positive)
        return values[name]

    def restore(self, value: float) -> None:
        """Take λ, where it is not that of the fine level."""
        self._own = None if self._own is None else value
