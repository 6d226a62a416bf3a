from __future__ import annotations

import re
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ngbench.arms import ArmSpec, file_slug, parse_arms, parse_players, parse_settings, refuse_identical
from ngbench.errors import UsageError


def test_an_item_with_equals_and_without_colon_continues_the_arm_before_it() -> None:
    assert parse_arms(["sgd,kfac:lr=0.3,damping=0.1,adam", "adagrad"]) == [
        ArmSpec("sgd", "sgd", {}),
        ArmSpec("kfac:lr=0.3,damping=0.1", "kfac", {"lr": "0.3", "damping": "0.1"}),
        ArmSpec("adam", "adam", {}),
        ArmSpec("adagrad", "adagrad", {}),
    ]


def test_a_label_names_the_arm() -> None:
    (arm,) = parse_arms(["lr=1 is big@torch.optim.SGD:lr=1, momentum = 0.5"])
    assert arm == ArmSpec("lr=1 is big", "torch.optim.SGD", {"lr": "1", "momentum": "0.5"})


def test_values_keep_slashes_at_signs_and_equals() -> None:
    (arm,) = parse_arms(["adam:betas=0.9/0.99,note=a@b=c"])
    assert arm.hyperparameters == {"betas": "0.9/0.99", "note": "a@b=c"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([""], "empty item"),
        (["sgd,,adam"], "empty item"),
        (["sgd,"], "empty item"),
        (["lr=0.1"], "must begin with an optimizer's name"),
        (["sgd:"], "must be KEY=VALUE"),
        (["sgd:momentum"], "'momentum' is not allowed, it must be KEY=VALUE"),
        (["sgd:=1"], "'=1' is not allowed, it must be KEY=VALUE"),
        (["sgd:lr="], "'lr=' is not allowed, it must be KEY=VALUE"),
        (["sgd:lr=1,lr=2"], "'lr' is given twice"),
        ([":lr=1"], "'' is no name"),
        (["@sgd"], "the label before '@' is empty"),
        (["big@"], "'' is no name"),
        (["two words"], "'two words' is no name"),
        (["sgd", "sgd"], "arm 'sgd' is given twice"),
        (["sgd,sgd"], "arm 'sgd' is given twice"),
        (["a@sgd:lr=1", "b@sgd:lr=1"], "arms 'a' and 'b' are identical"),
        (["sgd:lr=1,momentum=0", "sgd:momentum=0,lr=1"], "identical"),
        (["a@sgd:lr=1", "a@sgd:lr=2"], "two arms are called 'a'"),
        (["'a,b.py:Mine"], "the quote 'a,b.py:Mine does not end"),
        (["""sgd:note='a'"b"""], 'the quote "b does not end'),
        (["'a=b'=1"], "begins with 'a=b=1', it must begin with an optimizer's name"),
        (["sgd:'a=b'=1,'a=b'=2"], "'a=b' is given twice"),
        (["sgd:note=\ufdd0"], "holds a code point that is no character"),
    ],
)
def test_a_malformed_arm_is_one_sentence(options: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_arms(options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arms_that_the_defaults_make_identical_are_refused() -> None:
    arms = [("sgd", "sgd", {"lr": 0.01}), ("sgd:lr=1e-2", "sgd", {"lr": 0.01})]
    with pytest.raises(UsageError, match="arms 'sgd' and 'sgd:lr=1e-2' are identical"):
        refuse_identical(arms)
    refuse_identical([arms[0], ("adam", "adam", {"lr": 0.01}), ("b", "sgd", {"lr": 0.02})])


def test_settings_are_keys_and_values() -> None:
    assert parse_settings(["data=auto", "examples = 100"]) == {"data": "auto", "examples": "100"}
    with pytest.raises(UsageError, match="`task_options` data: 'data' is not allowed, it must be KEY=VALUE"):
        parse_settings(["data"])
    with pytest.raises(UsageError, match="'a' is given twice"):
        parse_settings(["a=1", "a=2"])


words = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=8)
values = st.text(string.ascii_letters + string.digits + "./+-@=éλ", min_size=1, max_size=8)
labels = st.text(string.ascii_letters + string.digits + " ./+-@=éλ", min_size=1, max_size=12).filter(
    lambda text: text == text.strip()
)


def quoted(text: str) -> str:
    """As a user would quote it, who knows that a text may hold quotes of both kinds."""
    return "".join(f'"{piece}"' if "'" in piece else f"'{piece}'" for piece in re.findall(r"""[^']+|[^"]+""", text))


anything = st.text(st.characters(exclude_categories=["Cs", "Cn"]), min_size=1, max_size=12)


@given(anything, anything, st.dictionaries(anything, anything, max_size=2))
def test_in_quotes_every_text_is_a_label_a_name_a_key_or_a_value(label: str, name: str, given: dict[str, str]) -> None:
    settings = ",".join(f"{quoted(key)}={quoted(value)}" for key, value in given.items())
    text = f"{quoted(label)}@{quoted(name)}" + (f":{settings}" if given else "")
    assert parse_arms([text]) == [ArmSpec(label, name, given)]


def text_of(arm: ArmSpec) -> str:
    settings = ",".join(f"{name}={value}" for name, value in arm.hyperparameters.items())
    text = f"{arm.optimizer}:{settings}" if settings else arm.optimizer
    return text if arm.label == text else f"{arm.label}@{text}"


@given(st.lists(st.tuples(st.none() | labels, words, st.dictionaries(words, values, max_size=3)), max_size=4))
def test_the_text_of_arms_parses_to_them(
    drafts: list[tuple[str | None, str, dict[str, str]]],
) -> None:
    arms = []
    for label, optimizer, hyperparameters in drafts:
        assume(hyperparameters or label is None or "=" not in label)
        text = text_of(ArmSpec("", optimizer, hyperparameters)).removeprefix("@")
        arms.append(ArmSpec(label or text, optimizer, hyperparameters))
    assume(len({arm.label for arm in arms}) == len(arms))
    assume(len({(a.optimizer, frozenset(a.hyperparameters.items())) for a in arms}) == len(arms))
    texts = [text_of(arm) for arm in arms]
    assert parse_arms(texts) == arms
    if texts:
        assert parse_arms([",".join(texts)]) == arms


@given(st.lists(st.text(min_size=1, max_size=150), min_size=2, max_size=2, unique=True))
def test_different_labels_have_different_portable_file_names(pair: list[str]) -> None:
    first, second = (file_slug(label) for label in pair)
    assert first != second
    for slug in (first, second):
        assert set(slug) <= set(string.ascii_lowercase + string.digits + "-_.")
        assert 0 < len(slug) < 100
        assert slug[0] not in "-."
        assert slug[-1] not in "-."


def test_a_plain_label_is_its_own_file_name() -> None:
    assert file_slug("kfac-corrected") == "kfac-corrected"
    assert file_slug("kfac:damping=0.1").startswith("kfac-damping-0.1-")


def test_a_label_that_no_table_could_show_is_refused():
    with pytest.raises(UsageError, match=r"501 characters, a label has at most 500: name it with LABEL@NAME"):
        parse_arms([f"{'x' * 501}@sgd"])
    assert parse_arms([f"{'x' * 500}@sgd"])[0].label == "x" * 500


@pytest.mark.parametrize("label", ["\udcff", "a\ud800b"])
def test_a_label_that_no_file_could_hold_is_refused(label: str) -> None:
    with pytest.raises(UsageError, match=r"bytes that are not UTF-8: name it with LABEL@NAME:KEY=VALUE"):
        parse_arms([f"{label}@sgd"])
    with pytest.raises(UsageError, match=r"bytes that are not UTF-8: name it with LABEL@GENERATOR\+CRITIC"):
        parse_players([f"{label}@adam"])
    with pytest.raises(UsageError, match=r"a label has at most 500: name it with LABEL@GENERATOR\+CRITIC"):
        parse_players([f"{'x' * 501}@adam"])
