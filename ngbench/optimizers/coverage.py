"""Which trained parameters have a curvature, and which go without: said once."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.curvatures.base import Curvature
from ngbench.curvature.layers import Layer, Survey, survey
from ngbench.plugins.protocol import LayerShape

__all__ = ["Coverage", "CurvatureWarning"]

_MOST_NAMES = 8


class CurvatureWarning(UserWarning):
    """Trained parameters take their plain gradient, or that of a curvature that is not renewed."""


class Coverage:
    """The layers of a model, and the parameters that a natural gradient moves along their plain gradient.

    Args:
        model: the model.

    Attributes:
        without: parameters of the last step by name, and the reason of each.
        fresh: the names among them that were not there in any step before.
        named: those of all steps.
        positions: of each layer that a curvature was estimated of, at how many places an example used it; no part of
            a state, so known from the next estimate on.
    """

    def __init__(self, model: nn.Module) -> None:
        self.without: dict[str, str] = {}
        self.fresh: list[str] = []
        self._model = model
        self._reasons: Mapping[str, str] = {}
        self._surveyed: list[int] = []
        self.named: set[str] = set()
        self.positions: dict[str, int] = {}
        self._predicted: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._last: list[int] | None = None
        self._missed = False

    def find(self, trained: Sequence[nn.Parameter]) -> dict[nn.Module, Layer]:
        """The layers of which a weight is among ``trained``.

        Raises:
            ValueError: there is none.
        """
        found = self.find_new(trained, {})
        if not found:
            reasons = "; ".join(f"{name}: {why}" for name, why in list(self._reasons.items())[:4])
            raise ValueError(
                f"{type(self._model).__name__} has no trained layer that a natural gradient knows, which are plain"
                f" {Survey.known()}" + (f" ({reasons})" if reasons else "")
            )
        return found

    def find_new(self, trained: Sequence[nn.Parameter], known: Mapping[nn.Module, Layer]) -> dict[nn.Module, Layer]:
        """Layers that were unfrozen or added since the last call, or whose bias was."""
        key = [id(parameter) for parameter in trained if parameter.requires_grad]
        if key == self._surveyed:
            return {}
        found = survey(self._model, trained)
        self._reasons, self._surveyed = found.without, key
        return {module: layer for module, layer in found.layers.items() if not _covers(known.get(module), layer)}

    def note_blocks(self, blocks: Mapping[Layer, FisherBlock], curvature: Curvature) -> None:
        """A curvature was estimated from these blocks."""
        for layer, block in blocks.items():
            if self.positions.get(layer.name) != block.positions:
                self.positions[layer.name] = block.positions
                self._predicted[layer.name] = {
                    phase: asdict(cost) for phase, cost in curvature.predicted(layer, block).items()
                }

    def shapes(self, layers: Iterable[Layer]) -> list[LayerShape]:
        """Those of ``layers`` that a curvature was estimated of."""
        return [
            {
                "name": one.name,
                "d_in": one.d_in,
                "d_out": one.d_out,
                "positions": self.positions[one.name],
                "predicted": self._predicted[one.name],
            }
            for one in layers
            if one.name in self.positions
        ]

    def note_missed(self, why: str) -> None:
        """No forward pass counted at a step at which the curvature was to be estimated: said once."""
        if not self._missed:
            self._missed = True
            sentence = f"no curvature was estimated at a step that is due for it, so that the last one stays: {why}"
            warnings.warn(sentence, CurvatureWarning, stacklevel=6)

    def note(
        self, plain: Sequence[Tensor], layers: Iterable[Layer], unseen: Collection[Layer], changed: Collection[Layer]
    ) -> None:
        """A step has moved ``plain`` along their gradients.

        Args:
            plain: parameters.
            layers: the layers with a Fisher block.
            unseen: those whose weights the model uses elsewhere too.
            changed: those whose modules compute something else by now.
        """
        self.fresh = []
        numbers = [id(parameter) for parameter in plain]
        if numbers == self._last:
            return
        self._last = numbers
        found = {number: f"a parameter of shape {tuple(p.shape)}" for number, p in zip(numbers, plain, strict=True)}
        found |= {id(p): name for name, p in self._model.named_parameters() if id(p) in found}
        why = {
            id(parameter): "its layer has been changed since, and computes something else than torch's own or has"
            " another weight"
            if layer in changed
            else "the model uses its weight in another way than by calling the layer too"
            if layer in unseen
            else "its layer was in no forward pass, with gradients, of which the curvature was estimated and inverted"
            for layer in layers
            for parameter in layer.parameters
        }
        for name, parameter in self._model.named_parameters(remove_duplicate=False):
            if name in self._reasons:
                why[id(parameter)] = self._reasons[name]
                found[id(parameter)] = name if id(parameter) in found else ""
        self.without = {
            found[number]: why.get(number, "it is no parameter of the model's modules") for number in numbers
        }
        self.fresh = [name for name in self.without if name not in self.named]
        if self.fresh:
            self.named.update(self.fresh)
            warnings.warn(self._sentence(), CurvatureWarning, stacklevel=6)

    def _sentence(self) -> str:
        by_reason: dict[str, list[str]] = {}
        for name in self.fresh:
            by_reason.setdefault(self.without[name], []).append(name)
        parts = []
        for reason, names in by_reason.items():
            more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            parts.append(f"{', '.join(names[:_MOST_NAMES])}{more} ({reason})")
        return f"{len(self.fresh)} trained parameters take their plain gradient, without curvature: {'; '.join(parts)}"


def _covers(known: Layer | None, found: Layer) -> bool:
    """Whether a layer that is known has all of the parameters of the one that was found; it may have frozen ones."""
    return known is not None and {id(p) for p in found.parameters} <= {id(p) for p in known.parameters}
