"""Reading studies: those of the package by name, the user's own by path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import yaml
from pydantic import ValidationError

from ngbench.disk import files
from ngbench.disk.located_yaml import LocatedYaml, load_yaml
from ngbench.errors import OutputError, ParameterError, StudyError, UnknownNameError
from ngbench.experiments.studies.models import NAME_PATTERN, Study
from ngbench.experiments.studies.references import find_faults
from ngbench.spelling import argument

__all__ = ["LoadedStudy", "dump_study", "find_study", "load_study", "study_names", "write_study"]

_SUFFIXES = (".yaml", ".yml")


class LoadedStudy:
    """A study with the file that it is from.

    Attributes:
        study: what the file says.
        file: where it is.
    """

    def __init__(self, study: Study, source: LocatedYaml) -> None:
        self.study = study
        self.file = Path(source.name)
        self._source = source

    def error(self, path: tuple[Any, ...], message: str) -> StudyError:
        """The error that something is wrong at ``path``."""
        return _error(self._source, path, message)


def study_names() -> list[str]:
    """The studies of the package: figures in their order, then tables, then the others."""
    names = [entry.name.removesuffix(".yaml") for entry in _directory() if entry.name.endswith(".yaml")]
    return sorted(names, key=_order)


def _order(name: str) -> tuple[int, list[int], str]:
    kind, _, number = name.partition("-")
    numbers = [int(part) for part in number.split(".") if part.isdecimal()]
    rank = {"figure": 0, "table": 1}.get(kind, 2) if numbers else 2
    return rank, numbers, name


def _directory() -> Iterator[Any]:
    return resources.files(__package__).iterdir()


def find_study(name: str) -> Path:
    """The file of a study: a name of the package's, or a path (with ``.yaml``, ``.yml`` or a directory in it).

    Raises:
        UnknownNameError: there is no such study.
        StudyError: there is no such file.
    """
    path = Path(name)
    if path.suffix in _SUFFIXES or len(path.parts) > 1:
        if not files.is_file(files.given_path(path)):
            raise StudyError(f"there is no study file {name!r}; ngbench list studies shows those of the package")
        return path
    names = study_names()
    if name not in names:
        raise UnknownNameError("study", name, names)
    return Path(str(resources.files(__package__).joinpath(f"{name}.yaml")))


def load_study(path: Path) -> LoadedStudy:
    """The study in a file, checked as far as it can be without the plugins.

    Raises:
        StudyError: naming the file, the line and the key of the first thing that is wrong.
        ParameterError: the file cannot be read or is not YAML.
    """
    return parse_study(load_yaml(path))


def parse_study(source: LocatedYaml) -> LoadedStudy:
    """As :func:`load_study`, from what the file holds."""
    if not isinstance(source.value, dict):
        raise StudyError(f"{source.where()}: a study is a mapping with the keys {', '.join(Study.model_fields)}")
    try:
        study = Study.model_validate(source.value)
    except ValidationError as error:
        raise _first(source, error) from error
    faults = list(find_faults(study))
    if faults:
        first = min(faults, key=lambda fault: _line(source, fault.path))
        raise _error(source, first.path, first.message)
    name = Path(source.name).stem
    if study.study != name:
        raise _error(source, ("study",), f"{study.study!r} must be the name of the file, {name!r}")
    return LoadedStudy(study, source)


def dump_study(study: Study) -> str:
    """The study as YAML that :func:`load_study` reads as an equal one."""
    content = _plain(study.model_dump(exclude_unset=True))
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110))


def write_study(name: str, directory: Path) -> Path:
    """Write the file of a new study, which has all keys and runs as it is.

    Raises:
        ParameterError: the name is not allowed.
        OutputError: the file exists or cannot be written.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ParameterError(
            f"name {name!r} is not allowed, it must be small letters, digits, dots and hyphens: faster"
        )
    path = directory / f"{name}.yaml"
    if files.exists(path):
        raise OutputError(f"{str(path)!r} exists already: give another name or {argument('output')}")
    files.make_directory(directory)
    template = (resources.files(__package__) / "study.tmpl").read_text(encoding="utf-8")
    files.write_text(Template(template).substitute(name=name), path)
    return path


def _plain(value: Any) -> Any:
    """The value with what YAML has no word for written in its words."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value.value if isinstance(value, Enum) else value


def _first(source: LocatedYaml, error: ValidationError) -> StudyError:
    """The error of the topmost line."""
    located = []
    for detail in error.errors(include_url=False):
        path = _path(source, detail["loc"])
        if detail["type"] == "unknown_key":
            path = (*path, detail["ctx"]["key"])
        located.append((path, detail))
    # What is wrong within a list makes the list too short as well.
    paths = [path for path, _ in located]
    located = [one for one in located if not any(one[0] == path[: len(one[0])] != path for path in paths)]
    path, detail = min(located, key=lambda one: _line(source, one[0]))
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "missing":
        # The line is that of the mapping in which the key is missing.
        return _error(source, path, f"the key {detail['loc'][-1]!r} is missing")
    if detail["type"] not in ("unknown_key", "value_error"):
        message = f"{_shown(detail['input'])} is not allowed: {message[:1].lower()}{message[1:]}"
    return _error(source, path, message)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _path(source: LocatedYaml, location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The keys of the file on the way to an error; what else there is on it are names of alternatives."""
    path: tuple[str | int, ...] = ()
    for part in location:
        if (*path, part) in source.lines:
            path = (*path, part)
    return path


def _line(source: LocatedYaml, path: tuple[Any, ...]) -> int:
    while path and path not in source.lines:
        path = path[:-1]
    return source.lines.get(path, 1)


def _error(source: LocatedYaml, path: tuple[Any, ...], message: str) -> StudyError:
    key = ".".join(map(str, path))
    return StudyError(f"{source.where(*path)}{f', {key}' if key else ''}: {message}")
