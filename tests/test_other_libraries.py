"""The classes of other libraries train as their page says: those of torch here, the others where they are installed."""

from __future__ import annotations

import importlib.util
import re

import pytest

from tests import others

SECTIONS = re.findall(
    r"^### .*?(?=^### |^<!-- )", others.PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("library", others.LIBRARIES)
def test_the_page_says_which_classes_train(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip("it is not installed: pip install -e '.[others]'")
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")
    written = SECTIONS[others.LIBRARIES.index(library)]
    # Another release of torch has other classes; its number alone is no difference.
    pinned = [line for line in others.table(library).splitlines() if not line.startswith("### ")]
    assert [line for line in written.splitlines() if line and not line.startswith("### ")] == [x for x in pinned if x]


def test_nineteen_of_twenty_classes_train() -> None:
    counts = [
        tuple(map(int, re.findall(r"\d+", line))) for line in re.findall(r"^\d+ of \d+", "\n".join(SECTIONS), re.M)
    ]
    assert len(counts) == len(others.LIBRARIES)
    assert sum(one for one, _ in counts) >= 0.95 * sum(total for _, total in counts)
