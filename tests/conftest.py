"""What several test modules share."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

# Test processes run side by side, and torch reads this when it is imported. What needs more threads sets them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

Distribute = Callable[..., None]


@pytest.fixture(scope="module", autouse=True)
def _collect_garbage_of_the_module_alone() -> None:
    # Every measured run starts with a collection, which would look through all that torch has ever imported.
    gc.freeze()


@pytest.fixture
def distribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distribute]:
    """Installs a distribution, as files on the import path: its modules and its entry points.

    ``distribute("name", modules={"package.module": source}, optimizers={"plugin": "package.module:function"},
    tasks={...}, approximations={...})``
    """
    made: list[str] = []

    def install(
        name: str,
        modules: Mapping[str, str],
        optimizers: Mapping[str, str] | None = None,
        tasks: Mapping[str, str] | None = None,
        approximations: Mapping[str, str] | None = None,
    ) -> None:
        site = tmp_path / f"site-{name}"
        metadata = site / f"{name.replace('-', '_')}-1.5.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        groups = {
            "ngbench.optimizers": optimizers or {},
            "ngbench.tasks": tasks or {},
            "ngbench.approximations": approximations or {},
        }
        lines = [
            line
            for group, points in groups.items()
            for line in (f"[{group}]", *(f"{key} = {value}" for key, value in points.items()))
        ]
        (metadata / "entry_points.txt").write_text("\n".join(lines))
        for module, source in modules.items():
            path = site.joinpath(*module.split(".")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            for parent in path.relative_to(site).parents:
                if parent.name:
                    (site / parent / "__init__.py").touch()
            path.write_text(dedent(source))
            made.append(module.partition(".")[0])
        monkeypatch.syspath_prepend(str(site))
        importlib.invalidate_caches()

    yield install
    for module in list(sys.modules):
        if module.partition(".")[0] in made:
            del sys.modules[module]
