from __future__ import annotations

from pathlib import Path

import pytest

from ngbench.cli.reporting import check_exports
from ngbench.errors import ParameterError


def test_two_exports_to_one_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_exports("a.json", "a.csv", None, "-")
    with pytest.raises(ParameterError, match=r"two exports go to '.*a\.json': give each a file of its own"):
        check_exports("a.json", str(tmp_path / "a.json"))
    with pytest.raises(ParameterError, match="only one export can go to stdout"):
        check_exports("-", "-")
