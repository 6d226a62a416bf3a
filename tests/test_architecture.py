"""The page on the house says what is there."""

from __future__ import annotations

import re

import pytest

from ngbench import errors
from tests.house import PACKAGES, ROOT
from tests.test_house import RANKS

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def drawn_tree() -> list[str]:
    """The paths of the tree on the page, those of directories with a slash in the end."""
    (tree,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    above: list[str] = []
    found = []
    for line in tree.splitlines():
        indent, name = re.match(r"( *)(\S+)", line).groups()
        above = [*above[: len(indent) // 2], name]
        found.append("".join(above))
    return found


def test_the_tree_is_that_of_the_rooms_and_of_the_modules_beside_them():
    packages = {
        f"{path.parent.relative_to(ROOT)}/" for place in PACKAGES.values() for path in place.rglob("__init__.py")
    }
    beside = {str(path.relative_to(ROOT)) for path in (ROOT / "ngbench").glob("*.py")}
    mathematics = {str(path.relative_to(ROOT)) for path in (ROOT / "ngbench" / "curvature").glob("[!_]*.py")}
    tree = drawn_tree()
    assert sorted(tree) == sorted(packages | beside | mathematics)


def test_the_order_of_the_rooms_is_the_one_that_is_tested():
    drawn = re.findall(r"^\d+\. ((?:`\w+` ?)+)$", PAGE, re.MULTILINE)
    assert [tuple(re.findall(r"`(\w+)`", rooms)) for rooms in drawn] == [
        tuple(room for room in rank if room != "__main__") for rank in RANKS
    ]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:ngbench|tasks|tests|docs)/[^`*]*)`", PAGE))))
def test_what_the_page_names_exists(path):
    assert (ROOT / path).exists()
    assert path.endswith("/") == (ROOT / path).is_dir()


def test_the_exit_codes_are_those_of_the_exceptions():
    rows = re.findall(r"^\| (\d+) \| (?:`(\w+)`|any other)? *\|", PAGE, re.MULTILINE)
    codes = {name: int(code) for code, name in rows if name}
    assert codes == {name: getattr(errors, name).exit_code for name in codes}
    assert {int(code) for code, _ in rows} == {0, *codes.values(), errors.OUR_ERROR}
    classes = (value for value in vars(errors).values() if isinstance(value, type))
    assert {one.exit_code for one in classes if issubclass(one, errors.NgbenchError)} == set(codes.values())
