"""What a check finds, and how checks are run one after another."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Generic, TypeVar

from ngbench.errors import NgbenchError, one_line
from ngbench.optimizers.coverage import CurvatureWarning
from ngbench.plugins import registry
from ngbench.records.environment import describe_environment
from ngbench.records.experiments import CheckRecord, CheckStatus, ConformanceRecord, PluginRecord
from ngbench.records.record import Document

__all__ = [
    "Check",
    "CheckFailed",
    "CheckNotApplicable",
    "Passed",
    "conformance_document",
    "outcome",
    "raised",
    "run_checks",
]

Subject = TypeVar("Subject")

_LONGEST = 240
"""Characters of what an exception says that a row shows."""


class CheckFailed(Exception):
    """The plugin does not do what a check asks for.

    Args:
        message: one sentence that says what is wrong and what to do.
        fatal: whether nothing else can be checked.
    """

    def __init__(self, message: str, *, fatal: bool = False) -> None:
        super().__init__(message)
        self.fatal = fatal


class CheckNotApplicable(Exception):
    """A check that does not concern this plugin or this machine.

    Args:
        reason: why.
        fatal: whether nothing else can be checked.
    """

    def __init__(self, reason: str, *, fatal: bool = False) -> None:
        super().__init__(reason)
        self.fatal = fatal


@dataclass(frozen=True)
class Passed:
    """What a check saw where all is well.

    Attributes:
        message: a few words.
        values: measured numbers, by name.
    """

    message: str = ""
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One thing that a plugin must do.

    Attributes:
        name: of its row.
        requirement: what is asked for, in words that go on from "it must": shown where the plugin raises instead.
        run: raises :class:`CheckFailed` or :class:`CheckNotApplicable`, or returns what it saw.
        needs: checks without whose success this one would say the same again.
    """

    name: str
    requirement: str
    run: Callable[[Subject], Passed]
    needs: tuple[str, ...] = ()


def outcome(name: str, status: CheckStatus, message: str) -> CheckRecord:
    """What came of a check in which nothing was measured."""
    return CheckRecord(name=name, status=status, message=message)


def conformance_document(plugins: Sequence[PluginRecord]) -> Document:
    """What became of the plugins."""
    found = ConformanceRecord(plugins=list(plugins))
    return Document(environment=describe_environment(registry.providers()), runs=[], conformance=found)


def run_checks(
    subject: Subject, checks: Sequence[Check[Subject]], told: Callable[[CheckRecord], None] = lambda row: None
) -> list[CheckRecord]:
    """The rows of ``checks``; after one without which nothing can be checked the remaining ones do not apply.

    What the plugin warns of is said in the row of the check that heard it first.

    Args:
        subject: what is checked.
        checks: in order.
        told: is called with each row as soon as it is there.
    """
    rows: list[CheckRecord] = []
    obstacle = ""
    missing: set[str] = set()
    warned: set[str] = set()
    for check in checks:
        lacking = obstacle or next((need for need in check.needs if need in missing), "")
        if lacking:
            row = outcome(check.name, "not applicable", f"not without {lacking}")
        else:
            with warnings.catch_warnings(record=True) as heard:
                # That is of the models that plugins are tried on.
                warnings.filterwarnings("ignore", r"\d+ trained parameters take their plain gradient", CurvatureWarning)
                row, fatal = _run(subject, check)
            obstacle = check.name if fatal else ""
            news = dict.fromkeys(raised(one.message) for one in heard if isinstance(one.message, Warning))
            for warning in [one for one in news if one not in warned]:
                row.message += f"{'; ' if row.message else ''}it warns: {warning}"
            warned |= news.keys()
        if row.status != "passed":
            missing.add(row.name)
        rows.append(row)
        told(row)
    return rows


def raised(error: BaseException) -> str:
    """The class of an exception and what it says, in one line of bounded length."""
    return f"{type(error).__name__}: {shorten(one_line(error), _LONGEST, placeholder=' ...')}"


def _run(subject: Subject, check: Check[Subject]) -> tuple[CheckRecord, bool]:
    try:
        seen = check.run(subject)
    except CheckNotApplicable as reason:
        return outcome(check.name, "not applicable", str(reason)), reason.fatal
    except CheckFailed as failure:
        return outcome(check.name, "failed", str(failure)), failure.fatal
    except NgbenchError as error:
        return outcome(check.name, "failed", f"{one_line(error)}; it must {check.requirement}"), False
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a plugin raises is what the row has to say
        what = f"it raised {raised(error)}; it must {check.requirement}"
        return outcome(check.name, "failed", what), False
    passed = CheckRecord(name=check.name, status="passed", message=seen.message, values=dict(seen.values))
    return passed, False
