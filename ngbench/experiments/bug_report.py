"""What a bug report needs to say of where it happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ngbench.data.directory import data_directory
from ngbench.disk import files
from ngbench.errors import PluginError, one_line
from ngbench.plugins import registry
from ngbench.records.environment import describe_environment

__all__ = ["collect_facts"]

_PACKAGES = ("numpy", "scipy", "scikit-image", "pydantic", "psutil", "rich", "typer", "matplotlib")


def collect_facts(data_dir: Path | None = None) -> dict[str, Any]:
    """Versions, machine, devices, data and plugins; sizes in bytes.

    Args:
        data_dir: where data sets live.
    """
    tasks, optimizers = _plugins(registry.TASKS), _plugins(registry.OPTIMIZERS)
    environment = describe_environment({*_PACKAGES, *registry.providers()})
    return {
        **environment.setting.model_dump(exclude={"called_from", "command"}),
        "devices": _cuda_devices(),
        "cudnn": _cudnn(),
        "data": _data(data_dir),
        "tasks": tasks,
        "optimizers": optimizers,
    }


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
    directory = data_directory(data_dir)
    present = [path.name for path in files.entries(directory)] if files.is_directory(directory) else []
    return {"directory": str(directory), "present": present}


def _plugins(group: str) -> list[dict[str, Any]]:
    """Every plugin, imported: what is wrong with it shows only then."""
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
