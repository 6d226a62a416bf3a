"""``ngbench list studies``. Loads no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

from ngbench.cli.list_plugins import format_columns
from ngbench.errors import UnknownNameError
from ngbench.escaping import terminal_lines
from ngbench.experiments.studies.claims import ScaleName
from ngbench.experiments.studies.loader import find_study, load_study, study_names
from ngbench.experiments.studies.models import Study
from ngbench.experiments.studies.plan import expand_arms

__all__ = ["describe_study", "format_studies", "format_study", "show_studies"]

_SCALES: tuple[ScaleName, ...] = get_args(ScaleName)


def show_studies(names: Sequence[str], *, full: bool, as_json: bool) -> None:
    """Print the studies.

    Args:
        names: of those that are shown in full; all are shown where none is given.
        full: show all in full.
        as_json: print JSON.

    Raises:
        UnknownNameError: there is no study of a name.
    """
    known = study_names()
    for name in names:
        if name not in known:
            raise UnknownNameError("study", name, known)
    described = [describe_study(load_study(find_study(name)).study) for name in names or known]
    if as_json:
        print(json.dumps(described, indent=2))
    elif names or full:
        print(terminal_lines("\n\n".join(map(format_study, described))))
    else:
        print(format_studies(described))


def describe_study(study: Study) -> dict[str, Any]:
    """What there is to know of a study before it is run."""
    return {
        "name": study.study,
        "title": study.title,
        "source": study.source,
        "question": study.question,
        "measure": study.measure,
        "tasks": list(dict.fromkeys(panel.task for panel in study.panels)),
        "arms": [arm.name for arm in expand_arms(study)],
        "minutes": {
            name: None if (scale := study.scales.named(name)).skip is not None else scale.minutes for name in _SCALES
        },
        "claims": [{"name": claim.name, "says": claim.says, "scales": list(claim.scales)} for claim in study.claims],
    }


def format_studies(described: Sequence[dict[str, Any]]) -> str:
    """One line for each study: name, title, tasks, minutes by scale, number of claims."""
    header = ("study", "title", "tasks", *(f"{name} min" for name in _SCALES), "claims")
    rows = [
        (
            one["name"],
            one["title"],
            " ".join(one["tasks"]),
            *(_minutes(one["minutes"][name]) for name in _SCALES),
            str(len(one["claims"])),
        )
        for one in described
    ]
    return format_columns([header, *rows])


def format_study(described: dict[str, Any]) -> str:
    """A study in full."""
    minutes = ", ".join(f"{name} {_minutes(described['minutes'][name])}" for name in _SCALES)
    lines = [
        f"{described['name']}: {described['title']}",
        f"  source: {described['source']}",
        f"  question: {described['question']}",
        f"  measures: {described['measure']}",
        f"  tasks: {', '.join(described['tasks'])}",
        f"  arms: {', '.join(described['arms'])}",
        f"  minutes: {minutes}",
        "  claims:",
    ]
    for claim in described["claims"]:
        lines.append(f"    {claim['name']} ({', '.join(claim['scales'])}): {claim['says']}")
    return "\n".join(lines)


def _minutes(minutes: float | None) -> str:
    return "–" if minutes is None else f"{minutes:g}"
