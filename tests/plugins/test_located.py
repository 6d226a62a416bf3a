from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import nn

from ngbench.arms import parse_arms
from ngbench.curvature.likelihoods import Gaussian
from ngbench.errors import PluginError, UnknownNameError
from ngbench.plugins import registry
from ngbench.task import Task

MINE = '''
    """Of mine."""
    import torch
    from my_factor import FACTOR

    class Fast(torch.optim.SGD):
        """SGD, faster."""

        def __init__(self, params, lr: float = 0.1):
            super().__init__(params, lr=FACTOR * lr)

    def build(model, task, *, lr: float = 0.5):
        """A plugin's function."""
        return torch.optim.SGD(model.parameters(), lr=lr)

    def field(*, size: int = 3):
        """A task."""
        from ngbench import Gaussian, Task
        return Task(model=None, data=None, likelihood=Gaussian(), batch_size=size, epochs=1)

    def halved(block, start, *, share: float = 0.5):
        """An approximation with a ``share`` of :func:`~my.whole`.

        Args:
            share: of the ``whole``, as for :func:`whole`.
        """
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory, the current one, with ``mine_located.py`` and what it imports."""
    (tmp_path / "mine_located.py").write_text(dedent(MINE))
    (tmp_path / "my_factor.py").write_text("FACTOR = 2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("mine_located", "my_factor", "torch_")):
            del sys.modules[name]


def build(name: str, **given: object) -> torch.optim.Optimizer:
    model = nn.Linear(2, 1)
    task = Task(lambda: model, lambda directory: pytest.fail("not needed"), Gaussian(), batch_size=1, epochs=1)
    return registry.build_optimizer(registry.optimizer(name), model, task, given)


@pytest.mark.parametrize("name", ["mine_located.py:Fast", "./mine_located.py:Fast", "mine_located.Fast"])
def test_a_class_of_a_file_is_an_optimizer(mine: Path, name: str) -> None:
    built = build(name, lr=0.3)
    assert type(built).__name__ == "Fast"
    assert built.defaults["lr"] == 0.6
    plugin = registry.optimizer(name)
    assert (plugin.summary, plugin.distribution) == ("SGD, faster.", None)
    assert plugin.file is not None
    assert plugin.file.path == "mine_located.py"
    assert plugin.file.digest == hashlib.sha256((mine / "mine_located.py").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["mine_located.py:build", "mine_located.build"])
def test_a_function_of_a_file_builds_an_optimizer(mine: Path, name: str) -> None:
    assert build(name, lr=0.3).defaults["lr"] == 0.3
    assert [parameter.name for parameter in registry.optimizer(name).parameters] == ["lr"]


def test_a_file_elsewhere_finds_what_lies_beside_it(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = mine / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    assert build("../mine_located.py:Fast", lr=1.0).defaults["lr"] == 2.0
    plugin = registry.optimizer("../mine_located.py:Fast")
    assert plugin.file is not None
    assert plugin.file.path == (mine / "mine_located.py").as_posix()


def test_tasks_and_approximations_are_functions_of_files_too(mine: Path) -> None:
    assert registry.task("mine_located.py:field", {"size": "7"}).batch_size == 7
    plugin = registry.approximation_plugin("mine_located.py:halved")
    assert [parameter.name for parameter in plugin.parameters] == ["share", "positions"]
    kinds = {name: registry.kind_of_located(f"mine_located.py:{name}") for name in ("Fast", "build", "field", "halved")}
    assert kinds == {"Fast": "optimizer", "build": "optimizer", "field": "task", "halved": "approximation"}


def test_an_approximation_of_a_file_is_an_optimizer_too_and_says_which(mine: Path) -> None:
    plugin = registry.optimizer("mine_located.py:halved")
    assert plugin.summary == "Natural gradient with this approximation: An approximation with a share of whole."
    described = {parameter.name: parameter.description for parameter in plugin.parameters}
    assert described["share"] == "of the whole, as for whole."
    assert {"lr", "damping", "positions"} <= described.keys()


@pytest.mark.parametrize(
    ("load", "name", "kind"),
    [
        (registry.optimizer, "field", "a task"),
        (registry.task_plugin, "Fast", "an optimizer"),
        (registry.task_plugin, "build", "an optimizer"),
        (registry.task_plugin, "halved", "an approximation"),
        (registry.approximation_plugin, "Fast", "an optimizer"),
        (registry.approximation_plugin, "field", "a task"),
    ],
)
def test_what_is_of_another_kind_is_refused_by_naming_it(
    mine: Path, load: Callable[[str], object], name: str, kind: str
) -> None:
    with pytest.raises(PluginError, match=rf"mine_located.py:{name}' is not allowed: it is {kind}$"):
        load(f"mine_located.py:{name}")


def test_a_file_does_not_take_the_place_of_what_is_installed(mine: Path) -> None:
    (mine / "torch.py").write_text("import torch.optim\nclass Adam(torch.optim.SGD):\n    pass\n")
    assert type(build("torch.optim.Adam")) is torch.optim.Adam
    assert isinstance(build("torch.py:Adam", lr=0.1), torch.optim.SGD)
    assert sys.modules["torch"] is torch
    assert registry.optimizer("torch.optim.Adam").file is None


def test_a_file_that_was_changed_is_read_again(mine: Path) -> None:
    first = registry.optimizer("mine_located.py:Fast")
    (mine / "mine_located.py").write_text(dedent(MINE).replace("SGD, faster.", "SGD, still faster."))
    second = registry.optimizer("mine_located.py:Fast")
    assert (first.summary, second.summary) == ("SGD, faster.", "SGD, still faster.")
    assert first.file != second.file


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("absent.py:Fast", PluginError, "optimizer 'absent.py:Fast' is unknown: there is no file 'absent.py'"),
        ("mine_located.py", PluginError, "or FILE.py:CLASS, such as mine_located.py:Fast"),
        ("mine_located.py:", PluginError, "must be PACKAGE.MODULE.CLASS or FILE.py:CLASS"),
        ("mine_located.py:Fats", UnknownNameError, "'Fats'; did you mean 'Fast'? (known: Fast)"),
        ("mine_located.py:FACTOR", PluginError, "must be a subclass of torch.optim.Optimizer"),
        ("broken.py:Fast", PluginError, "optimizer 'broken.py:Fast' cannot be imported: ZeroDivisionError"),
    ],
)
def test_a_name_without_a_place_is_one_sentence(mine: Path, name: str, error: type[Exception], message: str) -> None:
    (mine / "broken.py").write_text("1 / 0")
    with pytest.raises(error) as caught:
        registry.optimizer(name)
    assert message in str(caught.value)


def test_arms_name_files() -> None:
    options = ["sgd,a@here/mine.py:Fast:lr=0.1,decay=2", "./mine.py:Fast", "torch.optim.Muon:others=mine.py:Fast"]
    assert [(arm.label, arm.optimizer, dict(arm.hyperparameters)) for arm in parse_arms(options)] == [
        ("sgd", "sgd", {}),
        ("a", "here/mine.py:Fast", {"lr": "0.1", "decay": "2"}),
        ("./mine.py:Fast", "./mine.py:Fast", {}),
        ("torch.optim.Muon:others=mine.py:Fast", "torch.optim.Muon", {"others": "mine.py:Fast"}),
    ]
