"""The arms of a comparison and of a game of two players, as given on the command line.

Grammar of one ``--optimizer`` (``-o``), repeatable::

    option   = item {"," item}
    item     = arm | setting
    arm      = [LABEL "@"] NAME [":" setting]
    setting  = KEY "=" VALUE

A name is that of a plugin, or says where the optimizer is: ``package.module.Class`` or ``path/to/file.py:Class``.
An item that begins with ``KEY=`` continues the arm before it, so ``kfac:lr=0.3,damping=0.1,adam`` is two
arms. An arm without a label is called by its text.

Grammar of one ``--players`` (``-p``), repeatable::

    option  = arm {"," arm}
    arm     = [LABEL "@"] (setting | pair)
    setting = NAME [":" PLAYER "." KEY "=" VALUE {"," PLAYER "." KEY "=" VALUE}]
    pair    = player "+" player                    the generator's optimizer, then the critic's
    player  = NAME [":" KEY "=" VALUE {"," KEY "=" VALUE}]

A setting is a pair that the task gives a name, such as ``kfac3``. An item with ``=`` and without ``:`` continues
the player before it, so ``adam:lr=0.0002+kfac:lr=0.01,damping=0.1,sgda`` is two arms. An arm without a label is
called by its text.

In both, what stands in quotes at the beginning of a label, name, key or value has no signs in it, as in a shell: a file
``a,b/mine.py`` is ``'a,b/mine.py':Mine``. Either quote does; text with both is quoted in pieces, ``'a"b'"c'd"``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ngbench.adversarial_task import PLAYERS, AdversarialTask, Player, PlayerPair
from ngbench.errors import UnknownNameError, UsageError
from ngbench.spelling import argument
from ngbench.values import is_encodable

__all__ = [
    "ArmSpec",
    "PlayersArm",
    "check_label",
    "file_slug",
    "parse_arms",
    "parse_players",
    "parse_settings",
    "refuse_identical",
    "resolve_pair",
]

# The sign of an exponent, as in 1e+4, is followed by a digit.
_PLUS = re.compile(r"\+(?=\s*[A-Za-z_])")
_QUOTE = re.compile(r"""'[^']*'|"[^"]*\"""")
_QUOTED = re.compile(rf"""(?P<before>(?:^|[,@:=+])\s*)(?=['"])(?P<quoted>(?:{_QUOTE.pattern})*)(?P<open>['"]?)""")
_SPACES = filter(str.isspace, map(chr, range(0x3001)))
_SIGNS = dict(zip(("@", ",", ":", "=", "+", *_SPACES), map(chr, (*range(0xFDD0, 0xFDF0), 0xFFFE, 0xFFFF)), strict=True))
"""What stands for signs in quotes while an option is parsed: code points that are no characters."""
_MASK, _UNMASK = str.maketrans(_SIGNS), str.maketrans({mask: sign for sign, mask in _SIGNS.items()})
_MAX_SLUG = 80
_LONGEST_LABEL = 500


@dataclass(frozen=True)
class ArmSpec:
    """One arm: an optimizer and the hyper-parameters given for it, as text.

    Attributes:
        label: what the arm is called in tables and records; unique in a comparison.
        optimizer: the plugin's name, or where it is.
        hyperparameters: the given values, not yet converted.
    """

    label: str
    optimizer: str
    hyperparameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlayersArm:
    """One arm of ``ngbench gan``.

    Attributes:
        label: what the arm is called in tables and records; unique in a comparison.
        names: of a setting (one name), or of the generator's and the critic's optimizer.
        given: for each name, the hyper-parameters as text.
    """

    label: str
    names: tuple[str, ...]
    given: tuple[Mapping[str, str], ...]


@dataclass
class _PlayersDraft:
    label: str | None
    names: list[str] = field(default_factory=list)
    settings: list[list[str]] = field(default_factory=list)

    def finish(self, option: str) -> PlayersArm:
        if len(self.names) > 2:
            raise UsageError(f"{option} names {len(self.names)} optimizers with '+' between them, a pair is two")
        texts = [f"{name}:{','.join(given)}" if given else name for name, given in self._parts()]
        given = tuple(_plain_settings(parse_settings(settings, option)) for settings in self.settings)
        return PlayersArm(_plain(self.label or "+".join(texts)), tuple(map(_plain, self.names)), given)

    def _parts(self) -> list[tuple[str, list[str]]]:
        return list(zip(self.names, self.settings, strict=True))


