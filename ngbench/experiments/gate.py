"""The gate: whether runs are worse than a baseline, by the thresholds that the user or the project gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ngbench.disk import files
from ngbench.disk.files import check_destination, write_text
from ngbench.errors import NotComparableError, ParameterError, RecordError
from ngbench.experiments.gate_rules import DEFAULT_THRESHOLDS, GateRules
from ngbench.experiments.project import project_thresholds
from ngbench.records.documents import dump
from ngbench.records.environment import describe_environment
from ngbench.records.experiments import GateRecord
from ngbench.records.gate import check
from ngbench.records.record import Document
from ngbench.records.sources import load_records
from ngbench.records.thresholds import (
    Threshold,
    parse_seconds,
    parse_threshold,
)
from ngbench.spelling import are_options, argument, spelled

__all__ = ["Gate", "GateRequest", "check_baseline_destination", "gate_document", "run_gate", "thresholds_for"]


@dataclass(frozen=True)
class GateRequest:
    """What to compare, and by which rules.

    Attributes:
        current: is judged: records, or the file or directory that holds them.
        baseline: what it is compared with, likewise.
        fail_if: thresholds as text; those of the project, else the usual ones, if there are none.
        arms: only these; all if there are none.
        rules: how is compared.
    """

    current: Document | Path
    baseline: Document | Path
    fail_if: Sequence[str] = field(default_factory=tuple)
    arms: Sequence[str] = field(default_factory=tuple)
    rules: GateRules = field(default_factory=GateRules)


@dataclass(frozen=True)
class Gate:
    """What came of it.

    Attributes:
        report: the comparisons.
        current: the records that were judged.
        origin: where the thresholds come from, in words.
    """

    report: GateRecord
    current: Document
    origin: str

    def write_baseline(self, path: Path) -> None:
        """Make the records that were judged the baseline.

        Raises:
            OutputError: it cannot be written.
        """
        write_text(dump(self.current), path)


def gate_document(report: GateRecord) -> Document:
    """The report as a document."""
    return Document(environment=describe_environment(with_torch=False), runs=[], gate=report)


def run_gate(request: GateRequest) -> Gate:
    """Compare; that something is worse, or cannot be compared, is in the report.

    Raises:
        NotComparableError: there is no baseline, or nothing in it.
        UsageError: whatever else the user can put right.
    """
    rules = request.rules
    thresholds, asked_for, origin = thresholds_for(request.fail_if)
    floor = parse_seconds(spelled("absolute_floor"), rules.absolute_floor)
    current = request.current if isinstance(request.current, Document) else load_records(request.current)
    if current is None:
        raise RecordError(f"the directory {str(request.current)!r} holds no records")
    baseline = _baseline(request)
    if baseline is None:
        note = f"There is no baseline at {str(request.baseline)!r}: nothing was compared."
        return Gate(GateRecord(comparisons=[], notes=[note]), current, origin)
    report = check(
        current,
        baseline,
        thresholds,
        floor=floor,
        labels=request.arms,
        reference=rules.reference,
        target_loss=rules.target_loss,
        asked_for=asked_for,
        fail_on_inconclusive=rules.inconclusive == "fail",
        across_machines=rules.across_machines,
    )
    return Gate(report, current, origin)


def check_baseline_destination(path: Path) -> None:
    """Refuse, before anything is compared, a baseline that could not be written in the end.

    Raises:
        ParameterError: it is a directory.
        OutputError: it cannot be written.
    """
    if files.is_directory(path):
        raise ParameterError(
            f"{argument('update_baseline')} writes one file, and the baseline {str(path)!r} is a directory; name a file"
        )
    check_destination(path)


def thresholds_for(
    fail_if: Sequence[str], usual: Sequence[str] = DEFAULT_THRESHOLDS
) -> tuple[list[Threshold], bool, str]:
    """The thresholds, whether the user named them, and where they come from.

    Raises:
        UsageError: one of them is none.
    """
    if fail_if:
        return [parse_threshold(text) for text in fail_if], True, f"of {argument('fail_if')}"
    found = project_thresholds(Path.cwd())
    if found is not None:
        path, texts = found
        return [parse_threshold(text) for text in texts], True, f"of {path}"
    return [parse_threshold(text) for text in usual], False, "by default"


def _baseline(request: GateRequest) -> Document | None:
    """The baseline; ``None`` if there is none and there need not be one."""
    path = request.baseline
    if isinstance(path, Document):
        return path
    if not files.exists(path):
        if request.rules.allow_missing_baseline:
            return None
        raise NotComparableError(
            f"there is no baseline at {str(path)!r}; {argument('allow_missing_baseline')} passes without one"
            + (f", and makes the first one with {argument('update_baseline')}" if are_options() else "")
        )
    baseline = load_records(path)
    if baseline is None:
        raise NotComparableError(f"the baseline {str(path)!r} is an empty directory: it holds no records")
    return baseline
