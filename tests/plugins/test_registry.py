from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

from ngbench.curvature.likelihoods import Gaussian
from ngbench.errors import ParameterError, PluginError, UnknownNameError
from ngbench.plugins import registry
from ngbench.task import Task

Distribute = Callable[..., None]

WALK = '''
    import torch

    def walk(model, task, *, lr: float = 0.5, bold: bool = False) -> torch.optim.Optimizer:
        """A walk that goes downhill.

        Not shown.
        """
        return torch.optim.SGD(model.parameters(), lr=lr)
'''

POND = '''
    from ngbench import Gaussian, Task

    def pond(*, depth: int = 3, fail: str = "") -> Task:
        """A pond."""
        if fail:
            raise {"value": ValueError, "other": KeyError}[fail]("too deep")
        return Task(model=None, data=None, likelihood=Gaussian(), batch_size=depth, epochs=1)

    def puddle() -> Task:
        """Not a task."""
        return 3
'''


def quiet_task(**hyperparameters: dict[str, object]) -> Task:
    return Task(
        model=lambda: nn.Linear(2, 1),
        data=lambda directory: pytest.fail("not needed"),
        likelihood=Gaussian(),
        batch_size=1,
        epochs=1,
        hyperparameters=hyperparameters,
    )


def test_rows_show_a_plugin_without_importing_it(distribute: Distribute) -> None:
    module = f"raise RuntimeError('imported')\n{WALK}".replace("\n    ", "\n")
    distribute("dist-walk", {"walkers.deep.feet": module}, optimizers={"walk": "walkers.deep.feet:walk"})
    (row,) = [row for row in registry.rows(registry.OPTIMIZERS) if row.name == "walk"]
    assert row == registry.PluginRow("walk", "A walk that goes downhill.", "dist-walk", "1.5")
    assert not [name for name in sys.modules if name.startswith("walkers")]


def test_a_summary_is_found_where_the_function_is_imported_from(distribute: Distribute) -> None:
    modules = {
        "walkers.feet": WALK,
        "walkers.api": "from .feet import walk as stroll",
        "walkers.front": "from walkers.api import stroll",
        "walkers.odd": "from functools import partial\nstride = partial(print)",
        "walkers.bad": "def (",
    }
    points = {
        "stroll": "walkers.front:stroll",
        "stride": "walkers.odd:stride",
        "bad": "walkers.bad:walk",
        "lost": "walkers.nowhere:walk",
    }
    distribute("dist-walk", modules, optimizers=points)
    rows = {row.name: row for row in registry.rows(registry.OPTIMIZERS)}
    assert rows["stroll"].summary == "A walk that goes downhill."
    assert (rows["stride"].summary, rows["stride"].problem) == ("", None)
    assert (rows["bad"].summary, rows["bad"].problem) == ("", None)
    assert rows["lost"].problem == "there is no module 'walkers.nowhere'"


def test_the_built_in_plugins_have_summaries() -> None:
    rows = [*registry.rows(registry.OPTIMIZERS), *registry.rows(registry.TASKS)]
    assert {"sgd", "adam", "kfac", "curves-autoencoder"} <= {row.name for row in rows}
    assert all(row.summary for row in rows if row.distribution == "ngbench" and row.problem is None)


def test_an_optimizer_plugin_builds_with_its_signature_as_documentation(distribute: Distribute) -> None:
    distribute("dist-walk", {"walkers": WALK}, optimizers={"walk": "walkers:walk"})
    plugin = registry.optimizer("walk")
    assert [p.name for p in plugin.parameters] == ["lr", "bold"]
    assert (plugin.distribution, plugin.summary) == ("dist-walk", "A walk that goes downhill.")
    task = quiet_task()
    optimizer = registry.build_optimizer(plugin, task.model(), task, {"lr": "0.25"})
    assert optimizer.param_groups[0]["lr"] == 0.25
    with pytest.raises(ParameterError, match=r"optimizer walk: unknown parameter 'lrr'; did you mean 'lr'\?"):
        registry.build_optimizer(plugin, task.model(), task, {"lrr": "1"})


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise OSError('no\\n licence')", "cannot be imported: OSError: no licence"),
        ("import sys; sys.exit(3)", "cannot be imported: SystemExit: 3"),
        ("import absent_module", "ModuleNotFoundError: No module named 'absent_module'"),
        ("stroll = 1", "AttributeError"),
        ("walk = 1", "is int, it must be a function"),
        ("def walk(model, task, *, lr=0.1): ...", "parameter 'lr' has no annotation"),
    ],
)
def test_a_broken_plugin_is_one_sentence_and_breaks_no_other(distribute: Distribute, source: str, reason: str) -> None:
    distribute("dist-walk", {"walkers": source}, optimizers={"walk": "walkers:walk"})
    with pytest.raises(PluginError) as caught:
        registry.optimizer("walk")
    message = str(caught.value)
    assert message.startswith("optimizer 'walk' (from dist-walk)")
    assert reason in message
    assert "\n" not in message
    assert registry.optimizer("sgd").distribution == "ngbench"


