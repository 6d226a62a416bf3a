"""The grammar of --players."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ngbench.adversarial_task import AdversarialTask, PlayerPair
from ngbench.arms import parse_players, resolve_pair
from ngbench.errors import UnknownNameError, UsageError


def task(**parts: Any) -> AdversarialTask:
    def unused(*arguments: Path) -> Any:
        raise AssertionError

    return AdversarialTask(unused, unused, unused, noise=3, batch_size=8, epochs=1, **parts)


def test_settings_and_pairs_are_told_apart_by_the_plus() -> None:
    arms = parse_players(["sgda,adam+kfac", "mine@kfac3"])
    assert [(arm.label, arm.names) for arm in arms] == [
        ("sgda", ("sgda",)),
        ("adam+kfac", ("adam", "kfac")),
        ("mine", ("kfac3",)),
    ]


def test_hyperparameters_belong_to_the_player_before_them() -> None:
    first, second = parse_players(["adam:lr=2e-4,beta1=0.5+kfac:lr=0.01,damping=1e-5,sgd+torch.optim.AdamW:lr=1"])
    assert first.label == "adam:lr=2e-4,beta1=0.5+kfac:lr=0.01,damping=1e-5"
    assert first.given == ({"lr": "2e-4", "beta1": "0.5"}, {"lr": "0.01", "damping": "1e-5"})
    assert second.names == ("sgd", "torch.optim.AdamW")
    assert second.given == ({}, {"lr": "1"})


def test_what_is_quoted_has_no_signs() -> None:
    (arm,) = parse_players(["'a+b'@'x@y,z/m.py':Mine:note='1+a, b'+sgd"])
    assert (arm.label, arm.names, arm.given) == ("a+b", ("x@y,z/m.py:Mine", "sgd"), ({"note": "1+a, b"}, {}))
    assert parse_players(["'a+b':generator.lr=1"])[0].names == ("a+b",)


def test_the_sign_of_an_exponent_is_no_pair() -> None:
    (arm,) = parse_players(["adam:lr=1e+2+kfac:damping=1e+3"])
    assert arm.given == ({"lr": "1e+2"}, {"damping": "1e+3"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["adam,,sgda"], "empty item"),
        (["lr=1"], "must begin with a setting"),
        (["adam+sgd+kfac"], "names 3 optimizers"),
        (["@adam"], "label before '@' is empty"),
        (["ad am+sgd"], "'ad am' is no name"),
        (["adam:lr+sgd"], "must be KEY=VALUE"),
        (["adam:lr=1,lr=2+sgd"], "'lr' is given twice"),
        (["sgda", "sgda"], "two arms are called 'sgda'"),
    ],
)
def test_a_text_outside_the_grammar_is_refused(options: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_players(options)


def test_a_setting_means_its_published_pair_for_the_batch_size() -> None:
    published = PlayerPair("adam", "kfac", {}, {"lr": 0.5})
    made = task(published={256: {"kfac3": published}})
    (arm,) = parse_players(["kfac3"])
    assert resolve_pair(arm, made, 256) == published
    assert resolve_pair(arm, made, 128) == PlayerPair("adam", "kfac")


def test_hyperparameters_of_a_setting_say_whose_they_are() -> None:
    (arm,) = parse_players(["kfac3:critic.damping=0.1,generator.lr=2"])
    pair = resolve_pair(arm, task(), 8)
    assert pair.generator_hyperparameters == {"lr": "2"}
    assert pair.critic_hyperparameters == {"damping": "0.1"}
    (arm,) = parse_players(["kfac3:damping=0.1"])
    with pytest.raises(UsageError, match=r"it must be generator\.damping or critic\.damping"):
        resolve_pair(arm, task(), 8)


def test_an_unknown_setting_names_the_known_ones() -> None:
    (arm,) = parse_players(["kfac4"])
    with pytest.raises(UnknownNameError, match="did you mean 'kfac") as caught:
        resolve_pair(arm, task(), 8)
    assert "GENERATOR+CRITIC" in str(caught.value)
    assert "sgda" in str(caught.value)
