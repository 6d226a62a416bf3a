"""Which modules of a model are layers, and why the other parameters have no Fisher block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList

from ngbench.curvature.layers.layer import Layer

__all__ = ["Survey", "find_layers", "still_is", "survey"]


@dataclass(frozen=True)
class Survey:
    """What a model has of layers that a Fisher block is known of.

    Attributes:
        layers: in the order of the modules.
        without: of the trained parameters outside the layers, by name, why.
    """

    layers: dict[nn.Module, Layer]
    without: dict[str, str]

    @staticmethod
    def known() -> str:
        """The types of modules that may be layers."""
        return ", ".join(sorted(kind.__name__ for kind in Layer.kinds))


def survey(model: nn.Module, parameters: Iterable[nn.Parameter] | None = None) -> Survey:
    """Find the layers of a model that have a Fisher block, and say why the other parameters have none.

    A layer is a module that computes what torch's own of its type does, from a weight that it alone holds.

    Args:
        parameters: only these are trained; all of the model's by default.

    Raises:
        ValueError: a layer does not know its shape yet.
    """
    allowed = {id(p) for p in (model.parameters() if parameters is None else parameters) if p.requires_grad}
    owners = _owners(model)
    layers: dict[nn.Module, Layer] = {}
    without: dict[str, str] = {}
    for path, module in model.named_modules():
        trained = {name: p for name, p in module.named_parameters(recurse=False) if id(p) in allowed}
        if not trained:
            continue
        reason = _obstacle(path, module, trained, owners)
        if reason is None:
            kind = Layer.kind_of(module)
            assert kind is not None
            layers[module] = Layer.kinds[kind](path, module, trained.pop("weight"), trained.pop("bias", None))
            reason = f"a {kind.__name__} is a layer by its weight and bias alone"
        for name in trained:
            without.setdefault(f"{path}.{name}" if path else name, reason)
    return Survey(layers, without)


def find_layers(model: nn.Module, parameters: Iterable[nn.Parameter] | None = None) -> dict[nn.Module, Layer]:
    """The layers of :func:`survey`, with the same arguments and errors."""
    return survey(model, parameters).layers


def still_is(layer: Layer, module: nn.Module) -> bool:
    """Whether a module that was a layer still computes what torch's own does, from the parameters that it had.

    Pruning, parametrisation, another ``forward`` and :func:`torch.func.functional_call` change that.
    """
    own, base = module._parameters, Layer.kind_of(module)
    return (
        own.get("weight") is layer.weight
        and (layer.bias is None or own.get("bias") is layer.bias)
        and base is not None
        and _own_method(module, base) is None
    )


def _own_method(module: nn.Module, base: type[nn.Module]) -> str | None:
    """The method by which a module computes something else than torch's own of its type, if there is one."""
    for method in Layer.kinds[base].computed_by:
        if getattr(type(module), method, None) is not getattr(base, method, None) or method in vars(module):
            return method
    return None


def _owners(model: nn.Module) -> dict[int, list[str]]:
    """The names that each parameter has in the model."""
    owners: dict[int, list[str]] = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            owners.setdefault(id(parameter), []).append(f"{path}.{name}" if path else name)
    return owners


def _obstacle(
    path: str, module: nn.Module, trained: Mapping[str, nn.Parameter], owners: Mapping[int, list[str]]
) -> str | None:
    """Why the Fisher block of a module's parameters is not known; None if it is."""
    base = Layer.kind_of(module)
    if isinstance(module, ParametrizationList):
        return "it parametrises the weight of a layer"
    if base is None:
        return f"{type(module).__name__} is none of {Survey.known()}"
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    if weight is None:
        return "the weight of its layer is computed from other parameters"
    if is_lazy(weight):
        raise ValueError(f"layer {path!r} is lazy and has no shape yet: call the model once, then make the optimizer")
    if weight.is_complex():
        return "its weight is complex"
    if (method := _own_method(module, base)) is not None:
        return f"{type(module).__name__} has a {method} of its own"
    if "weight" not in trained:
        return "the weight of its layer is not trained"
    for parameter in trained.values():
        others = [name for name in owners[id(parameter)] if name.rpartition(".")[0] != path]
        if others:
            return f"it is shared with {', '.join(others)}"
    return None
