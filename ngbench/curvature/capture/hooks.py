"""Hooks on modules that only the module they were made for knows, and that compilers step around."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

__all__ = ["ModuleHook"]


class ModuleHook:
    """Calls a method of its owner with what torch gives a hook, as long as the owner lives.

    It keeps neither the owner nor the module alive. Copies of a module copy and pickle their hooks too: there this
    one is a function that does nothing, and that a process without this library can load.

    Args:
        owner: whose method it is.
        module: the module that it is registered on.
        method: its name; it is given the module and what else torch gives.
    """

    # torch.jit.script asks for it before it asks for what only functions have.
    __name__ = "natural_gradient_hook"

    def __init__(self, owner: Any, module: nn.Module, method: str) -> None:
        self._owner = weakref.ref(owner)
        self._module = weakref.ref(module)
        self._method = method

    def __call__(self, module: nn.Module, *arguments: Any) -> Any:
        if torch.compiler.is_compiling():
            # A decorator would import the compiler, which takes a second, where nobody compiles.
            return torch.compiler.disable(self._run)(module, *arguments)  # type: ignore[no-untyped-call]
        return self._run(module, *arguments)

    def _run(self, module: nn.Module, *arguments: Any) -> Any:
        owner = self._owner()
        if owner is None or module is not self._module():
            return None
        return getattr(owner, self._method)(module, *arguments)

    def __getattr__(self, name: str) -> Any:
        if name == "__globals__":
            raise AttributeError(
                "torch.jit.script cannot compile a model with the hooks of a natural gradient: call the optimizer's"
                " detach() first"
            )
        raise AttributeError(name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[..., None]:
        return _nothing

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (nullcontext(), "__exit__")


# The standard library's function of any arguments that returns None; a pickle of it needs no module of ours.
_nothing = nullcontext().__exit__
