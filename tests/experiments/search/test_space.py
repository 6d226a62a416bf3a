"""Lists and ranges, from the command line and from YAML, within what the hyper-parameter allows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest

from ngbench.errors import ParameterError
from ngbench.experiments.search.space import Choice, Interval, describe, is_grid, plain, read_dimension, size
from ngbench.plugins.parameters import Parameter, Range

LR = Parameter("lr", Annotated[float, Range(above=0)], 0.1)
COUNT = Parameter("count", Annotated[int, Range(minimum=1)] | Literal["once"], 3)
CLIP = Parameter("clip", Annotated[float, Range(minimum=0, maximum=0.3)], None)
BETAS = Parameter("betas", tuple[float, float], (0.9, 0.999))
ANY = Parameter("any", Any, None)


@pytest.mark.parametrize(
    ("parameter", "given", "meant"),
    [
        (LR, "0.1,1e-2", Choice((0.1, 0.01))),
        (LR, [0.1, "1e-2"], Choice((0.1, 0.01))),
        (LR, "0.5", Choice((0.5,))),
        (LR, "1e-4..1e-1:log", Interval(1e-4, 0.1, log=True)),
        (LR, {"low": 1, "high": 2}, Interval(1.0, 2.0)),
        (COUNT, "1..100:log", Interval(1, 100, log=True, integer=True)),
        (COUNT, "once,10", Choice(("once", 10))),
        (CLIP, "0..0.3", Interval(0.0, 0.3)),
        (CLIP, "none,0.1", Choice((None, 0.1))),
        (BETAS, "0.9/0.999,0.5/0.9", Choice(((0.9, 0.999), (0.5, 0.9)))),
        (BETAS, [[0.9, 0.999]], Choice(((0.9, 0.999),))),
        (ANY, "1,true,x", Choice((1, True, "x"))),
    ],
)
def test_what_is_meant(parameter: Parameter, given: Any, meant: object) -> None:
    read = read_dimension(parameter, given)
    assert read == meant
    # What is written into files and tables is read as the same.
    assert read_dimension(parameter, plain(read)) == meant
    assert read_dimension(parameter, describe(read)) == meant


@pytest.mark.parametrize(
    ("parameter", "given", "said"),
    [
        (LR, "0.1,-1", "lr=-1 is not allowed, it must be a number > 0"),
        (LR, "0.1,fast", "lr=fast is not allowed"),
        (LR, "0.1,1e-1", "0.1 is there twice"),
        (LR, [], "the list of values to search is empty"),
        (LR, 0.1, "0.1 is nothing to search"),
        (LR, "0..1", "lr=0 is not allowed"),
        (LR, "1..0.1", "a range begins with its smaller end"),
        (CLIP, "0..0.3:log", "a logarithmic range begins above 0"),
        (LR, "0.1,0.2:log", "':log' is for a range"),
        (COUNT, "once..10", "once is no number"),
        (LR, {"low": 1}, "a range needs 'high'"),
        (LR, {"low": 1, "high": 2, "step": 1}, "a range has no 'step'"),
        (LR, {"low": 1, "high": 2, "log": "yes"}, "log=yes is not allowed, it must be true or false"),
    ],
)
def test_what_is_refused(parameter: Parameter, given: Any, said: str) -> None:
    with pytest.raises(ParameterError, match=said.replace("(", r"\(")):
        read_dimension(parameter, given)


def test_the_size_of_a_space() -> None:
    grid = {"a": Choice((1, 2)), "b": Choice((1, 2, 3))}
    assert (is_grid(grid), size(grid)) == (True, 6)
    mixed = {**grid, "c": Interval(0.0, 1.0)}
    assert (is_grid(mixed), size(mixed)) == (False, None)


def test_values_that_a_storage_cannot_keep_are_kept_as_text() -> None:
    betas = Choice(((0.9, 0.999), (0.5, 0.9)))
    assert betas.decode(betas.encode((0.5, 0.9))) == (0.5, 0.9)
    assert betas.encode((0.5, 0.9)) == "0.5/0.9"
