"""What there is, in columns: a line for each plugin or study, or each in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ngbench.plugins.parameters import format_value

__all__ = ["format_catalogue"]

_Entry = Mapping[str, Any]


def format_catalogue(kind: str, entries: Sequence[_Entry], *, full: bool) -> str:
    """What :func:`ngbench.experiments.catalogue.catalogue` found, as text."""
    if full:
        return "\n\n".join(map(_format_study if kind == "studies" else _format_plugin, entries))
    if kind == "studies":
        return _columns([_study_header(entries), *map(_study_row, entries)])
    return _columns([_plugin_row(entry) for entry in entries])


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _plugin_row(entry: _Entry) -> tuple[str, str, str]:
    said = f"PROBLEM: {entry['problem']}" if entry["problem"] else entry["summary"]
    return entry["name"], said, f"{entry['distribution']} {entry['version']}"


def _format_plugin(entry: _Entry) -> str:
    origin = f" ({entry['distribution']} {entry['version']})".replace(" )", ")")
    lines = [f"{entry['name']}{origin if entry['distribution'] else ''}"]
    if entry["summary"]:
        lines.append(f"  {entry['summary']}")
    if entry["problem"]:
        lines.append(f"  PROBLEM: {entry['problem']}")
    for key in ("likelihood", "batch_size", "batch_sizes", "epochs", "critic_steps", "penalty"):
        if value := entry.get(key):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            lines.append(f"  {key.replace('_', ' ')}: {shown}")
    if parameters := entry.get("parameters"):
        cells = [
            (
                parameter["name"],
                "required" if parameter["required"] else format_value(parameter["default"]),
                parameter["allowed"],
                parameter["description"],
            )
            for parameter in parameters
        ]
        lines.append(_indent(_columns([("parameter", "default", "allowed", ""), *cells]), 2))
    if published := entry.get("published"):
        tables = [
            (name, ", ".join(f"{key}={format_value(value)}" for key, value in values.items()))
            for name, values in published.items()
        ]
        lines += ["  published:", _indent(_columns(tables), 4)]
    for problem in entry.get("unreadable_tasks", {}).values():
        lines.append(f"  published values not read: {problem}")
    return "\n".join(lines)


def _indent(text: str, by: int) -> str:
    return "\n".join(" " * by + line for line in text.splitlines())


def _study_header(entries: Sequence[_Entry]) -> list[str]:
    scales = list(entries[0]["minutes"]) if entries else []
    return ["study", "title", "tasks", *(f"{name} min" for name in scales), "claims"]


def _study_row(entry: _Entry) -> list[str]:
    minutes = map(_minutes, entry["minutes"].values())
    return [entry["name"], entry["title"], " ".join(entry["tasks"]), *minutes, str(len(entry["claims"]))]


def _format_study(entry: _Entry) -> str:
    lines = [
        f"{entry['name']}: {entry['title']}",
        f"  source: {entry['source']}",
        f"  question: {entry['question']}",
        f"  measures: {entry['measure']}",
        f"  tasks: {', '.join(entry['tasks'])}",
        f"  arms: {', '.join(entry['arms'])}",
        f"  minutes: {', '.join(f'{name} {_minutes(value)}' for name, value in entry['minutes'].items())}",
        "  claims:",
    ]
    for claim in entry["claims"]:
        lines.append(f"    {claim['name']} ({', '.join(claim['scales'])}): {claim['says']}")
    return "\n".join(lines)


def _minutes(minutes: float | None) -> str:
    return "–" if minutes is None else f"{minutes:g}"