def test_a_name_that_two_distributions_provide_is_not_picked_from(distribute: Distribute) -> None:
    distribute("dist-one", {"walkers": WALK}, optimizers={"walk": "walkers:walk"})
    distribute("dist-two", {"runners": WALK}, optimizers={"walk": "runners:walk"})
    rows = [row for row in registry.rows(registry.OPTIMIZERS) if row.name == "walk"]
    assert [(row.distribution, row.problem) for row in rows] == [
        ("dist-one", "also provided by dist-two"),
        ("dist-two", "also provided by dist-one"),
    ]
    with pytest.raises(PluginError, match="optimizer 'walk' is provided by dist-one and dist-two"):
        registry.optimizer("walk")


def test_what_is_not_an_optimizer_is_refused_when_it_is_built(distribute: Distribute) -> None:
    distribute("dist-walk", {"walkers": "def walk(model, task): return 1"}, optimizers={"walk": "walkers:walk"})
    task = quiet_task()
    with pytest.raises(PluginError, match=r"'walk' \(from dist-walk\) returned int"):
        registry.build_optimizer(registry.optimizer("walk"), task.model(), task, {})


@pytest.mark.parametrize("name", ["walk", "torch"])
def test_an_unknown_optimizer_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(
        UnknownNameError,
        match=rf"unknown optimizer '{name}'.*known: .*adam.* more, which ngbench list optimizers shows",
    ):
        registry.optimizer(name)


def test_a_class_is_an_optimizer_by_its_dotted_name() -> None:
    plugin = registry.optimizer("torch.optim.AdamW")
    assert plugin.distribution is None
    assert plugin.resolve({})["betas"] == (0.9, 0.999)
    task = quiet_task()
    optimizer = registry.build_optimizer(plugin, task.model(), task, {"betas": "0.5/0.9", "amsgrad": "true"})
    assert type(optimizer) is torch.optim.AdamW
    assert optimizer.defaults["betas"] == (0.5, 0.9)
    assert optimizer.defaults["amsgrad"] is True


def test_what_gave_a_plugin_is_known_by_its_distribution(distribute: Distribute) -> None:
    distribute("dist-known", {"known_ones": "def known(model, task): ..."}, optimizers={"known": "known_ones:known"})
    before = registry.providers()
    assert "dist-known" not in before
    registry.optimizer("known")
    registry.optimizer("torch.optim.Adam")
    assert registry.providers() == {*before, "dist-known", "torch"}


def test_what_a_class_refuses_is_a_parameter_error() -> None:
    plugin, task = registry.optimizer("torch.optim.SGD"), quiet_task()
    with pytest.raises(ParameterError, match=r"optimizer torch\.optim\.SGD: Invalid learning rate: -1"):
        registry.build_optimizer(plugin, task.model(), task, {"lr": "-1"})


