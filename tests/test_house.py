"""The order of the house: who imports whom when the program runs, and what stays private.

Each ``PRESENT_`` list names what breaks a rule today. A rule that is broken anew fails, and so does a line of a list
that nothing breaks any more: delete it, so that the lists only shrink.
"""

from __future__ import annotations

import ast

import pytest

from tests.house import (
    classes_of,
    crumbs_of,
    exported_by,
    import_graph,
    imported_names,
    knots,
    libraries_of,
    modules,
    packages,
    private_names_taken,
    room_of,
    should_export,
    siblings,
    unused_in,
)

RANKS = (
    ("__main__", "cli", "library", "pytest_plugin"),
    ("report",),
    ("experiments",),
    ("running",),
    ("data", "frechet", "ngbench_tasks", "optimizers", "plugins"),
    ("measurement", "records"),
    ("arms", "schedules", "signatures", "values"),
    ("adversarial_task", "task"),
    ("disk", "errors", "escaping", "spelling", "streams", "units"),
    ("curvature",),
)
"""The rooms from top to bottom. A room imports of its own rank and below; ``ngbench`` itself stands for the version."""

PRESENT_ARROWS_UP: set[str] = set()
PRESENT_KNOTS_OF_FILES: set[str] = set()
PRESENT_KNOTS_OF_ROOMS: set[str] = set()
PRESENT_CLASSES_OF_ONE_NAME: set[str] = set()
PRESENT_PRIVATE_NAMES: set[str] = set()

EVERYWHERE = {"annotated_types", "numpy", "scipy", "yaml"}
LIBRARIES = {
    "PIL": {"data", "experiments", "report", "running"},
    "filelock": {"disk"},
    "jinja2": {"report"},
    "markupsafe": {"report"},
    "matplotlib": {"report"},
    "optuna": {"experiments"},
    "pandas": {"report"},
    "platformdirs": {"data"},
    "pyarrow": {"report"},
    "psutil": {"experiments", "measurement", "records"},
    "pydantic": {"experiments", "plugins", "records"},
    "pydantic_core": {"experiments", "records"},
    "pytest": {"pytest_plugin"},
    "pytest_benchmark": {"report"},
    "rich": {"cli", "report"},
    "skimage": {"data"},
    "sqlalchemy": {"experiments"},
    "tabulate": {"report"},
    "tensorboard": {"report"},
    "tomli": {"cli", "experiments"},
    "torch": {
        *("cli", "curvature", "data", "disk", "experiments", "frechet", "library", "measurement"),
        *("ngbench_tasks", "optimizers", "plugins", "records", "running", "task"),
    },
    "typer": {"cli"},
}
"""The rooms that may import a library: what shows things stays above, and curvature knows torch alone."""

PRESENT_LIBRARIES: set[str] = set()


def test_every_room_has_a_rank():
    ranked = [room for rank in RANKS for room in rank]
    assert len(ranked) == len(set(ranked))
    assert {room_of(module) for module in modules()} - set(ranked) == {"ngbench"}


def test_imports_point_down():
    rank = {room: number for number, rooms in enumerate(RANKS) for room in rooms}
    found = {
        f"{module} → {target}"
        for module, targets in import_graph().items()
        for target in targets
        if module != "ngbench" and rank[room_of(target)] < rank[room_of(module)]
    }
    assert found == PRESENT_ARROWS_UP


def test_no_files_import_each_other_in_a_circle():
    assert {", ".join(sorted(knot)) for knot in knots(import_graph())} == PRESENT_KNOTS_OF_FILES


def test_no_rooms_of_a_package_import_each_other_in_a_circle():
    found = {f"{package}: {', '.join(sorted(knot))}" for package in packages() for knot in knots(siblings(package))}
    assert found == PRESENT_KNOTS_OF_ROOMS


def test_libraries_stay_in_their_rooms():
    found = {
        f"{module}: {library}"
        for module in modules()
        for library in libraries_of(module) - EVERYWHERE
        if room_of(module) not in LIBRARIES.get(library, ())
    }
    assert found == PRESENT_LIBRARIES


def test_private_names_stay_private():
    found = {f"{module}: {name}" for module in modules() for name in private_names_taken(module)}
    assert found == PRESENT_PRIVATE_NAMES


def test_a_name_of_a_class_stands_for_one_thing():
    homes: dict[str, list[str]] = {}
    for module in modules():
        for name in classes_of(module):
            homes.setdefault(name, []).append(module)
    assert {name for name, found in homes.items() if len(found) > 1} == PRESENT_CLASSES_OF_ONE_NAME


@pytest.mark.parametrize(
    "room",
    sorted({room_of(module) for module in modules()} - {"ngbench"}),
)
def test_what_a_module_exports_is_what_others_take(room):
    found = {
        module: exported
        for module, path in modules().items()
        if room_of(module) == room and path.name != "__init__.py" and (exported := exported_by(module))
    }
    assert found == {module: should_export(module) for module in found}


def test_nothing_is_dead():
    hooks = {"__dir__", "__getattr__", "pytest_configure"}
    assert {module: unused for module in modules() if (unused := unused_in(module) - hooks)} == {}


def test_sentences_are_not_cut_into_crumbs():
    assert {module: crumbs for module in modules() if (crumbs := crumbs_of(module))} == {}


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}, [{"a", "b", "c"}]),
        ({"a": {"b"}, "b": {"a"}, "c": {"d", "a"}, "d": {"c"}}, [{"a", "b"}, {"c", "d"}]),
    ],
)
def test_knots_are_what_reaches_itself(graph, expected):
    assert knots({node: frozenset(ends) for node, ends in graph.items()}) == expected


def test_imports_within_functions_count_and_those_of_type_checkers_do_not():
    source = """
from ngbench.disk import files
from .loader import load_study
if TYPE_CHECKING:
    from ngbench.running.plan import Plan
else:
    import json
def show():
    from ngbench.errors import UsageError
"""
    assert set(imported_names(ast.parse(source), "ngbench.experiments.studies.plan")) == {
        ("ngbench.disk.files", ""),
        ("ngbench.experiments.studies.loader", "load_study"),
        ("json", ""),
        ("ngbench.errors", "UsageError"),
    }
