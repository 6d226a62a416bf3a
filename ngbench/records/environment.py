"""Where runs are made, and by what: versions, commits, machine, threads and command."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

from ngbench import __version__
from ngbench.records.command_line import command_line
from ngbench.records.commits import package_record
from ngbench.records.provenance import EnvironmentRecord

__all__ = ["describe_environment", "usable_cores"]


def describe_environment(providers: Iterable[str] = (), *, with_torch: bool = True) -> EnvironmentRecord:
    """This process' environment.

    Args:
        providers: distributions that gave a plugin.
        with_torch: import torch for its version, CUDA version and number of threads; where false these are
            given only if torch is loaded already.
    """
    record = EnvironmentRecord(
        ngbench=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        processor=_processor(),
        cores=usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        host=platform.node() or None,
        packages={name: package_record(name) for name in dict.fromkeys(["ngbench", "numpy", *sorted(providers)])},
        called_from="Python" if command_line() is None else "shell",
        command=command_line(),
    )
    if with_torch or "torch" in sys.modules:
        import torch

        record.torch = str(torch.__version__)
        record.cuda = torch.version.cuda
        record.threads = torch.get_num_threads()
    return record


def usable_cores() -> int:
    """The logical cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    """The processor's model; its architecture where the system does not tell."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip():
            return answer.stdout.strip()
    return platform.processor() or platform.machine()