def parse_arms(options: Sequence[str]) -> list[ArmSpec]:
    """The arms that the values of ``--optimizer`` describe, in their order.

    Raises:
        UsageError: for a text outside the grammar, two arms of the same label, or two identical arms.
    """
    arms = [arm for option in options for arm in _parse_option(option)]
    refuse_identical((arm.label, arm.optimizer, arm.hyperparameters) for arm in arms)
    grammar = "LABEL@NAME:KEY=VALUE"
    _check_labels(arms, grammar, f", name them apart with {grammar}")
    return arms


def parse_players(options: Sequence[str]) -> list[PlayersArm]:
    """The arms that the values of ``--players`` describe, in their order.

    Raises:
        UsageError: for a text outside the grammar, or two arms of the same label.
    """
    arms = [arm for option in options for arm in _parse_players_option(option)]
    grammar = "LABEL@GENERATOR+CRITIC"
    _check_labels(arms, grammar, f": each needs its own optimizers, hyper-parameters or label ({grammar})")
    return arms


def _check_labels(arms: Sequence[ArmSpec | PlayersArm], grammar: str, advice: str) -> None:
    seen: set[str] = set()
    for arm in arms:
        check_label(arm.label, grammar)
        if arm.label in seen:
            raise UsageError(f"two arms are called {arm.label!r}{advice}")
        seen.add(arm.label)


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
                f"{argument('players')} {arm.label!r}: {key!r} does not say whose it is, "
                f"it must be generator.{rest or key} or critic.{rest or key}"
            )
        own["generator" if player == "generator" else "critic"][rest] = value
    return PlayerPair(
        pair.generator,
        pair.critic,
        {**pair.generator_hyperparameters, **own["generator"]},
        {**pair.critic_hyperparameters, **own["critic"]},
    )


def is_setting(item: str) -> bool:
    """Whether an item is ``KEY=VALUE``, no arm; labels and values may hold all of these signs.

    >>> is_setting("lr=0.1"), is_setting("others=mine.py:Mine"), is_setting("lr=1@sgd:lr=1"), is_setting("mine.py:Mine")
    (True, True, False, False)
    """
    head, colon, _ = item.partition(":")
    return "=" in (head.rpartition("@")[2] if colon else head)


def split_name(item: str) -> tuple[str, str | None]:
    """The name at the beginning of an item, which may be ``FILE.py:NAME``, and the setting after it, if there is one.

    >>> split_name("kfac:lr=0.1"), split_name("here/mine.py:Mine:lr=0.1"), split_name("mine.py:Mine")
    (('kfac', 'lr=0.1'), ('here/mine.py:Mine', 'lr=0.1'), ('mine.py:Mine', None))
    """
    head, colon, rest = item.partition(":")
    if colon and head.rstrip().endswith(".py") and "=" not in rest.partition(":")[0]:
        name, colon, rest = rest.partition(":")
        head = f"{head.strip()}:{name.strip()}"
    return head, rest if colon else None


def check_label(label: str, grammar: str) -> None:
    """Refuse a label that no record could hold.

    Raises:
        UsageError: it is too long, or no text; the message says how to give another, as ``grammar`` has it.
    """
    if len(label) > _LONGEST_LABEL:
        raise UsageError(
            f"an arm is called {label[:20]!r}… with {len(label)} characters, a label has at most "
            f"{_LONGEST_LABEL}: name it with {grammar}"
        )
    if not is_encodable(label):
        raise UsageError(f"an arm is called {label!r}, which holds bytes that are not UTF-8: name it with {grammar}")


def parse_settings(settings: Sequence[str], where: str | None = None) -> dict[str, str]:
    """The mapping that repeated ``KEY=VALUE`` describe.

    Raises:
        UsageError: for a text that is not ``KEY=VALUE``, or a key given twice.
    """
    values: dict[str, str] = {}
    for setting in settings:
        _add_setting(values, setting, f"{where or argument('task_options')} {setting}")
    return values


