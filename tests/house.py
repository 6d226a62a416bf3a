"""The product's source, read without importing it: its modules, what they import when they run, and their rooms."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {"ngbench": ROOT / "ngbench", "ngbench_tasks": ROOT / "tasks"}


@cache
def modules() -> dict[str, Path]:
    """The file of each module of the product."""
    found = {}
    for package, place in PACKAGES.items():
        for path in sorted(place.rglob("*.py")):
            parts = path.relative_to(place).with_suffix("").parts
            found[".".join((package, *(part for part in parts if part != "__init__")))] = path
    return found


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def room_of(module: str) -> str:
    """The package below ``ngbench``, or the loose module, that a module belongs to."""
    top, *rest = module.split(".")
    return rest[0] if top == "ngbench" and rest else top


@cache
def import_graph() -> Mapping[str, frozenset[str]]:
    """What each module imports of the product when it runs, at its top or within a function, also by a made-up name.

    With a module goes the ``__init__`` of each package that it lies in, unless the importing module lies there as well.
    ``ngbench`` itself has an arrow from nobody: it holds the public names and takes each from its home on first use.
    """
    return {module: frozenset(_targets(module) - {module, "ngbench"}) for module in modules()}


def _targets(module: str) -> set[str]:
    found = {name for name, _ in imported_names(tree_of(module), module)} | _made_up_names(module)
    around = {name.rsplit(".", depth)[0] for name in found for depth in range(1, name.count(".") + 1)}
    return {name for name in found | around if name in modules() and (name in found or not _lies_in(module, name))}


def _lies_in(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def _made_up_names(module: str) -> set[str]:
    """The modules whose names begin as what ``module`` gives to ``import_module``, and end in a text that it holds."""
    nodes = list(ast.walk(tree_of(module)))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module")]
    names = [call.args[0] for call in calls if isinstance(call.args[0], ast.JoinedStr)]
    beginnings = [ast.unparse(name)[2:-1].replace("{__name__}", module).partition("{")[0] for name in names]
    return {f"{beginning}{text}" for beginning in beginnings for text in texts}


def imported_names(tree: ast.AST, module: str) -> Iterator[tuple[str, str]]:
    """The module and the name of each run-time import of ``module``; of a module as a whole, the name is empty."""
    for node in _at_run_time(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(node, module)
            for alias in node.names:
                submodule = f"{source}.{alias.name}"
                yield (submodule, "") if submodule in modules() else (source, alias.name)


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    depth = node.level - (modules()[module].name == "__init__.py")
    return ".".join([*parts[: len(parts) - depth], *filter(None, [node.module])])


def _at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below ``node``, without what only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from _at_run_time(other)
        else:
            yield child
            yield from _at_run_time(child)


def libraries_of(module: str) -> set[str]:
    """The libraries of others that ``module`` imports, at its top or within a function."""
    names = {name.partition(".")[0] for name, _ in imported_names(tree_of(module), module)}
    return names - sys.stdlib_module_names - set(PACKAGES)


def knots(graph: Mapping[str, frozenset[str]]) -> list[set[str]]:
    """The sets of two or more nodes that each reach all others of their set."""
    reached = {node: _reached(graph, node) for node in graph}
    found: list[set[str]] = []
    for node in graph:
        knot = {other for other in reached[node] if node in reached.get(other, ())}
        if len(knot) > 1 and knot not in found:
            found.append(knot)
    return found


def _reached(graph: Mapping[str, frozenset[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph.get(waiting.pop(), ()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found


def siblings(package: str) -> dict[str, frozenset[str]]:
    """What the modules and packages directly within ``package`` import of each other."""
    arrows: dict[str, set[str]] = {}
    prefix = f"{package}."
    for module, targets in import_graph().items():
        for target in targets:
            if module.startswith(prefix) and target.startswith(prefix):
                source, end = (name.removeprefix(prefix).split(".")[0] for name in (module, target))
                if source != end:
                    arrows.setdefault(source, set()).add(end)
    return {source: frozenset(ends) for source, ends in arrows.items()}


def packages() -> list[str]:
    return [module for module, path in modules().items() if path.name == "__init__.py"]


def exported_by(module: str) -> set[str]:
    """What the module has in ``__all__``."""
    for node in tree_of(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


@cache
def taken_from() -> Mapping[str, frozenset[str]]:
    """What others take of each module by name: modules, entry points, the command line, documents and templates."""
    taken: dict[str, set[str]] = {module: set() for module in modules()}
    for module in modules():
        for source, name in _taken_by(module):
            if source in taken:
                taken[source].add(name)
        attributes = {node.attr for node in ast.walk(tree_of(module)) if isinstance(node, ast.Attribute)}
        for source in _made_up_names(module) & set(modules()):
            taken[source] |= attributes & _defined_at_the_top(source)
    texts = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", *PACKAGES["ngbench"].rglob("*.tmpl")]
    for text in (path.read_text(encoding="utf-8") for path in texts):
        for source, names in re.findall(r"^ *from (ngbench\S*) import \(?([^()\n]+|[^()]+\))", text, re.MULTILINE):
            taken.get(source, set()).update(re.findall(r"\w+", names))
        for source, name in re.findall(r"`(ngbench[\w.]*)\.(\w+)`", text):
            taken.get(source, set()).add(name)
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for source, name in re.findall(r'"(ngbench[\w.]*):(\w+)"', pyproject):
        taken[source].add(name)
    for source, name in re.findall(r'_Command\("(\w+)", "(\w+)"', modules()["ngbench.cli"].read_text(encoding="utf-8")):
        taken[f"ngbench.cli.{source}"].add(name)
    for name, home in re.findall(r'"(\w+)": "(ngbench[\w.]+)"', modules()["ngbench"].read_text(encoding="utf-8")):
        taken[home].add(name)
    return {module: frozenset(names) for module, names in taken.items()}


def _taken_by(module: str) -> Iterator[tuple[str, str]]:
    """The module and the name of whatever ``module`` takes, for type checkers too."""
    whole: dict[str, str] = {}
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom):
            source = _absolute(node, module)
            for alias in node.names:
                yield source, alias.name
                whole[alias.asname or alias.name] = f"{source}.{alias.name}"
        elif isinstance(node, ast.Import):
            whole |= {alias.asname: alias.name for alias in node.names if alias.asname}
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in whole:
            yield whole[node.value.id], node.attr


def should_export(module: str) -> set[str]:
    """The names that others take of a module; the modules in a package are none."""
    return {name for name in taken_from()[module] if f"{module}.{name}" not in modules()}


def unused_in(module: str) -> set[str]:
    """The functions and classes of a module that nobody takes, by name or as an attribute; none that is registered."""
    used: set[str] = set()
    defined = set()
    for node in tree_of(module).body:
        names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.discard(node.name)
            if not node.decorator_list or ast.unparse(node.decorator_list[0]).startswith("dataclass"):
                defined.add(node.name)
        used |= names
    return defined - used - taken_from()[module] - _attributes()


@cache
def _attributes() -> frozenset[str]:
    return frozenset(
        node.attr for module in modules() for node in ast.walk(tree_of(module)) if isinstance(node, ast.Attribute)
    )


def classes_of(module: str) -> list[str]:
    """The names of the classes that ``module`` defines."""
    return [node.name for node in ast.walk(tree_of(module)) if isinstance(node, ast.ClassDef)]


def crumbs_of(module: str) -> list[str]:
    """Lines of one or two words out of sentences that are written as several strings in a row, but for the last."""
    source = modules()[module].read_text(encoding="utf-8")
    return re.findall(r'^ *f?("(?:[^" ]+ ){1,2}")\n *f?"', source, re.MULTILINE)


def private_names_taken(module: str) -> list[str]:
    """What ``module`` uses of another module's private names: imported, or read off a module or another's object."""
    tree = tree_of(module)
    own = _defined(module)
    found = [
        f"{source}.{name}" for source, name in imported_names(tree, module) if source in modules() and _is_private(name)
    ]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not _is_private(node.attr):
            continue
        theirs = node.attr in _defined_anywhere() - own - OF_TORCH
        if theirs and ast.unparse(node.value) not in ("self", "cls", "super()"):
            found.append(ast.unparse(node))
    return sorted(set(found))


OF_TORCH = {"_parameters", "_values", "_version"}
"""Private attributes of modules and tensors for which torch has no public name."""


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@cache
def _defined(module: str) -> frozenset[str]:
    found = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return frozenset(found)


def _defined_at_the_top(module: str) -> set[str]:
    nodes = tree_of(module).body
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@cache
def _defined_anywhere() -> frozenset[str]:
    return frozenset().union(*map(_defined, modules()))
