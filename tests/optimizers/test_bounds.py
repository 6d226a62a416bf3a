"""Every hyper-parameter of every constructor is checked, from Python as on the command line."""

from __future__ import annotations

import math
from functools import partial
from importlib.metadata import entry_points
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from ngbench.curvature.bounds import Positive, Range, allowed, check, checked
from ngbench.curvature.curvatures.additive import AdditiveTwoLevelCurvature
from ngbench.curvature.curvatures.exact import BlockDiagonalCurvature, ExactCurvature
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.curvatures.two_level import TwoLevelCurvature
from ngbench.curvature.inverses import damping
from ngbench.curvature.kronecker import approximations as ap
from ngbench.curvature.kronecker import declaration
from ngbench.curvature.layers import Call, find_layers
from ngbench.curvature.likelihoods import Bernoulli, Categorical, Gaussian
from ngbench.errors import ParameterError
from ngbench.optimizers.natural_gradient import NaturalGradient
from ngbench.plugins.parameters import parameters_of

TASK = SimpleNamespace(likelihood=Categorical())
PLUGINS = {
    point.name: point for point in entry_points(group="ngbench.optimizers") if point.value.startswith("ngbench.")
}

#: Integers that have no largest value.
UNBOUNDED = {"curvature_interval", "inverse_interval", "positions", "max_iterations", "order", "ignore_index"} | {
    "rank",
    "krylov_dimension",
}

#: What no number, no switch and no text may be.
LARGE = 10**400
NEVER = [math.nan, -math.inf, -1, -0.5, LARGE, [1], (), {}, object(), b"1", 1j, torch.tensor(0.1), "nonsense", "0.1"]
SOMETIMES = [0, 1, 2.5, math.inf, True, None]
#: Which of the latter each hyper-parameter takes.
NUMBER = {1, 2.5}
FROM_ZERO = {0, 1, 2.5}
FRACTION = {0}
SHARE = {0, 1}
POSITIVE_SHARE = {1}
COUNT = {1}
SWITCH = {True}
NOTHING: set[object] = set()
TAKES = {
    "lr": NUMBER,
    "momentum": FRACTION,
    "weight_decay": FROM_ZERO,
    "damping": NUMBER,
    "damping_kind": NOTHING,
    "pi": SWITCH,
    "use_pi": SWITCH,
    "empirical": SWITCH,
    "kl_clip": {*NUMBER, None},
    "fisher": NOTHING,
    "decay": SHARE,
    "curvature_interval": COUNT,
    "inverse_interval": COUNT,
    "curvature_fraction": POSITIVE_SHARE,
    "gradient_scale": NUMBER,
    "defer_gradients": SWITCH,
    "seed": {0, 1, None},
    "positions": {0, 1},
    "precision": NOTHING,
    "max_iterations": COUNT,
    "second_term": NOTHING,
    "floor": POSITIVE_SHARE,
    "rank": NOTHING,
    "krylov_dimension": NOTHING,
    "route": NOTHING,
    "coarse_space": NOTHING,
    "order": {1, None},
    "approximation": NOTHING,
    "coarse_damping": {*NUMBER, None},
    "coarse_decay": FRACTION,
    "lifetime": {*NUMBER, math.inf},
    "reduction": NOTHING,
    "ignore_index": {0, 1, -1, None},
    "class_axis": {1, -1},
    "nesterov": SWITCH,
    "amsgrad": SWITCH,
    "centered": SWITCH,
    "lr_decay": FROM_ZERO,
    "initial_accumulator": FROM_ZERO,
    "eps": NUMBER,
    "alpha": FRACTION,
    "beta1": FRACTION,
    "beta2": FRACTION,
}


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def _layers():
    return find_layers(_model())


def _block():
    (layer, *_) = _layers().values()
    return layer.block((Call(torch.randn(6, 3), torch.randn(6, 4)),))


def _kronecker(**options):
    return KroneckerCurvature(_layers(), ap.kfac, **{"damping": 0.1, **options})


def _natural_gradient(**options):
    curvature = partial(KroneckerCurvature, approximation=ap.kfac, damping=0.1)
    return NaturalGradient(_model(), TASK.likelihood, curvature, **options)


def _two_level(**options):
    return TwoLevelCurvature(_layers(), _kronecker(), **{"coarse_space": "nicolaides", "damping": 0.1, **options})


