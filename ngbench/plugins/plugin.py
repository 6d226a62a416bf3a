"""A plugin that is imported: what it builds, its parameters, and where it is from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ngbench.plugins.located import SourceFile
from ngbench.plugins.parameters import Parameter, convert_given, resolve
from ngbench.plugins.run_parameters import RUN_PARAMETERS

__all__ = ["Kind", "Plugin", "kind_of"]

Kind = Literal["optimizer", "task", "approximation"]


@dataclass(frozen=True)
class Plugin:
    """A plugin that is imported.

    Attributes:
        kind: what it is.
        name: what the user calls it.
        build: of an optimizer ``build(model, task, **hyperparameters)``, of a task ``build(**options)``, of an
            approximation a function from a Fisher block and the previous estimate's start to an estimate, which takes
            its options as keywords.
        parameters: its hyper-parameters or options.
        summary: first line of its documentation.
        distribution: the distribution that provides it, if it is an entry point.
        file: where it is from, if that is a file of the user's.
        accepts_any: whether it takes parameters that its signature does not name.
        is_class: whether it is an optimizer class, which need not know of this tool.
    """

    kind: Kind
    name: str
    build: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    summary: str
    distribution: str | None = None
    file: SourceFile | None = None
    accepts_any: bool = False
    is_class: bool = False

    @property
    def who(self) -> str:
        """The plugin in a message."""
        origin = self.distribution or (self.file.path if self.file is not None else None)
        return f"{self.kind} {self.name!r}" + (f" (from {origin})" if origin else "")

    @property
    def accepted(self) -> tuple[Parameter, ...]:
        """Its parameters and those :attr:`of_runs`."""
        return (*self.parameters, *self.of_runs)

    @property
    def of_runs(self) -> tuple[Parameter, ...]:
        """What an optimizer can be given and the run obeys; a parameter of the same name is the optimizer's own."""
        own = {parameter.name for parameter in self.parameters}
        return tuple(one for one in RUN_PARAMETERS if self.kind == "optimizer" and one.name not in own)

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters: those ``given``, converted and checked, and the defaults of the others."""
        return resolve(self.accepted, given, f"{self.kind} {self.name}", accepts_any=self.accepts_any)

    def convert(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that are ``given``, converted and checked."""
        return convert_given(self.accepted, given, f"{self.kind} {self.name}", accepts_any=self.accepts_any)


def kind_of(found: Any) -> Kind | None:
    """What an object is, as far as its signature says it."""
    from ngbench.plugins.optimizer_classes import is_optimizer_class

    if not inspect.isfunction(found):
        return "optimizer" if is_optimizer_class(found) else None
    first = next(iter(inspect.signature(found).parameters.values()), None)
    if first is None or first.kind in (first.KEYWORD_ONLY, first.VAR_KEYWORD):
        return "task"
    if first.name == "model":
        return "optimizer"
    return "approximation" if first.name == "block" or "FisherBlock" in str(first.annotation) else None
