"""``ngbench env``."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from ngbench.cli import options

_PACKAGES = ("numpy", "scipy", "scikit-image", "pydantic", "psutil", "rich", "typer", "matplotlib")


def env(
    data_dir: options.DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what a bug report needs: versions, machine, devices, data and plugins."""
    found = collect(data_dir)
    print(json.dumps(found, indent=2) if as_json else format_environment(found))


def collect(data_dir: Path | None) -> dict[str, Any]:
    """Everything that ``ngbench env`` prints; sizes in bytes."""
    from ngbench.records.environment import describe_environment

    return {
        **describe_environment().model_dump(),
        "packages": _packages(),
        "devices": _cuda_devices(),
        "cudnn": _cudnn(),
        "data": _data(data_dir),
        "tasks": _plugins("ngbench.tasks"),
        "optimizers": _plugins("ngbench.optimizers"),
    }


def format_environment(found: dict[str, Any]) -> str:
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
    facts = {key.replace("_", " "): value for key, value in item.items() if key != "name" and value is not None}
    rest = ", ".join(f"{key} {_shown(value)}" for key, value in facts.items())
    return f"{item['name']}: {rest}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _packages() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _cuda_devices() -> list[dict[str, Any]]:
    import torch

    if not torch.cuda.is_available():
        return []
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append(
            {
                "name": f"cuda:{index}",
                "model": properties.name,
                "memory_bytes": properties.total_memory,
                "compute_capability": f"{properties.major}.{properties.minor}",
            }
        )
    return found


def _cudnn() -> int | None:
    import torch

    version_number: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return version_number


def _data(data_dir: Path | None) -> dict[str, Any]:
    from ngbench.data.directory import data_directory
    from ngbench.disk import files

    directory = data_directory(data_dir)
    present = [path.name for path in files.entries(directory)] if files.is_directory(directory) else []
    return {"directory": str(directory), "present": present}


def _plugins(group: str) -> list[dict[str, Any]]:
    """Every plugin, imported: what is wrong with it shows only then."""
    from ngbench.errors import PluginError, one_line
    from ngbench.plugins import registry

    load = registry.optimizer if group == registry.OPTIMIZERS else registry.task_plugin
    found = []
    for row in registry.rows(group):
        problem = row.problem
        try:
            load(row.name)
        except PluginError as error:
            problem = one_line(error)
        found.append({"name": row.name, "distribution": f"{row.distribution} {row.version}", "problem": problem})
    return found