def test_a_class_with_open_keywords_takes_any_hyperparameter(distribute: Distribute) -> None:
    source = """
        import torch

        class Open(torch.optim.SGD):
            def __init__(self, params, lr=0.1, **extra):
                self.extra = extra
                super().__init__(params, lr=lr)
    """
    distribute("dist-open", {"open_optimizers": source})
    task = quiet_task()
    plugin = registry.optimizer("open_optimizers.Open")
    optimizer = registry.build_optimizer(plugin, task.model(), task, {"anything": "1/2", "lr": "1"})
    assert optimizer.extra == {"anything": (1, 2)}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nowhere.Adam", PluginError, "'nowhere.Adam' is unknown: there is no module 'nowhere'"),
        ("torch.nowhere.Adam", PluginError, "there is no module 'torch.nowhere'"),
        ("torch.optim.AdamX", UnknownNameError, "torch.optim 'AdamX'; did you mean 'Adam"),
        ("torch.nn.Linear", PluginError, "must be a subclass of torch.optim.Optimizer"),
        ("torch.optim.Optimizer", PluginError, "must be a subclass of torch.optim.Optimizer"),
        ("torch..SGD", PluginError, "must be PACKAGE.MODULE.CLASS"),
        ("./optimizer.py", PluginError, "must be PACKAGE.MODULE.CLASS"),
        ("crashing.Adam", PluginError, "cannot be imported: ZeroDivisionError: division by zero"),
        ("needing.Adam", PluginError, "cannot be imported: No module named 'absent_module'"),
    ],
)
def test_a_dotted_name_that_is_no_optimizer_class_is_one_sentence(
    distribute: Distribute, name: str, error: type[Exception], message: str
) -> None:
    distribute("dist-crash", {"crashing": "1 / 0", "needing": "import absent_module"})
    with pytest.raises(error) as caught:
        registry.optimizer(name)
    assert message in str(caught.value)


def test_given_values_come_before_published_ones_and_those_before_defaults() -> None:
    plugin = registry.optimizer("sgd")
    task = quiet_task(sgd={"lr": 0.3, "momentum": 0.8}, adam={"lr": 5.0})
    assert registry.published_hyperparameters(plugin, task) == {"lr": 0.3, "momentum": 0.8}
    assert registry.effective_hyperparameters(plugin, task, {"momentum": "0.1"}) == {
        "lr": 0.3,
        "momentum": 0.1,
        "nesterov": False,
        "weight_decay": 0.0,
    }


def test_every_value_says_whose_it_is() -> None:
    plugin, task = registry.optimizer("sgd"), quiet_task(sgd={"lr": 0.3, "momentum": 0.8})
    assert registry.origins_of_hyperparameters(plugin, task, {"nesterov": "true"}, {"momentum": 0.5}) == {
        "lr": "published",
        "momentum": "searched",
        "nesterov": "given",
        "weight_decay": "default",
    }
    assert registry.origins_of_hyperparameters(plugin, task, {"lr": "1"}, {"lr": 2})["lr"] == "given"


@pytest.mark.parametrize(("table", "reason"), [({"rate": 1}, "'rate'"), ({"lr": -1.0}, "lr=-1.0")])
def test_published_values_that_do_not_fit_are_the_tasks_fault(table: dict[str, object], reason: str) -> None:
    with pytest.raises(PluginError, match=f"the task's published .* optimizer sgd: .*{reason}"):
        registry.effective_hyperparameters(registry.optimizer("sgd"), quiet_task(sgd=table), {})


def test_a_task_is_made_with_its_options(distribute: Distribute) -> None:
    distribute("dist-pond", {"ponds": POND}, tasks={"pond": "ponds:pond"})
    assert registry.task("pond", {"depth": "7"}).batch_size == 7
    assert registry.task_options("pond", {"depth": "7"}) == {"depth": 7, "fail": ""}
    assert [p.name for p in registry.task_plugin("pond").parameters] == ["depth", "fail"]


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("pond", {"depth": "x"}, ParameterError, "task pond: depth=x is not allowed, it must be an integer"),
        ("pond", {"dept": "1"}, ParameterError, "task pond: unknown parameter 'dept'; did you mean 'depth'"),
        ("pond", {"fail": "value"}, ParameterError, "task pond: too deep"),
        ("pond", {"fail": "other"}, PluginError, "task 'pond' (from dist-pond) failed: KeyError: 'too deep'"),
        ("puddle", {}, PluginError, "task 'puddle' (from dist-pond) returned int, it must be an ngbench.Task"),
        ("ponds", {}, UnknownNameError, "unknown task 'ponds'; did you mean 'pond'?"),
        ("LE", {}, UnknownNameError, "unknown task 'LE'; did you mean 'puddle'?"),
    ],
)
def test_a_task_that_cannot_be_made_is_one_sentence(
    distribute: Distribute, name: str, options: dict[str, str], error: type[Exception], message: str
) -> None:
    distribute("dist-pond", {"ponds": POND}, tasks={"pond": "ponds:pond", "puddle": "ponds:puddle"})
    with pytest.raises(error) as caught:
        registry.task(name, options)
    assert message in str(caught.value)
