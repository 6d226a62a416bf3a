from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from annotated_types import Interval as Bounds
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ngbench.errors import ParameterError, PluginError
from ngbench.plugins.parameters import Parameter, Range, format_value, parameters_of, resolve
from ngbench.values import LARGEST_COUNT, LARGEST_NUMBER

if TYPE_CHECKING:
    from nowhere import Model

Interval = Annotated[int, Range(minimum=1)] | Literal["once"]


def build(
    model: Model,
    task: Model,
    *,
    lr: Annotated[float, Range(above=0)] = 0.01,
    interval: Interval = 100,
    clip: Annotated[float, Range(above=0)] | None = None,
    nesterov: bool = False,
    betas: tuple[Annotated[float, Range(minimum=0, below=1)], float] = (0.9, 0.999),
) -> Model:
    """Build it.

    Args:
        lr: learning rate,
            the same for ``all``.
        nesterov (bool): look ahead.

    Returns:
        clip: what this is not.
    """


KNOWN = {parameter.name: parameter for parameter in parameters_of(build, skip=2)}


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("lr", "1e-3", 1e-3),
        ("lr", ".5", 0.5),
        ("lr", 1, 1.0),
        ("interval", "7", 7),
        ("interval", "once", "once"),
        ("interval", "9000000000000000000", 9000000000000000000),
        ("clip", "none", None),
        ("clip", "NULL", None),
        ("clip", None, None),
        ("clip", "2", 2.0),
        ("nesterov", "true", True),
        ("nesterov", "False", False),
        ("betas", "0.5/0.9", (0.5, 0.9)),
        ("betas", [0.5, 0.9], (0.5, 0.9)),
    ],
)
def test_a_value_is_read_as_the_type_that_the_signature_says(name: str, given: Any, expected: Any) -> None:
    value = KNOWN[name].convert(given)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("name", "given", "allowed"),
    [
        ("lr", "0", "a number > 0"),
        ("lr", "nan", "a number > 0"),
        ("lr", float("nan"), "a number > 0"),
        ("lr", "inf", "a number > 0"),
        ("lr", "1e999", "a number > 0"),
        ("lr", 10**400, "a number > 0"),
        ("lr", "", "a number > 0"),
        ("lr", "0x1", "a number > 0"),
        ("lr", "1_0", "a number > 0"),
        ("lr", True, "a number > 0"),
        ("lr", [1], "a number > 0"),
        ("interval", "0", "'once' or an integer >= 1"),
        ("interval", "1.0", "'once' or an integer >= 1"),
        ("interval", 2.0, "'once' or an integer >= 1"),
        ("interval", "twice", "'once' or an integer >= 1"),
        ("clip", "-1", "none or a number > 0"),
        ("nesterov", "1", "true or false"),
        ("nesterov", 1, "true or false"),
        ("betas", "0.9", "2 values separated by '/': a number >= 0 and < 1, a number"),
        ("betas", "1/0.9", "2 values separated by '/': a number >= 0 and < 1, a number"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(name: str, given: Any, allowed: str) -> None:
    with pytest.raises(ParameterError) as caught:
        KNOWN[name].convert(given)
    assert str(caught.value) == f"{name}={format_value(given)} is not allowed, it must be {allowed}"


@pytest.mark.parametrize(
    ("annotation", "given", "reason"),
    [
        (int, str(2**63), "integers go up to 2**63 - 1"),
        (int | float, -(2**63), "integers go up to 2**63 - 1"),
        (tuple[int, ...], f"1/{10**30}", "integers go up to 2**63 - 1"),
        (Any, {"deep": [10**30]}, "integers go up to 2**63 - 1"),
        (float, "1e61", "numbers go up to 1e+60"),
        (float, -1e300, "numbers go up to 1e+60"),
        (str, "\udc80", "the text holds half of a surrogate pair"),
    ],
)
def test_a_value_that_no_record_could_hold_is_not_allowed(annotation: Any, given: Any, reason: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Parameter("x", annotation).convert(given)
    assert str(caught.value) == f"x={format_value(given)} is not allowed, {reason}"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[float, Gt(0)], "a number > 0"),
        (Annotated[float, Gt(0), Le(1)] | None, "none or a number > 0 and <= 1"),
        (Annotated[int, Bounds(ge=1, lt=9)], "an integer >= 1 and < 9"),
        (tuple[Annotated[float, Ge(0), Lt(1)], ...], "values separated by '/', each a number >= 0 and < 1"),
        (Annotated[float, "some text", Range(minimum=1)], "a number >= 1"),
    ],
)
def test_bounds_are_those_of_annotated_types_or_of_range(annotation: Any, words: str) -> None:
    parameter = Parameter("x", annotation, required=True)
    assert parameter.describe() == words
    with pytest.raises(ParameterError, match=f"x=-99 is not allowed, it must be {re.escape(words)}"):
        parameter.convert(-99)


@pytest.mark.parametrize(
    ("bound", "inside", "outside"),
    [(Gt(1), "1.5", "1"), (Ge(1), "1", "0.5"), (Lt(1), "0.5", "1"), (Le(1), "1", "1.5")],
)
def test_a_bound_holds_its_end_or_does_not(bound: Any, inside: str, outside: str) -> None:
    parameter = Parameter("x", Annotated[float, bound])
    assert parameter.convert(inside) == float(inside)
    with pytest.raises(ParameterError, match=f"x={outside} is not allowed"):
        parameter.convert(outside)


