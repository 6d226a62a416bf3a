"""A process may die after any of its writes: what it leaves behind is gone on with to the same end."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench import cli
from ngbench.experiments import runs
from ngbench.records.store import Store
from ngbench.running import run as training

LINES = {
    "train": "train pond -o adam --epochs 3",
    "compare": "compare pond -o sgd,adam --epochs 2",
    "gan": "gan rows -p signs+adam --epochs 2 --fid-samples 20",
}
OUTPUT = Path("out")


@pytest.fixture
def snapshots(laboratory: None, arcade: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """What the output directory held after each write of all runs, which are made in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NGBENCH_DATA_DIR", str(tmp_path / "data"))
    kept: list[Path] = []

    def keep(place: Any, name: str) -> None:
        write = getattr(place, name)

        def watched(*arguments: Any) -> None:
            write(*arguments)
            if not Path("whole").exists():
                kept.append(Path(f"after-{len(kept)}"))
                shutil.copytree(OUTPUT, kept[-1])

        monkeypatch.setattr(place, name, watched)

    workers_for = runs.workers_for
    monkeypatch.setattr(runs, "workers_for", lambda plan, **_: workers_for(plan, own_processes=False, fresh=False))
    keep(Store, "write")
    keep(training, "save_checkpoint")
    return kept


@pytest.mark.parametrize("command", LINES)
def test_a_death_after_any_write_loses_nothing(
    snapshots: list[Path], same_runs: Callable[[Path, Path], bool], command: str
) -> None:
    line = f"{LINES[command]} --threads 1 --quiet --output out".split()
    assert cli.main(line) == 0
    made = list(snapshots)
    assert len(made) >= 5
    shutil.copytree(OUTPUT, "whole")
    # A disk may also keep the later of two writes and lose the one before it.
    for at, (before, after) in enumerate(itertools.pairwise(list(made))):
        for kind in ("*.pt", "*.json"):
            mixed = Path(f"mixed-{at}-{kind[2:]}")
            shutil.copytree(after, mixed)
            for path in before.glob(kind):
                shutil.copy(path, mixed)
            made.append(mixed)
    for left in made:
        shutil.rmtree(OUTPUT)
        shutil.copytree(left, OUTPUT)
        assert cli.main([*line, "--resume"]) == 0, left
        assert same_runs(Path("whole"), OUTPUT), left
        # Said once, it stands.
        before = {path: path.read_bytes() for path in OUTPUT.glob("*.json")}
        assert cli.main([*line, "--resume"]) == 0
        assert {path: path.read_bytes() for path in OUTPUT.glob("*.json")} == before