def refuse_identical(arms: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
    """Refuse arms with the same optimizer and the same hyper-parameters: they would be one run done twice.

    Args:
        arms: for each arm its label, its optimizer and its hyper-parameters, as text or resolved.

    Raises:
        UsageError: naming the two arms.
    """
    seen: dict[tuple[str, frozenset[tuple[str, str]]], str] = {}
    for label, optimizer, hyperparameters in arms:
        identity = (optimizer, frozenset((key, repr(value)) for key, value in hyperparameters.items()))
        if identity in seen:
            first = seen[identity]
            both = f"arms {first!r} and {label!r} are identical"
            which = f"arm {label!r} is given twice" if first == label else both
            raise UsageError(f"{which}: each arm needs its own optimizer or hyper-parameters")
        seen[identity] = label


def file_slug(label: str) -> str:
    """A file name for ``label``, valid on all systems; different labels have different names.

    A label of lower-case letters, digits, ``-``, ``_`` and inner dots is its own name; another is spelled
    with those characters and ends in a digest of the label.
    """
    slug = re.sub(r"[^a-z0-9_.]+", "-", label.lower())[:_MAX_SLUG].strip("-.")
    if slug == label:
        return slug
    digest = hashlib.sha256(label.encode()).hexdigest()[:8]
    return f"{slug}-{digest}".lstrip("-")


def _masked(option: str, where: str) -> str:
    """The option without its quotes, and with other characters for the signs that stood in them.

    Raises:
        UsageError: a quote does not end, or there is a character that is none.
    """
    if any(mask in option for mask in _SIGNS.values()):
        raise UsageError(f"{where} holds a code point that is no character")

    def mask(found: re.Match[str]) -> str:
        if found["open"]:
            raise UsageError(f"{where}: the quote {option[found.start('open') :]} does not end")
        return found["before"] + "".join(text[1:-1] for text in _QUOTE.findall(found["quoted"])).translate(_MASK)

    return _QUOTED.sub(mask, option)


def _plain(text: str) -> str:
    """Text that was masked, as the user gave it."""
    return text.translate(_UNMASK)


def _plain_settings(settings: Mapping[str, str]) -> dict[str, str]:
    return {_plain(key): _plain(value) for key, value in settings.items()}


def _parse_option(option: str) -> list[ArmSpec]:
    arms: list[ArmSpec] = []
    drafts: list[tuple[str | None, str, dict[str, str]]] = []
    where = f"{argument('optimizers')} {option!r}"
    for text in _masked(option, where).split(","):
        item = text.strip()
        if not item:
            raise UsageError(f"{where} has an empty item, it must be NAME[:KEY=VALUE,...]")
        if is_setting(item):
            if not drafts:
                first = _plain(item)
                raise UsageError(f"{where} begins with {first!r}, it must begin with an optimizer's name")
            _add_setting(drafts[-1][2], item, where)
        else:
            drafts.append(_parse_arm(item, where))
    for label, optimizer, settings in drafts:
        text = _plain(label or _arm_text(optimizer, settings))
        arms.append(ArmSpec(text, _plain(optimizer), _plain_settings(settings)))
    return arms


def _parse_arm(item: str, where: str) -> tuple[str | None, str, dict[str, str]]:
    head, setting = split_name(item)
    label, optimizer = _label(head, where)
    optimizer = optimizer.strip()
    # A file's path may hold spaces.
    spaced = any(character.isspace() for character in optimizer) and ".py:" not in optimizer
    if not optimizer or "=" in optimizer or spaced:
        raise UsageError(f"{where}: {_plain(optimizer)!r} is no name, it must be NAME[:KEY=VALUE,...]")
    settings: dict[str, str] = {}
    if setting is not None:
        _add_setting(settings, setting, where)
    return label, optimizer, settings


def _label(text: str, where: str) -> tuple[str | None, str]:
    label, at, name = text.rpartition("@")
    if at and not label.strip():
        raise UsageError(f"{where}: the label before '@' is empty")
    return label.strip() or None, name


def _parse_players_option(option: str) -> list[PlayersArm]:
    where = f"{argument('players')} {option!r}"
    drafts: list[_PlayersDraft] = []
    for item in _masked(option, where).split(","):
        for at, text in enumerate(_PLUS.split(item)):
            part = text.strip()
            if not part:
                raise UsageError(f"{where} has an empty item, it must be SETTING or GENERATOR+CRITIC")
            if at == 0 and is_setting(part):
                if not drafts:
                    first = _plain(part)
                    raise UsageError(f"{where} begins with {first!r}, it must begin with a setting or an optimizer")
                drafts[-1].settings[-1].append(part)
                continue
            name, setting = split_name(part)
            if at == 0:
                label, name = _label(name, where)
                drafts.append(_PlayersDraft(label))
            name = name.strip()
            if not name or any(character in "=@" or character.isspace() for character in name):
                raise UsageError(f"{where}: {_plain(name)!r} is no name, it must be SETTING or GENERATOR+CRITIC")
            drafts[-1].names.append(name)
            drafts[-1].settings.append([] if setting is None else [setting.strip()])
    return [draft.finish(where) for draft in drafts]


def _add_setting(settings: dict[str, str], text: str, where: str) -> None:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not key or not value:
        raise UsageError(f"{where}: {_plain(text.strip())!r} is not allowed, it must be KEY=VALUE")
    if key in settings:
        raise UsageError(f"{where}: {_plain(key)!r} is given twice")
    settings[key] = value


def _arm_text(optimizer: str, hyperparameters: Mapping[str, str]) -> str:
    settings = ",".join(f"{key}={value}" for key, value in hyperparameters.items())
    return f"{optimizer}:{settings}" if settings else optimizer
