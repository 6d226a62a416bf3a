"""What a dotted name, or a file and a name in it, stands for.

``package.module.Name`` is imported as Python would: what is installed, then what lies in the current directory.
``path/to/file.py:Name`` is that file, whatever is installed under its name; what it imports from its own directory is
found there.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ngbench.disk import files
from ngbench.errors import NoPluginError, PluginError, UnknownNameError, describe, one_line

__all__ = ["Located", "SourceFile", "is_located", "locate"]

_FILE = re.compile(r"(.*\.py):([^:]*)", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class SourceFile:
    """The file that an object was made by.

    Attributes:
        path: of the file; relative if it lies in the current directory.
        digest: hexadecimal SHA-256 of its content.
    """

    path: str
    digest: str


@dataclass(frozen=True)
class Located:
    """What a name stands for.

    Attributes:
        found: the object.
        file: where it is from, if that is a file which was named or which lies in the current directory.
    """

    found: Any
    file: SourceFile | None


def is_located(name: str) -> bool:
    """Whether ``name`` says where its object is: a plugin's name has no dot."""
    return "." in name


def locate(name: str, what: str, noun: str, eligible: Callable[[Any], bool]) -> Located:
    """The object that ``name`` says where to find.

    Args:
        name: ``package.module.Name`` or ``path/to/file.py:Name``.
        what: the kind of plugin, for messages, such as ``optimizer``.
        noun: what the object is, for messages, such as ``class``.
        eligible: whether an object could be meant; where nothing has the name, the message lists those that could.

    Raises:
        PluginError: the name is neither, there is no such module or file, or it cannot be imported.
        UnknownNameError: the module has nothing of that name.
    """
    refusal = f"{what} {name!r} is not allowed, it must be PACKAGE.MODULE.{noun.upper()} or FILE.py:{noun.upper()}"
    matched = _FILE.fullmatch(name)
    if name.endswith(".py") and files.is_file(Path(name)):
        raise PluginError(f"{refusal}, such as {name}:{next(iter(_defined(Path(name))), noun.upper())}")
    place, attribute = matched.groups() if matched else name.rpartition(".")[::2]
    if not place or not all(part.isidentifier() for part in ([attribute] if matched else name.split("."))):
        raise PluginError(refusal)
    try:
        module = _import_file(Path(place), f"{what} {name!r}") if matched else _import_module(place)
    except (PluginError, KeyboardInterrupt):
        raise
    except ModuleNotFoundError as error:
        if not matched and error.name and (place == error.name or place.startswith(f"{error.name}.")):
            raise NoPluginError(f"{what} {name!r} is unknown: there is no module {error.name!r}") from None
        raise PluginError(f"{what} {name!r} cannot be imported: {one_line(error)}") from error
    except BaseException as error:
        raise PluginError(f"{what} {name!r} cannot be imported: {describe(error)}") from error
    if not hasattr(module, attribute):
        known = [key for key, value in vars(module).items() if not key.startswith("_") and eligible(value)]
        raise UnknownNameError(f"{what} {noun} in {place}", attribute, known)
    return Located(getattr(module, attribute), _source_file(module, named=bool(matched)))


def _import_module(name: str) -> ModuleType:
    _search(os.getcwd())
    return importlib.import_module(name)


def _import_file(path: Path, who: str) -> ModuleType:
    if not files.is_file(path):
        raise NoPluginError(f"{who} is unknown: there is no file {str(path)!r}")
    content = files.read_bytes(path, "the module", PluginError)
    # A file that was changed is another module, and none takes the place of one that is installed.
    digest = hashlib.sha256(os.fsencode(path.resolve()) + content).hexdigest()
    name = f"{path.stem}_{digest[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    _search(str(path.resolve().parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _search(directory: str) -> None:
    """Let modules be found in ``directory``, after all that is installed."""
    if directory not in sys.path:
        sys.path.append(directory)
    importlib.invalidate_caches()


def _source_file(module: ModuleType, *, named: bool) -> SourceFile | None:
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return None
    path, here = Path(file).resolve(), Path.cwd()
    inside = path.is_relative_to(here) and not {"site-packages", "dist-packages"} & set(path.parts)
    if not named and not inside:
        return None
    digest = hashlib.sha256(files.read_bytes(path, "the module", PluginError)).hexdigest()
    return SourceFile((path.relative_to(here) if inside else path).as_posix(), digest)


def _defined(path: Path) -> list[str]:
    """Names of the public classes and functions of a file, which is not executed."""
    try:
        body = ast.parse(files.read_bytes(path, "the module", PluginError)).body
    except (SyntaxError, ValueError):
        return []
    return [node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef) if node.name[0] != "_"]
