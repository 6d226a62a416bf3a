"""The first line of a docstring, read from the source of a module that is not imported."""

from __future__ import annotations

import ast
import importlib.util
from importlib.machinery import ModuleSpec, PathFinder

from ngbench.escaping import without_marks

__all__ = ["SourceNotFound", "first_line", "read_summary"]

_MAX_HOPS = 8


class SourceNotFound(Exception):
    """There is no module of that name; the message says which."""


def read_summary(module: str, attribute: str) -> str:
    """First docstring line of ``module:attribute``, of a function or class; empty if the source lacks it.

    Nothing is executed, not even the packages above the module. A name that the module imports from another
    one is followed there.

    Raises:
        SourceNotFound: if the module does not exist.
    """
    if _find_spec(module) is None:
        raise SourceNotFound(f"there is no module {module!r}")
    first, *rest = attribute.split(".")
    for _ in range(_MAX_HOPS):
        tree = _parse(module)
        if tree is None:
            return ""
        node = _definition(tree.body, first)
        if node is not None:
            return _docstring_line(node, rest)
        source = _imported_from(tree.body, module, first)
        if source is None:
            return ""
        module, first = source
    return ""


def _find_spec(module: str) -> ModuleSpec | None:
    """Where ``module`` is; unlike :func:`importlib.util.find_spec` without importing its parents."""
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
        name = top
        for part in below:
            if spec is None or spec.submodule_search_locations is None:
                return None
            name = f"{name}.{part}"
            spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    except (ImportError, ValueError, AttributeError):
        return None
    return spec


def _parse(module: str) -> ast.Module | None:
    spec = _find_spec(module)
    get_source = getattr(spec.loader, "get_source", None) if spec is not None else None
    if spec is None or get_source is None:
        return None
    try:
        source = get_source(spec.name)
        return ast.parse(source) if source is not None else None
    except (OSError, ImportError, SyntaxError, ValueError):
        return None


_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _definition(body: list[ast.stmt], name: str) -> _Definition | None:
    found = [node for node in body if isinstance(node, _Definition) and node.name == name]
    return found[-1] if found else None


def _docstring_line(node: _Definition, attributes: list[str]) -> str:
    for attribute in attributes:
        inner = _definition(node.body, attribute)
        if inner is None:
            return ""
        node = inner
    return first_line(ast.get_docstring(node) or "")


def first_line(docstring: str) -> str:
    """The first line of a docstring, as plain text."""
    return without_marks(docstring.strip().partition("\n")[0])


def _imported_from(body: list[ast.stmt], module: str, name: str) -> tuple[str, str] | None:
    for node in body:
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            if (alias.asname or alias.name) == name:
                return _absolute(node, module), alias.name
    return None


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    spec = _find_spec(module)
    is_package = spec is not None and spec.submodule_search_locations is not None
    parts = module.split(".")
    base = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*base, *([node.module] if node.module else [])])
