"""The file in which a project keeps its defaults: ``ngbench.toml``, or ``[tool.ngbench]`` in ``pyproject.toml``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ngbench.disk import files
from ngbench.errors import ParameterError, PathError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["ProjectFile", "in_force", "nearest_project_file", "project_thresholds", "read_project_file"]

_OWN, _SHARED = "ngbench.toml", "pyproject.toml"
_KEY = "fail-if"


@dataclass(frozen=True)
class ProjectFile:
    """What a file says of ngbench: keys are names of options, and tables those of commands.

    Attributes:
        path: of the file.
        content: of its table.
    """

    path: Path
    content: Mapping[str, Any]

    def where(self, command: str = "") -> str:
        """The table of the command, or that of all commands, in words."""
        tables = [*(["tool.ngbench"] if self.path.name == _SHARED else []), *([command] if command else [])]
        return f"[{'.'.join(tables)}] in {str(self.path)!r}" if tables else repr(str(self.path))

    def table(self, command: str) -> Mapping[str, Any]:
        """What the file says of the command alone.

        Raises:
            ParameterError: it is no table.
        """
        table = self.content.get(command, {})
        if not isinstance(table, dict):
            raise ParameterError(f"{self.where(command)} must be a table")
        return table


_IN_FORCE: ContextVar[tuple[ProjectFile | None] | None] = ContextVar("project_file", default=None)
"""The file, if that is settled; else it is looked for."""


@contextmanager
def in_force(file: ProjectFile | None) -> Iterator[None]:
    """Inside, this is the file of the project, or there is none."""
    token = _IN_FORCE.set((file,))
    try:
        yield
    finally:
        _IN_FORCE.reset(token)


def nearest_project_file(directory: Path) -> ProjectFile | None:
    """The first that is found from the directory upwards; a ``pyproject.toml`` without the table is passed by.

    Raises:
        ParameterError: a file is not TOML, or ``tool.ngbench`` is no table.
    """
    for parent in (directory, *directory.parents):
        for name in (_OWN, _SHARED):
            # What may not be looked at is not this user's project.
            with suppress(PathError):
                if files.is_file(parent / name) and (found := _read(parent / name)) is not None:
                    return found
    return None


def read_project_file(path: Path) -> ProjectFile:
    """The file that a user named; raises as :func:`nearest_project_file`, and where it holds no table."""
    found = _read(path)
    if found is None:
        raise ParameterError(f"{str(path)!r} has no table [tool.ngbench]")
    return found


def project_thresholds(directory: Path) -> tuple[Path, list[str]] | None:
    """``fail-if`` of the table ``check`` in the project's file, which is looked for from ``directory`` upwards.

    Returns:
        The file and the thresholds as text; ``None`` if there are none.

    Raises:
        ParameterError: they are no list of texts.
    """
    settled = _IN_FORCE.get()
    found = nearest_project_file(directory) if settled is None else settled[0]
    values = found.table("check").get(_KEY, []) if found is not None else []
    if found is None or not values:
        return None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ParameterError(f"{found.where('check')}: {_KEY} must be a list of texts such as 'step_time.ratio:5%'")
    return found.path, values


def _read(path: Path) -> ProjectFile | None:
    try:
        content: Any = tomllib.loads(files.read_text(path, error=ParameterError))
    except ValueError as error:
        raise ParameterError(f"{str(path)!r} is not TOML: {error}") from error
    if path.name == _SHARED:
        tool = content.get("tool")
        content = tool.get("ngbench") if isinstance(tool, dict) else None
    if content is None:
        return None
    file = ProjectFile(path, content)
    if not isinstance(content, dict):
        raise ParameterError(f"{file.where()} must be a table")
    return file
