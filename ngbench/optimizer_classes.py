"""Optimizer classes found by their dotted name, such as ``torch.optim.AdamW``."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ngbench.errors import PluginError, UnknownNameError

if TYPE_CHECKING:
    import torch

__all__ = ["one_line", "optimizer_class"]


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """The optimizer class of the dotted ``name``.

    Raises:
        PluginError: if its module cannot be imported, it is no optimizer class, or its ``step`` cannot be
            called without a closure.
        UnknownNameError: if the module has nothing of that name.
    """
    module_name, _, attribute = name.rpartition(".")
    module = _import_module(module_name, name)
    try:
        found = getattr(module, attribute)
    except AttributeError:
        classes = [key for key, value in vars(module).items() if _is_optimizer_class(value)]
        raise UnknownNameError(f"optimizer class in {module_name}", attribute, classes) from None
    if not _is_optimizer_class(found):
        raise PluginError(f"optimizer {name!r} is not allowed, it must be a subclass of torch.optim.Optimizer")
    closure = inspect.signature(found.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise PluginError(
            f"optimizer {name!r} is not allowed, its step must not need a closure that evaluates the loss"
        )
    return found  # type: ignore[no-any-return]


def one_line(error: BaseException) -> str:
    """The message of ``error`` without line breaks, or its class where there is none."""
    return " ".join(str(error).split()) or type(error).__name__


def _import_module(module_name: str, name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise PluginError(f"optimizer {name!r} is not allowed, it must be PACKAGE.MODULE.CLASS")
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise PluginError(f"optimizer {name!r} is unknown: there is no module {error.name!r}") from None
        raise PluginError(f"optimizer {name!r} cannot be imported: {one_line(error)}") from error
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise PluginError(f"optimizer {name!r} cannot be imported: {reason}") from error


def _is_optimizer_class(value: Any) -> bool:
    import torch

    base = torch.optim.Optimizer
    return isinstance(value, type) and issubclass(value, base) and value is not base
