"""The arms of a comparison, as given on the command line.

Grammar of one ``--optimizer`` (``-o``), repeatable::

    option   = item {"," item}
    item     = arm | setting
    arm      = [LABEL "@"] NAME [":" setting]
    setting  = KEY "=" VALUE

A name is that of a plugin, or says where the optimizer is: ``package.module.Class`` or ``path/to/file.py:Class``.
An item that begins with ``KEY=`` continues the arm before it, so ``kfac:lr=0.3,damping=0.1,adam`` is two
arms. An arm without a label is called by its text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ngbench.errors import UsageError
from ngbench.values import is_encodable

__all__ = [
    "ArmSpec",
    "check_label",
    "file_slug",
    "is_setting",
    "parse_arms",
    "parse_settings",
    "refuse_identical",
    "split_name",
]

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


def parse_arms(options: Sequence[str]) -> list[ArmSpec]:
    """The arms that the values of ``--optimizer`` describe, in their order.

    Raises:
        UsageError: for a text outside the grammar, two arms of the same label, or two identical arms.
    """
    arms = [arm for option in options for arm in _parse_option(option)]
    seen: set[str] = set()
    refuse_identical((arm.label, arm.optimizer, arm.hyperparameters) for arm in arms)
    for arm in arms:
        check_label(arm.label, "LABEL@NAME:KEY=VALUE")
        if arm.label in seen:
            raise UsageError(f"two arms are called {arm.label!r}, name them apart with LABEL@NAME:KEY=VALUE")
        seen.add(arm.label)
    return arms


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
    if head.rstrip().endswith(".py") and "=" not in rest.partition(":")[0]:
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


def parse_settings(settings: Sequence[str], option: str = "--set") -> dict[str, str]:
    """The mapping that repeated ``KEY=VALUE`` describe.

    Raises:
        UsageError: for a text that is not ``KEY=VALUE``, or a key given twice.
    """
    values: dict[str, str] = {}
    for setting in settings:
        _add_setting(values, setting, f"{option} {setting}")
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


def _parse_option(option: str) -> list[ArmSpec]:
    arms: list[ArmSpec] = []
    drafts: list[tuple[str | None, str, dict[str, str]]] = []
    for text in option.split(","):
        item = text.strip()
        if not item:
            raise UsageError(f"--optimizer {option!r} has an empty item, it must be NAME[:KEY=VALUE,...]")
        if is_setting(item):
            if not drafts:
                raise UsageError(f"--optimizer {option!r} begins with {item!r}, it must begin with an optimizer's name")
            _add_setting(drafts[-1][2], item, f"--optimizer {option!r}")
        else:
            drafts.append(_parse_arm(item, option))
    for label, optimizer, settings in drafts:
        arms.append(ArmSpec(label or _arm_text(optimizer, settings), optimizer, settings))
    return arms


def _parse_arm(item: str, option: str) -> tuple[str | None, str, dict[str, str]]:
    head, setting = split_name(item)
    label, at, optimizer = head.rpartition("@")
    label, optimizer = label.strip(), optimizer.strip()
    if at and not label:
        raise UsageError(f"--optimizer {option!r}: the label before '@' is empty")
    if not optimizer or "=" in optimizer or any(character.isspace() for character in optimizer):
        raise UsageError(f"--optimizer {option!r}: {optimizer!r} is no name, it must be NAME[:KEY=VALUE,...]")
    settings: dict[str, str] = {}
    if setting is not None:
        _add_setting(settings, setting, f"--optimizer {option!r}")
    return label or None, optimizer, settings


def _add_setting(settings: dict[str, str], text: str, where: str) -> None:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not key or not value:
        raise UsageError(f"{where}: {text.strip()!r} is not allowed, it must be KEY=VALUE")
    if key in settings:
        raise UsageError(f"{where}: {key!r} is given twice")
    settings[key] = value


def _arm_text(optimizer: str, hyperparameters: Mapping[str, str]) -> str:
    settings = ",".join(f"{key}={value}" for key, value in hyperparameters.items())
    return f"{optimizer}:{settings}" if settings else optimizer
