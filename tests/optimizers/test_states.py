"""A state is taken whole, by an optimizer of the same kind, model and groups, or it is refused and nothing changes."""

from __future__ import annotations

import copy
import warnings
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from ngbench.curvature.likelihoods import Categorical
from ngbench.optimizers import exact, kronecker
from ngbench.optimizers.two_level import two_level
from ngbench.plugins.combined import CombinedOptimizer

LIKELIHOOD = Categorical()
TASK = SimpleNamespace(likelihood=LIKELIHOOD)


def _plugin(function, **options):
    def make(model, **more):
        intervals = {} if function in (exact.exact_ng, exact.block_diagonal_ng) else {"inverse_interval": 10}
        given = {"lr": 0.05, "seed": 3, "curvature_interval": 10, **intervals, **options, **more}
        return function(model, TASK, **given)

    return make


MAKERS = {
    "kfac": _plugin(kronecker.kfac),
    "kpsvd": _plugin(kronecker.kpsvd),
    "deflation": _plugin(kronecker.deflation),
    "deflation of rank 3": _plugin(kronecker.deflation, rank=3),
    "deflation within 1 position": _plugin(kronecker.deflation, positions=1),
    "lanczos": _plugin(kronecker.lanczos),
    "kfac-corrected": _plugin(kronecker.kfac_corrected),
    "two-level": _plugin(two_level),
    "two-level with residuals": _plugin(two_level, coarse_space="residual"),
    "two-level on lanczos": _plugin(two_level, approximation="lanczos"),
    "two-level, additive": _plugin(two_level, coarse_space="previous"),
    "two-level, damped apart": _plugin(two_level, coarse_damping=0.1),
    "exact-ng": _plugin(exact.exact_ng),
    "block-diagonal-ng": _plugin(exact.block_diagonal_ng),
    "sgd": lambda model, **more: torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
    "adam": lambda model, **more: torch.optim.Adam(model.parameters(), lr=0.05),
}
OURS = [name for name in MAKERS if name not in ("sgd", "adam")]


def _model(width: int = 5, *, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, width, bias=bias), nn.Tanh(), nn.BatchNorm1d(width), nn.Linear(width, 3))


def _renamed() -> nn.Sequential:
    return nn.Sequential(*[nn.Identity(), *_model()])


def _deeper() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), *_model())


def _step(model, optimizer, number=0):
    generator = torch.Generator().manual_seed(number)
    inputs, targets = torch.randn(10, 4, generator=generator), torch.randint(3, (10,), generator=generator)
    optimizer.zero_grad()
    LIKELIHOOD.loss(model(inputs), targets).backward()
    optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


def _trained(make, model=None, steps=2):
    model = _model() if model is None else model
    optimizer = make(model)
    for number in range(steps):
        _step(model, optimizer, number)
    return model, optimizer


def _check_refused(make, state, match=None):
    """The state is refused, and the next steps are those of an optimizer that nobody gave it to."""
    (expected, undisturbed), (actual, optimizer) = _trained(make), _trained(make)
    with pytest.raises(ValueError, match=match) as refusal:
        optimizer.load_state_dict(state)
    assert "\n" not in str(refusal.value)
    for number in (2, 3):
        for one, other in zip(_step(expected, undisturbed, number), _step(actual, optimizer, number), strict=True):
            assert torch.equal(one, other)
    return str(refusal.value)


@pytest.fixture(scope="module")
def states():
    optimizers = {name: _trained(partial(make, lr=0.7))[1] for name, make in MAKERS.items()}
    return {name: copy.deepcopy(optimizer.state_dict()) for name, optimizer in optimizers.items()}


@pytest.mark.parametrize("name", OURS)
def test_the_state_of_any_other_optimizer_is_refused(name, states):
    for other, state in states.items():
        if other != name:
            _check_refused(MAKERS[name], state, match="the state")
    MAKERS[name](_model()).load_state_dict(states[name])


@pytest.mark.parametrize("name", ["kfac", "deflation", "two-level", "exact-ng", "block-diagonal-ng"])
@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: _model(6), "shape"),
        (lambda: _model(bias=False), "parameters of a group"),
        (_renamed, "layer '0'"),
        (_deeper, "parameters of a group"),
    ],
    ids=["wider", "without a bias", "renamed", "deeper"],
)
def test_the_state_of_another_model_is_refused(name, other, words):
    _, optimizer = _trained(MAKERS[name], other())
    _check_refused(MAKERS[name], copy.deepcopy(optimizer.state_dict()), match=words)


def test_the_state_of_other_groups_is_refused(states):
    grouped = copy.deepcopy(states["kfac"])
    grouped["param_groups"] *= 2
    _check_refused(MAKERS["kfac"], grouped, match="1 parameter groups")
    without = copy.deepcopy(states["kfac"])
    del without["param_groups"][0]["damping"]
    _check_refused(MAKERS["kfac"], without, match="no hyper-parameter 'damping'")


