"""The signature of a plugin's function, which is its documentation: types, defaults, descriptions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ngbench.errors import NgbenchError, ParameterError, one_line
from ngbench.experiments.conformance.outcome import CheckFailed, CheckNotApplicable, Passed
from ngbench.experiments.conformance.trial import OptimizerSubject
from ngbench.plugins.parameters import Parameter
from ngbench.values import is_plain

__all__ = ["check_optimizer_signature", "check_signature"]


def check_optimizer_signature(subject: OptimizerSubject) -> Passed:
    """The plugin can be imported, and every hyper-parameter has a type, a default and a description."""
    try:
        plugin = subject.plugin
        values = subject.hyperparameters
    except NgbenchError as error:
        raise CheckFailed(_corrected(one_line(error)), fatal=True) from error
    if plugin.is_class:
        raise CheckNotApplicable(f"{len(values)} hyper-parameters of a class that was not written for this tool")
    return check_signature(plugin.build, plugin.parameters, accepts_any=plugin.accepts_any)


def check_signature(function: Callable[..., Any], parameters: Sequence[Parameter], *, accepts_any: bool) -> Passed:
    """Every parameter of a function has a default that its own annotation allows, and a description.

    Raises:
        CheckFailed: naming the first that has not.
    """
    if not (inspect.getdoc(function) or "").strip():
        raise CheckFailed("the function has no docstring: its first line is what ngbench list shows")
    if accepts_any:
        raise CheckFailed("the function takes any keyword (**): name each parameter, or a typing error is not noticed")
    for parameter in parameters:
        if parameter.required:
            raise CheckFailed(f"{parameter.name} has no default: give it one, so that the name alone can be run")
        _check_default(parameter)
        if not parameter.description:
            raise CheckFailed(
                f"{parameter.name} is not described: add a line '{parameter.name}: ...' to the Args section of the "
                "docstring, which ngbench list shows"
            )
    names = ", ".join(parameter.name for parameter in parameters)
    return Passed(f"{len(parameters)} documented: {names}" if names else "no parameters")


def _check_default(parameter: Parameter) -> None:
    if not is_plain(parameter.default):
        raise CheckFailed(
            f"{parameter.name} defaults to {parameter.default!r}, which no record can hold: use a plain value"
        )
    try:
        parameter.convert(parameter.default)
    except ParameterError as error:
        raise CheckFailed(f"the default is outside its own annotation: {error}", fatal=True) from error


def _corrected(message: str) -> str:
    return message if "annotation" not in message else f"{message}: annotate it"
