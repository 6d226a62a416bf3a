"""Options that get their defaults from the project's file, as far as that names them."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

from ngbench.cli import declared
from ngbench.errors import ParameterError, UnknownNameError
from ngbench.escaping import terminal
from ngbench.experiments.project import ProjectFile, in_force, nearest_project_file, read_project_file

__all__ = ["DefaultingCommand", "with_project_file"]

_PANEL = "Project"
_CONFIG, _NO_CONFIG = "config", "no_config"
_READ_IN_PLACE = {("check", "fail-if")}
"""What is read where it is used, because it is used without a command line too."""
_EXCLUDE = {"output": "no-output", "no-output": "output"}
"""Where the one stands on the command line, a file does not give the other."""
_Config = Annotated[
    Path | None,
    declared.path(
        "--config",
        metavar="FILE",
        help="Defaults of options.",
        panel=_PANEL,
        shown="the nearest ngbench.toml, or pyproject.toml with [tool.ngbench], upwards from here",
    ),
]
_NoConfig = Annotated[bool, typer.Option("--no-config", help="Take no defaults from a file.", rich_help_panel=_PANEL)]


def with_project_file(command: Callable[..., None]) -> Callable[..., None]:
    """The command with ``--config`` and ``--no-config``, if it has options; :class:`DefaultingCommand` obeys them."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    if not parameters:
        return command
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, default, kind in ((_CONFIG, None, _Config), (_NO_CONFIG, False, _NoConfig))
    ]

    @functools.wraps(command)
    def call(**given: Any) -> None:
        del given[_CONFIG], given[_NO_CONFIG]
        return command(**given)

    signature = inspect.Signature([*parameters, *added])
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
    return call


class DefaultingCommand(TyperCommand):
    """A command that takes from the project's file what the command line leaves open, and says so."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters, that of the help among them, whose help names types of values alone."""
        found: list[Any] = super().get_params(ctx)
        for parameter in found:
            # What takes no value has no type, and what an argument is stands in its help.
            if getattr(parameter, "is_flag", False) or parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: None
        return found

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the values of all parameters.

        Raises:
            ParameterError: more than one task is named, or the file says what is not allowed.
            UnknownNameError: the file names an option or a command that there is not.
        """
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        given, more, _ = self.make_parser(ctx).parse_args(args=list(args))
        if more and "task" in given:
            raise ParameterError(
                f"{ctx.info_name} takes one task, and {more[0]!r} is one more than {given['task']!r}: give the command "
                "once for each task, and ngbench report DIR DIR makes one page of them all; several optimizers or "
                "approximations have commas between them"
            )
        file = None if given.get("help") else _file(given)
        with_file = any(parameter.name == _CONFIG for parameter in self.params)
        if with_file:
            ctx.with_resource(in_force(file))
        if with_file and file is not None:
            ctx.default_map = _Reading(file, self, ctx).defaults(given)
        rest: list[str] = super().parse_args(ctx, args)
        if file is not None and ctx.default_map and not ctx.params.get("quiet"):
            _say(file, ctx)
        return rest


def _file(given: Mapping[str, Any]) -> ProjectFile | None:
    if given.get(_NO_CONFIG):
        if given.get(_CONFIG):
            raise ParameterError("--config and --no-config exclude each other")
        return None
    if given.get(_CONFIG):
        return read_project_file(Path(given[_CONFIG]))
    return nearest_project_file(Path.cwd())


def _say(file: ProjectFile, ctx: Any) -> None:
    """Which values are the file's: those that the command line did not replace."""
    used = [
        f"{key} {' '.join(value) if isinstance(value, list) else value}".removesuffix(" True")
        for key, option in _options(ctx.command).items()
        if (value := ctx.default_map.get(option.name)) is not None
        and ctx.get_parameter_source(option.name).name == "DEFAULT_MAP"
    ]
    if used:
        print(terminal(f"defaults of {file.path}: {', '.join(used)}"), file=sys.stderr)


@dataclass(frozen=True)
class _Reading:
    """Of a file, for a command."""

    file: ProjectFile
    command: DefaultingCommand
    ctx: Any

    def defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the file says of the command's options, by the parameters' names and as it would be typed."""
        here = self.ctx.info_name
        options = _options(self.command)
        for key, value in self.file.content.items():
            if isinstance(value, dict) or key in self.ctx.parent.command.commands:
                self._check_table(key)
            elif key not in options:
                self._check_elsewhere(key)
        found: dict[str, Any] = {}
        for command in ("", here):
            for key, value in (self.file.table(command) if command else self.file.content).items():
                if (command or not isinstance(value, dict)) and self._is_meant(command, key, options):
                    found[key] = self._as_typed(options[key], key, value, self.file.where(command))
        given_names = {flag for flag, option in options.items() if option.name in given}
        return {
            options[key].name: value
            for key, value in found.items()
            if _EXCLUDE.get(key) not in given_names and (here, key) not in _READ_IN_PLACE
        }

    def _is_meant(self, command: str, key: str, options: Mapping[str, Any]) -> bool:
        """Whether the key is of this command; what is of no command at all was refused before."""
        if command and key not in options:
            raise UnknownNameError(f"key of {self.file.where(command)}", key, options)
        return key in options

    def _check_table(self, key: str) -> None:
        commands = self.ctx.parent.command.commands
        if key not in commands:
            raise UnknownNameError(f"command, a table of {self.file.where()},", key, commands)
        self.file.table(key)

    def _check_elsewhere(self, key: str) -> None:
        """Refuse a key that is no option of any command."""
        group, known = self.ctx.parent.command, set(_options(self.command))
        for name in group.commands:
            _, command, _ = group.resolve_command(self.ctx.parent, [name])
            known |= set(_options(command))
            if key in known:
                return
        raise UnknownNameError(f"key of {self.file.where()}", key, known)

    def _as_typed(self, option: Any, key: str, value: Any, where: str) -> Any:
        """The value as it would be typed; one that the option refuses is refused here, where its place is known."""
        values = value if isinstance(value, list) else [value]
        if option.is_flag:
            wrong = None if isinstance(value, bool) else "true or false"
        elif option.multiple:
            wrong = None if isinstance(value, list) and all(map(_is_plain, values)) else "a list of texts"
        else:
            wrong = None if _is_plain(value) else "one text or number"
        if wrong is not None:
            raise ParameterError(f"{where}: {key} must be {wrong}, not {value!r}")
        typed: Any = value if option.is_flag else [*map(str, values)] if option.multiple else str(value)
        try:
            meant = option.process_value(self.ctx, typed)
        except Exception as error:
            message = error.format_message() if hasattr(error, "format_message") else str(error)
            raise ParameterError(f"{where}: {message.rstrip('.')}") from error
        # A relative path is meant from where it is written.
        elsewhere = self.file.path.parent.absolute() != Path.cwd()
        return str(self.file.path.parent / typed) if isinstance(meant, Path) and elsewhere else typed


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _options(command: Any) -> dict[str, Any]:
    """The options of a command that a file may name, by their long flags."""
    return {
        flag.removeprefix("--"): option
        for option in command.params
        if isinstance(option, TyperOption) and option.name not in (_CONFIG, _NO_CONFIG, "help")
        for flag in option.opts
        if flag.startswith("--")
    }
