"""What a bug report needs, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["format_facts"]


def format_facts(found: Mapping[str, Any]) -> str:
    """One line a fact; lists below their heading."""
    lines = []
    for key, value in found.items():
        if isinstance(value, dict):
            value = [f"{name} {_shown(item)}" for name, item in value.items()]
        if not isinstance(value, list):
            lines.append(f"{key.replace('_', ' ')}: {_shown(value)}")
            continue
        lines.append(f"{key.replace('_', ' ')}:{'' if value else ' none'}")
        lines += [f"  {_line(item)}" for item in value]
    return "\n".join(lines)


def _line(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    return f"{item['name']}: {_shown({key: value for key, value in item.items() if key != 'name'})}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        known = {key.replace("_", " "): part for key, part in value.items() if part is not None}
        return ", ".join(f"{key} {_shown(part)}" for key, part in known.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
