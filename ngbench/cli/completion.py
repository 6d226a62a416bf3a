"""Names that a shell completes: whatever ``ngbench list`` shows. None of them loads torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ngbench.plugins.plugin import Kind

__all__ = ["approximations", "arms", "plugins", "studies", "tasks"]


def tasks(incomplete: str) -> list[str]:
    """Tasks that begin so."""
    return _beginning(_plugins("task"), incomplete)


def arms(incomplete: str) -> list[str]:
    """The optimizers, in the place of the last of several with commas between them."""
    return _last(incomplete, _plugins("optimizer"))


def approximations(incomplete: str) -> list[str]:
    """The approximations, in the place of the last of several with commas between them."""
    return _last(incomplete, _plugins("approximation"))


def plugins(incomplete: str) -> list[str]:
    """Plugins of any kind."""
    return _beginning(sorted({*_plugins("task"), *_plugins("optimizer"), *_plugins("approximation")}), incomplete)


def studies(incomplete: str) -> list[str]:
    """The studies that come with ngbench."""
    from ngbench.experiments.studies.loader import study_names

    return _beginning(study_names(), incomplete)


def _plugins(kind: Kind) -> list[str]:
    from ngbench.plugins import registry

    return [row.name for row in registry.rows(registry.GROUPS[kind])]


def _last(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _beginning(names, last)]


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
