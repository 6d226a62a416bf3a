"""Plugins whose functions share hyper-parameters, each with a signature that shows all of them."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from ngbench.curvature.bounds import checked

__all__ = ["shares_parameters"]

# An argument in a docstring as inspect.getdoc gives it, and not the lines after its first.
_ENTRY = re.compile(r" {4}(\w+):")

P = ParamSpec("P")
R = TypeVar("R")


def shares_parameters(base: Callable[..., Any]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Put the keyword-only parameters of ``base``, and what its docstring says of them, in the place of ``**shared``.

    The function is :func:`~ngbench.curvature.bounds.checked`: it refuses from Python what the command line does.

    A signature is a plugin's documentation, and this keeps it whole without a copy in every plugin::

        @shares_parameters(build)
        def plugin(model, task, *, rank: int = 2, **shared: Any): ...
            \"\"\"What the plugin is.

            Args:
                rank: the description.
            \"\"\"
            return build(model, task, something(rank), **shared)

    Parameters of the plugin follow those of ``base``, or take the place of the one of the same name.
    """
    hints = typing.get_type_hints(base, include_extras=True)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        own = inspect.signature(function)
        leading = [p for p in own.parameters.values() if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
        shared = {
            name: parameter.replace(annotation=hints.get(name, parameter.annotation))
            for name, parameter in inspect.signature(base).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY and name not in {p.name for p in leading}
        }
        shared |= {name: p for name, p in own.parameters.items() if p.kind is p.KEYWORD_ONLY}
        signature = own.replace(parameters=[*leading, *shared.values()])
        summary, described = _split(inspect.getdoc(function) or "")
        _, others = _split(inspect.getdoc(base) or "")
        function.__signature__ = signature  # type: ignore[attr-defined]
        function.__doc__ = f"{summary}\n\nArgs:\n" + "\n".join({**others, **described}.values()) + "\n"
        return checked(function)

    return decorate


def _split(docstring: str) -> tuple[str, dict[str, str]]:
    """What stands before the ``Args:``, and the entries of that section, which must be the last, by name."""
    before, _, section = docstring.partition("Args:\n")
    entries: dict[str, str] = {}
    for line in section.splitlines():
        if match := _ENTRY.match(line):
            entries[match[1]] = line
        elif line.strip():
            entries[next(reversed(entries))] += f"\n{line}"
    return before.rstrip(), entries
