"""What a check finds, and how checks are run one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Generic, Literal, TypeVar

from ngbench.errors import NgbenchError, one_line
from ngbench.records.environment import describe_environment
from ngbench.records.experiments import CheckRecord, ConformanceRecord, PluginKind, PluginRecord
from ngbench.records.record import Document

__all__ = [
    "Check",
    "CheckFailed",
    "CheckNotApplicable",
    "CheckResult",
    "Passed",
    "PluginReport",
    "conformance_document",
    "raised",
    "run_checks",
]

Status = Literal["passed", "failed", "not applicable"]
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


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    Attributes:
        name: the check's.
        status: ``passed``, ``failed`` or ``not applicable``.
        message: what was seen; what is wrong and what to do; or why the check does not apply.
        values: measured numbers, by name.
    """

    name: str
    status: Status
    message: str
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PluginReport:
    """All rows of one plugin.

    Attributes:
        plugin: its name.
        kind: ``optimizer``, ``task`` or ``approximation``.
        distribution: that provides it; None for an optimizer class by its dotted name.
        rows: in the order of the checks.
    """

    plugin: str
    kind: PluginKind
    distribution: str | None
    rows: Sequence[CheckResult]

    @property
    def failed(self) -> list[CheckResult]:
        """The rows of the checks that failed."""
        return [row for row in self.rows if row.status == "failed"]

    def as_record(self) -> PluginRecord:
        """The rows as a document has them."""
        checks = [
            CheckRecord(name=row.name, status=row.status, message=row.message, values=dict(row.values))
            for row in self.rows
        ]
        return PluginRecord(plugin=self.plugin, kind=self.kind, distribution=self.distribution, checks=checks)


def conformance_document(reports: Sequence[PluginReport]) -> Document:
    """What became of the plugins."""
    found = ConformanceRecord(plugins=[report.as_record() for report in reports])
    return Document(environment=describe_environment(), runs=[], conformance=found)


def run_checks(
    subject: Subject, checks: Sequence[Check[Subject]], told: Callable[[CheckResult], None] = lambda row: None
) -> list[CheckResult]:
    """The rows of ``checks``; after one without which nothing can be checked the remaining ones do not apply.

    Args:
        subject: what is checked.
        checks: in order.
        told: is called with each row as soon as it is there.
    """
    rows: list[CheckResult] = []
    obstacle = ""
    missing: set[str] = set()
    for check in checks:
        lacking = obstacle or next((need for need in check.needs if need in missing), "")
        if lacking:
            row = CheckResult(check.name, "not applicable", f"not without {lacking}")
        else:
            row, fatal = _run(subject, check)
            obstacle = check.name if fatal else ""
        if row.status != "passed":
            missing.add(row.name)
        rows.append(row)
        told(row)
    return rows


def raised(error: BaseException) -> str:
    """The class of an exception and what it says, in one line of bounded length."""
    return f"{type(error).__name__}: {shorten(one_line(error), _LONGEST, placeholder=' ...')}"


def _run(subject: Subject, check: Check[Subject]) -> tuple[CheckResult, bool]:
    try:
        seen = check.run(subject)
    except CheckNotApplicable as reason:
        return CheckResult(check.name, "not applicable", str(reason)), reason.fatal
    except CheckFailed as failure:
        return CheckResult(check.name, "failed", str(failure)), failure.fatal
    except NgbenchError as error:
        return CheckResult(check.name, "failed", f"{one_line(error)}; it must {check.requirement}"), False
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a plugin raises is what the row has to say
        what = f"it raised {raised(error)}; it must {check.requirement}"
        return CheckResult(check.name, "failed", what), False
    return CheckResult(check.name, "passed", seen.message, seen.values), False