def test_range_is_a_group_of_these() -> None:
    assert list(Range(minimum=0, above=1, maximum=2, below=3)) == [Ge(0), Gt(1), Le(2), Lt(3)]
    assert TypeAdapter(Annotated[float, Range(above=0, maximum=1)]).validate_python(1) == 1
    with pytest.raises(ValidationError, match="greater than 0"):
        TypeAdapter(Annotated[float, Range(above=0)]).validate_python(0)


def test_a_bound_that_would_not_be_checked_is_refused() -> None:
    def build(*, size: Annotated[int, MultipleOf(2)] = 2) -> None: ...

    with pytest.raises(PluginError, match=r"'size' .*MultipleOf\(multiple_of=2\) is no bound that is checked"):
        parameters_of(build)
    assert parameters_of(build, lenient=True)[0].convert("3") == 3


def test_a_literal_true_is_not_the_number_one() -> None:
    parameter = Parameter("x", Literal[1, "a"])
    assert parameter.convert("1") == 1
    with pytest.raises(ParameterError, match="1 or 'a'"):
        parameter.convert(True)


def test_descriptions_come_from_the_args_section() -> None:
    assert KNOWN["lr"].description == "learning rate, the same for all."
    assert KNOWN["nesterov"].description == "look ahead."
    assert KNOWN["clip"].description == ""


def test_resolving_gives_every_value_in_the_order_of_the_signature() -> None:
    values = resolve(list(KNOWN.values()), {"clip": "0.5", "lr": "2"})
    assert list(values.items()) == [
        ("lr", 2.0),
        ("interval", 100),
        ("clip", 0.5),
        ("nesterov", False),
        ("betas", (0.9, 0.999)),
    ]


def test_an_unknown_name_is_answered_with_the_close_and_the_known_ones() -> None:
    with pytest.raises(ParameterError) as caught:
        resolve(list(KNOWN.values()), {"nesterow": "true"}, "optimizer x")
    assert str(caught.value) == (
        "optimizer x: unknown parameter 'nesterow'; did you mean 'nesterov'? "
        "(known: betas, clip, interval, lr, nesterov)"
    )


def test_unknown_names_are_read_as_literals_where_any_is_accepted() -> None:
    given = {"a": "1", "b": "0.5", "c": "none", "d": "true", "e": "1/2.5", "f": "a/b"}
    expected = {"a": 1, "b": 0.5, "c": None, "d": True, "e": (1, 2.5), "f": "a/b"}
    assert resolve([], given, accepts_any=True) == expected


def test_a_required_parameter_must_be_given() -> None:
    def needs(*, size: Annotated[int, Range(minimum=1, maximum=9)]) -> None: ...

    with pytest.raises(ParameterError, match=r"task t: size has no default.* an integer >= 1 and <= 9"):
        resolve(needs, {}, "task t")
    assert resolve(needs, {"size": "9"}) == {"size": 9}


def test_a_plugin_must_annotate_its_parameters() -> None:
    def silent(model, task, *, lr=0.1): ...  # type: ignore[no-untyped-def]

    def unresolvable(*, lr: Model = 0.1) -> None: ...

    def unusable(*, hook: dict[str, int] | None = None, table: dict[str, int] = {}) -> None: ...  # noqa: B006

    for function, word in ((silent, "no annotation"), (unresolvable, "Model"), (unusable, "dict")):
        with pytest.raises(PluginError, match=word):
            parameters_of(function, skip=2 if function is silent else 0)


def test_foreign_code_is_read_by_its_defaults() -> None:
    marker = object()

    def foreign(self, params, lr, rate=1, flag=False, betas=(0.9, 0.99), mode="fast", x=None, hook=marker): ...  # type: ignore[no-untyped-def]

    parameters = parameters_of(foreign, skip=2, lenient=True)
    given = {"lr": "3", "rate": "0.5", "flag": "true", "betas": "0.1/0.2", "mode": "slow"}
    assert resolve(parameters, given) == {
        "lr": 3,
        "rate": 0.5,
        "flag": True,
        "betas": (0.1, 0.2),
        "mode": "slow",
        "x": None,
    }
    with pytest.raises(ParameterError, match="true or false"):
        resolve(parameters, {**given, "flag": "5"})
    with pytest.raises(ParameterError, match="2 values separated by '/'"):
        resolve(parameters, {**given, "betas": "0.1"})


def test_none_is_allowed_where_it_is_the_default() -> None:
    assert Parameter("name", str, default=None).convert("none") is None
    assert Parameter("name", str, default="x").convert("none") == "none"


@given(
    st.one_of(
        st.floats(-LARGEST_NUMBER, LARGEST_NUMBER),
        st.integers(-LARGEST_COUNT, LARGEST_COUNT),
        st.booleans(),
        st.none(),
        st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)),
    )
)
def test_the_text_of_a_value_reads_as_the_value(value: Any) -> None:
    annotation = float | int | bool | None | tuple[float, float]
    assert Parameter("x", annotation).convert(format_value(value)) == value


@given(st.text(max_size=30))
def test_no_text_breaks_the_reader(text: str) -> None:
    for parameter in KNOWN.values():
        try:
            value = parameter.convert(text)
        except ParameterError:
            continue
        assert parameter.convert(value) == value