def _paths(value, path=()):
    """Where the containers and values of a state are."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, part in entries:
        yield (*path, key)
        yield from _paths(part, (*path, key))


def _damaged(state, path, action):
    """The state without the value at a path, or with a text in its place."""
    if not path:
        return "damage"
    key, *rest = path
    items = dict(state) if isinstance(state, dict) else dict(enumerate(state))
    if not rest and action == "removed":
        del items[key]
    else:
        items[key] = _damaged(items[key], rest, action)
    return items if isinstance(state, dict) else type(state)(items.values())


@pytest.mark.parametrize("name", ["deflation", "two-level", "two-level, additive", "exact-ng"])
@pytest.mark.parametrize("action", ["removed", "replaced"])
def test_a_damaged_state_is_taken_whole_or_refused(name, action, states):
    """Whatever is missing or of another type: where it is noticed, nothing has changed."""
    key = next(key for key, part in states[name]["state"].items() if "curvature" in part)
    own = states[name]["state"][key]["curvature"][0]
    for path in _paths(own):
        if len(path) > 3:
            continue
        state = copy.deepcopy(states[name])
        state["state"][key]["curvature"] = (_damaged(own, path, action),)
        _, optimizer = _trained(MAKERS[name])
        before = copy.deepcopy(optimizer.state_dict())
        try:
            optimizer.load_state_dict(state)
        except ValueError as error:
            refusal = str(error)
        except Exception as error:
            pytest.fail(f"{path}: {type(error).__name__}: {error}")
        else:
            continue
        assert "the state" in refusal, path
        assert _equal(before, optimizer.state_dict()), path


@pytest.mark.parametrize("damage", [None, -1, "damage", [], {}, torch.full((2,), torch.nan)], ids=repr)
def test_a_state_with_anything_in_any_place_is_taken_or_refused_whole(damage, states):
    def damaged(value, path):
        if not path:
            return damage
        items = dict(value) if isinstance(value, dict) else dict(enumerate(value))
        items[path[0]] = damaged(items[path[0]], path[1:])
        return items if isinstance(value, dict) else type(value)(items.values())

    for path in _paths(states["kfac"]):
        _, optimizer = _trained(MAKERS["kfac"])
        before = copy.deepcopy(optimizer.state_dict())
        try:
            optimizer.load_state_dict(copy.deepcopy(damaged(states["kfac"], path)))
        except ValueError:
            assert _equal(before, optimizer.state_dict()), path
        except Exception as error:
            pytest.fail(f"{path}: {type(error).__name__}: {error}")


def _equal(left, right):
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(_equal, left, right))
    return left == right


def test_the_state_of_an_older_version_is_refused_in_one_sentence(states):
    state = copy.deepcopy(states["kfac"])
    key = next(key for key, part in state["state"].items() if "curvature" in part)
    (own,) = state["state"][key].pop("curvature")
    state["natural_gradient"] = {
        "steps": 2,
        "dtype": "float32",
        "curvature": own["curvature"],
        "capture": own["capture"],
    }
    _check_refused(MAKERS["kfac"], state, match="of an older version of ngbench")


# torch.distributed.checkpoint warns of every use outside distributed training.
@pytest.fixture
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("way", ["handed over", "as a whole", "by files"])
@pytest.mark.parametrize("name", ["kfac", "deflation", "two-level", "two-level, additive", "exact-ng"])
@pytest.mark.parametrize("steps", [0, 2])
def test_a_distributed_checkpoint_keeps_the_curvature(name, way, steps, tmp_path):
    model, optimizer = _trained(MAKERS[name], steps=steps)
    other = _model()
    other.load_state_dict(model.state_dict())
    second = MAKERS[name](other, lr=0.7)
    options = StateDictOptions(full_state_dict=True, cpu_offload=True) if way == "as a whole" else None
    saved = get_optimizer_state_dict(model, optimizer, options=options)
    if way == "by files":
        dcp.save({"optimizer": saved}, checkpoint_id=tmp_path)
        loaded = {"optimizer": get_optimizer_state_dict(other, second)}
        dcp.load(loaded, checkpoint_id=tmp_path)
        saved = loaded["optimizer"]
    set_optimizer_state_dict(other, second, copy.deepcopy(saved))
    for number in range(steps, steps + 3):
        expected = _step(model, optimizer, number)
        assert all(map(torch.equal, expected, _step(other, second, number)))


def _combined(model, rate=0.05):
    parameters = list(model.parameters())
    matrices = [one for one in parameters if one.ndim == 2]
    rest = [one for one in parameters if one.ndim != 2]
    return CombinedOptimizer([torch.optim.SGD(matrices, lr=rate, momentum=0.9), torch.optim.Adam(rest, lr=rate)])


@pytest.mark.usefixtures("_quiet")
def test_a_distributed_checkpoint_keeps_all_parts_of_a_combined_optimizer(tmp_path):
    model, optimizer = _trained(_combined)
    other = _model()
    other.load_state_dict(model.state_dict())
    second = _combined(other, 0.7)
    dcp.save({"optimizer": get_optimizer_state_dict(model, optimizer)}, checkpoint_id=tmp_path)
    loaded = {"optimizer": get_optimizer_state_dict(other, second)}
    dcp.load(loaded, checkpoint_id=tmp_path)
    set_optimizer_state_dict(other, second, loaded["optimizer"])
    # Asking for the state is no step.
    get_optimizer_state_dict(model, optimizer)
    for number in (2, 3):
        assert all(map(torch.equal, _step(model, optimizer, number), _step(other, second, number)))


def test_a_combined_optimizer_takes_a_state_whole_or_not_at_all():
    _, optimizer = _trained(_combined)
    state = copy.deepcopy(optimizer.state_dict())
    state["param_groups"][1]["params"] = state["param_groups"][1]["params"][:-1]
    state["param_groups"][0]["lr"] = 0.7
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match="parameter"):
        optimizer.load_state_dict(state)
    assert _equal(before, optimizer.state_dict())
