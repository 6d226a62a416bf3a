"""The thresholds that a project keeps in its ``pyproject.toml``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ngbench.disk import files
from ngbench.errors import ParameterError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["project_thresholds"]

_FILE = "pyproject.toml"
_KEY = "fail-if"


def project_thresholds(directory: Path) -> tuple[Path, list[str]] | None:
    """``fail-if`` of the table ``[tool.ngbench.check]`` in the nearest ``pyproject.toml`` from ``directory`` upwards.

    Returns:
        The file and the thresholds as text; ``None`` if there is no file, or no table in it.

    Raises:
        ParameterError: the file is not TOML, or the table holds anything but a list of texts called ``fail-if``.
    """
    for parent in (directory, *directory.parents):
        path = parent / _FILE
        if files.is_file(path):
            return _read(path)
    return None


def _read(path: Path) -> tuple[Path, list[str]] | None:
    try:
        content: Any = tomllib.loads(files.read_text(path, error=ParameterError))
    except ValueError as error:
        raise ParameterError(f"{str(path)!r} is not TOML: {error}") from error
    for key in ("tool", "ngbench", "check"):
        content = content.get(key) if isinstance(content, dict) else None
    if content is None:
        return None
    where = f"[tool.ngbench.check] in {str(path)!r}"
    if not isinstance(content, dict):
        raise ParameterError(f"{where} must be a table")
    unknown = sorted(set(content) - {_KEY})
    if unknown:
        raise ParameterError(f"{where} has the key {unknown[0]!r}, it may have only {_KEY!r}")
    values = content.get(_KEY, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ParameterError(f"{where}: {_KEY} must be a list of texts such as 'step_time.ratio:5%'")
    return (path, values) if values else None
