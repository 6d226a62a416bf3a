from __future__ import annotations

from pathlib import Path

import pytest

from ngbench.running import memory_kills as module
from ngbench.running.memory_kills import memory_kills


@pytest.mark.parametrize(
    ("groups", "files", "count"),
    [
        ("0::/job\n", {"groups/job/memory.events": "low 0\noom 9\noom_kill 2\n"}, 2),
        ("5:cpu:/x\n4:memory:/job\n", {"groups/memory/job/memory.oom_control": "under_oom 0\noom_kill 7\n"}, 7),
        ("0::/\n", {"vmstat": "nr_free 5\noom_kill 4\n"}, 4),
        ("", {"vmstat": "oom_kill some\n"}, None),
        ("", {}, None),
    ],
)
def test_the_nearest_counter_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, files: dict[str, str], count: int | None
) -> None:
    for name, text in {"cgroup": groups, **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(module, "_OURS", tmp_path / "cgroup")
    monkeypatch.setattr(module, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(module, "_SYSTEM", tmp_path / "vmstat")
    assert memory_kills() == count
