"""What a shell completes: whatever ``ngbench list`` shows, and values of options. Nothing of it loads torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ngbench.plugins.plugin import Kind
    from ngbench.records.quantities import Asker

__all__ = [
    "approximations",
    "arms",
    "columns",
    "listed",
    "metrics",
    "of_option",
    "players",
    "plugins",
    "studies",
    "tasks",
]


def tasks(incomplete: str) -> list[str]:
    """Tasks that begin so."""
    return _beginning(_plugins("task"), incomplete)


def arms(incomplete: str) -> list[str]:
    """The optimizers, in the place of the last of several with commas between them."""
    return _last(incomplete, _plugins("optimizer"))


def players(incomplete: str) -> list[str]:
    """Optimizers of either player, for the last of several."""
    before, plus, last = incomplete.rpartition("+")
    return [f"{before}{plus}{name}" for name in arms(last)]


def approximations(incomplete: str) -> list[str]:
    """The approximations, in the place of the last of several with commas between them."""
    return _last(incomplete, _plugins("approximation"))


def plugins(incomplete: str) -> list[str]:
    """Plugins of any kind."""
    return _beginning(sorted({*_plugins("task"), *_plugins("optimizer"), *_plugins("approximation")}), incomplete)


def listed(incomplete: str) -> list[str]:
    """Plugins of any kind, and studies."""
    return [*plugins(incomplete), *studies(incomplete)]


def studies(incomplete: str) -> list[str]:
    """The studies that come with ngbench."""
    from ngbench.experiments.studies.loader import study_names

    return _beginning(study_names(), incomplete)


def columns(incomplete: str) -> list[str]:
    """Columns of tables, in the place of the last of several with commas between them."""
    from ngbench.report.columns import ALL, COLUMNS

    return _last(incomplete, (*COLUMNS, ALL))


def metrics(incomplete: str) -> list[str]:
    """What ``ngbench check`` compares, up to the threshold."""
    return _beginning([f"{name}:" for name in _quantities("check")], incomplete)


def of_option(name: str, metavar: str) -> Callable[[str], list[str]] | None:
    """What completes an option that is called so, or that takes one of the words that its metavar names."""
    own: dict[str, Callable[[str], list[str]]] = {
        "task": tasks,
        "optimizer": arms,
        "reference": arms,
        "columns": columns,
        "device": lambda incomplete: _beginning(_devices(), incomplete),
        "metric": lambda incomplete: _beginning(_quantities("tune"), incomplete),
    }
    words = [word for word in metavar.split("|") if word != word.upper() or word.isdigit()]
    return own.get(name) or ((lambda incomplete: _beginning(words, incomplete)) if "|" in metavar else None)


def _devices() -> list[str]:
    """Also those of NVIDIA, as far as the system says without torch that there are any."""
    numbered = [f"cuda:{path.name.removeprefix('nvidia')}" for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]
    return ["auto", "cpu", "cuda", *numbered]


def _quantities(asker: Asker) -> list[str]:
    from ngbench.records.quantities import ANY, names_for

    return [name.replace("NAME", ANY) if asker == "check" else name for name in names_for(asker).split(", ")]


def _plugins(kind: Kind) -> list[str]:
    from ngbench.plugins import registry

    return [row.name for row in registry.rows(registry.GROUPS[kind])]


def _last(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _beginning(names, last)]


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
