"""The arms of ``ngbench gan``, as given on the command line: which optimizer trains which player.

Grammar of one ``--players`` (``-p``), repeatable::

    option  = arm {"," arm}
    arm     = [LABEL "@"] (setting | pair)
    setting = NAME [":" PLAYER "." KEY "=" VALUE {"," PLAYER "." KEY "=" VALUE}]
    pair    = player "+" player                    the generator's optimizer, then the critic's
    player  = NAME [":" KEY "=" VALUE {"," KEY "=" VALUE}]

A setting is a pair that the task gives a name, such as ``kfac3``. An item with ``=`` and without ``:`` continues
the player before it, so ``adam:lr=0.0002+kfac:lr=0.01,damping=0.1,sgda`` is two arms. An arm without a label is
called by its text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ngbench.adversarial_task import PLAYERS, AdversarialTask, Player, PlayerPair
from ngbench.arms import check_label, is_setting, parse_settings, split_name
from ngbench.errors import UnknownNameError, UsageError

__all__ = ["PlayersArm", "parse_players", "resolve_pair"]

OPTION = "--players"
# The sign of an exponent, as in 1e+4, is followed by a digit.
_PLUS = re.compile(r"\+(?=\s*[A-Za-z_])")


@dataclass(frozen=True)
class PlayersArm:
    """One arm.

    Attributes:
        label: what the arm is called in tables and records; unique in a comparison.
        names: of a setting (one name), or of the generator's and the critic's optimizer.
        given: for each name, the hyper-parameters as text.
    """

    label: str
    names: tuple[str, ...]
    given: tuple[Mapping[str, str], ...]


@dataclass
class _Draft:
    label: str | None
    names: list[str] = field(default_factory=list)
    settings: list[list[str]] = field(default_factory=list)

    def finish(self, option: str) -> PlayersArm:
        if len(self.names) > 2:
            raise UsageError(f"{option} names {len(self.names)} optimizers with '+' between them, a pair is two")
        texts = [f"{name}:{','.join(given)}" if given else name for name, given in self._parts()]
        given = tuple(parse_settings(settings, option) for settings in self.settings)
        return PlayersArm(self.label or "+".join(texts), tuple(self.names), given)

    def _parts(self) -> list[tuple[str, list[str]]]:
        return list(zip(self.names, self.settings, strict=True))


def parse_players(options: Sequence[str]) -> list[PlayersArm]:
    """The arms that the values of ``--players`` describe, in their order.

    Raises:
        UsageError: for a text outside the grammar, or two arms of the same label.
    """
    arms = [arm for option in options for arm in _parse_option(option)]
    seen: set[str] = set()
    for arm in arms:
        check_label(arm.label, "LABEL@GENERATOR+CRITIC")
        if arm.label in seen:
            raise UsageError(
                f"two arms are called {arm.label!r}: each needs its own optimizers, hyper-parameters or label "
                "(LABEL@GENERATOR+CRITIC)"
            )
        seen.add(arm.label)
    return arms


def _parse_option(option: str) -> list[PlayersArm]:
    where = f"{OPTION} {option!r}"
    drafts: list[_Draft] = []
    for item in option.split(","):
        for at, text in enumerate(_PLUS.split(item)):
            part = text.strip()
            if not part:
                raise UsageError(f"{where} has an empty item, it must be SETTING or GENERATOR+CRITIC")
            if at == 0 and is_setting(part):
                if not drafts:
                    raise UsageError(f"{where} begins with {part!r}, it must begin with a setting or an optimizer")
                drafts[-1].settings[-1].append(part)
                continue
            name, setting = split_name(part)
            if at == 0:
                label, name = _label(name, where)
                drafts.append(_Draft(label))
            name = name.strip()
            if not name or any(character in "=@" or character.isspace() for character in name):
                raise UsageError(f"{where}: {name!r} is no name, it must be SETTING or GENERATOR+CRITIC")
            drafts[-1].names.append(name)
            drafts[-1].settings.append([] if setting is None else [setting.strip()])
    return [draft.finish(where) for draft in drafts]


def _label(text: str, where: str) -> tuple[str | None, str]:
    label, at, name = text.rpartition("@")
    if at and not label.strip():
        raise UsageError(f"{where}: the label before '@' is empty")
    return label.strip() or None, name


def resolve_pair(arm: PlayersArm, task: AdversarialTask, batch_size: int) -> PlayerPair:
    """The pair of optimizers that the arm means for the task, with the hyper-parameters given or published.

    Raises:
        UnknownNameError: the task has no such setting.
        UsageError: a hyper-parameter of a setting does not say whose it is.
    """
    if len(arm.names) == 2:
        return PlayerPair(*arm.names, *arm.given)
    settings = task.settings_for(batch_size)
    (name,), (given,) = arm.names, arm.given
    if name not in settings:
        raise UnknownNameError("setting of the players", name, [*settings, "GENERATOR+CRITIC"])
    pair = settings[name]
    own: dict[Player, dict[str, str]] = {player: {} for player in PLAYERS}
    for key, value in given.items():
        player, _, rest = key.partition(".")
        if player not in own or not rest:
            raise UsageError(
                f"{OPTION} {arm.label!r}: {key!r} does not say whose it is, "
                f"it must be generator.{rest or key} or critic.{rest or key}"
            )
        own["generator" if player == "generator" else "critic"][rest] = value
    return PlayerPair(
        pair.generator,
        pair.critic,
        {**pair.generator_hyperparameters, **own["generator"]},
        {**pair.critic_hyperparameters, **own["critic"]},
    )