#: Constructors and functions, with the hyper-parameters that each has.
CALLS = {
    "NaturalGradient": (
        _natural_gradient,
        "lr momentum weight_decay kl_clip fisher curvature_interval inverse_interval curvature_fraction gradient_scale"
        " defer_gradients seed",
    ),
    "KroneckerCurvature": (_kronecker, "damping damping_kind use_pi second_term floor decay"),
    "ExactCurvature": (lambda **o: ExactCurvature(_layers(), **{"damping": 0.1, **o}), "damping empirical"),
    "BlockDiagonalCurvature": (
        lambda **o: BlockDiagonalCurvature(_layers(), **{"damping": 0.1, **o}),
        "damping damping_kind use_pi empirical",
    ),
    "TwoLevelCurvature": (_two_level, "coarse_space order lifetime"),
    "AdditiveTwoLevelCurvature": (lambda **o: AdditiveTwoLevelCurvature(_layers(), _kronecker(), **o), ""),
    "Damping": (lambda **o: damping.Damping(**{"value": 0.1, **o}), "use_pi second_term floor"),
    "kpsvd": (lambda **o: ap.kpsvd(_block(), **o), "precision max_iterations route"),
    "deflation": (lambda **o: ap.deflation(_block(), **o), "precision max_iterations route"),
    "lanczos": (lambda **o: ap.lanczos(_block(), **o), "precision max_iterations route"),
    "kfac_corrected": (lambda **o: ap.kfac_corrected(_block(), **o), "precision max_iterations route"),
    "at_radius": (lambda **o: declaration.at_radius(ap.kfac, **o), "positions"),
    "Bernoulli": (Bernoulli, "reduction"),
    "Gaussian": (Gaussian, "reduction"),
    "Categorical": (Categorical, "ignore_index class_axis"),
    **{
        name: (partial(point.load(), _model(), TASK), " ".join(p.name for p in parameters_of(point.load(), skip=2)))
        for name, point in PLUGINS.items()
    },
}
CASES = [(name, parameter) for name, (_, parameters) in CALLS.items() for parameter in parameters.split()]
#: What needs another value to go with it.
COMPANIONS = {"nesterov": {"momentum": 0.5}, "order": {"coarse_space": "taylor"}, "pi": {"damping_kind": "factored"}}


def _same(left, right):
    return type(left) is type(right) and left == right


def _taken(call, name):
    # Without a space of that name there is no order.
    return {1} if (call, name) == ("TwoLevelCurvature", "order") else TAKES[name]


@pytest.mark.parametrize(("call", "name"), CASES)
def test_a_value_without_a_meaning_is_refused(call, name):
    function, _ = CALLS[call]
    for value in [*NEVER, *SOMETIMES]:
        if any(_same(value, one) for one in _taken(call, name)) or (value is LARGE and name in UNBOUNDED):
            continue
        with pytest.raises(ValueError) as refusal:
            function(**{name: value})
        message = str(refusal.value)
        assert message.startswith(f"{name}={value!r} is not allowed, it must be "), message


@pytest.mark.parametrize(("call", "name"), CASES)
def test_a_value_with_a_meaning_is_taken(call, name):
    function, parameters = CALLS[call]
    others = {key: one for key, one in COMPANIONS.get(name, {}).items() if key in parameters.split()}
    if name == "pi" and "block-diagonal" in call:
        others = {"damping_kind": "factored"}
    for value in _taken(call, name):
        function(**{**others, name: value})


@pytest.mark.parametrize(("name", "least"), [("rank", 1), ("dimension", 2)])
def test_the_number_of_products_is_bounded(name, least):
    for value in (0, -1, True, 1.5, "2", None, math.nan, least - 1):
        with pytest.raises(ValueError, match=f"{name}={value!r} is not allowed, it must be an integer >= {least}"):
            ap.lanczos(_block(), **{name: value})
    for plugin in PLUGINS.values():
        for parameter in parameters_of(plugin.load(), skip=2):
            if parameter.name in ("rank", "krylov_dimension"):
                for value in (0, 1, True, 2.5, "two", None, math.nan):
                    with pytest.raises(ValueError, match=f"{parameter.name}={value!r} is not allowed"):
                        plugin.load()(_model(), TASK, **{parameter.name: value})


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_command_line_refuses_what_python_does(plugin):
    function = PLUGINS[plugin].load()
    for parameter in parameters_of(function, skip=2):
        with pytest.raises(ParameterError):
            # No record could hold it.
            parameter.convert(10**400)
        for value in (math.nan, math.inf, -math.inf, -1, -0.5, 0, 1, 2.5, None):
            taken = True
            try:
                parameter.convert(value)
            except ParameterError:
                taken = False
            rule = parameter.annotation if parameter.default is not None else parameter.annotation | None
            try:
                check(parameter.name, value, rule)
            except ValueError:
                assert not taken, (parameter.name, value)
            else:
                assert taken, (parameter.name, value)


def test_numbers_of_numpy_are_numbers():
    check("x", np.float32(0.5), Positive)
    check("x", np.int64(3), int)
    for value in (np.float64("nan"), np.bool_(True), np.float32(-1)):
        with pytest.raises(ValueError, match="it must be a number > 0"):
            check("x", value, Positive)


def test_what_is_allowed_is_said_in_words():
    assert allowed(Positive | None) == "a number > 0 or None"
    assert allowed(int | bool) == "an integer or True or False"
    with pytest.raises(TypeError, match="no annotation of a hyper-parameter"):
        allowed(torch.Tensor)


def test_only_plain_values_are_checked():
    @checked
    def function(model: nn.Module, *rest: int, size: int = 1, other: Range | None = None) -> int:
        return size

    assert function(None, "anything", size=3, other="anything") == 3
    with pytest.raises(ValueError, match="size='3' is not allowed, it must be an integer"):
        function(None, size="3")
