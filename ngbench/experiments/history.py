"""Records of many days, and whether something drifts."""

from __future__ import annotations

from pathlib import Path

from ngbench.disk import files
from ngbench.errors import NotComparableError, RecordError
from ngbench.experiments.gate import Gate, GateRequest, thresholds_for
from ngbench.experiments.gate_rules import DRIFT_THRESHOLDS
from ngbench.records.drift import drift
from ngbench.records.record import Document
from ngbench.records.sources import load_records
from ngbench.records.thresholds import parse_seconds
from ngbench.spelling import spelled

__all__ = ["run_history"]


def run_history(request: GateRequest) -> Gate:
    """Compare with the course of the records in a directory, which is the request's baseline.

    Its entries are exported files and output directories, one for each time; the current records may be among them.

    Raises:
        NotComparableError: there is no earlier record.
        UsageError: whatever else the user can put right.
    """
    rules, directory = request.rules, request.baseline
    assert isinstance(directory, Path)
    # Those of a project say what may differ between two commits.
    thresholds, asked_for, origin = thresholds_for(request.fail_if or DRIFT_THRESHOLDS)
    origin = origin if request.fail_if else "by default"
    if not files.is_directory(directory):
        raise RecordError(f"the history {str(directory)!r} is no directory")
    current = request.current if isinstance(request.current, Document) else load_records(request.current)
    if current is None:
        raise RecordError(f"the directory {str(request.current)!r} holds no records")
    earlier = [found for path in _entries(directory, request.current) if (found := load_records(path)) is not None]
    if not earlier:
        raise NotComparableError(f"the history {str(directory)!r} holds no records but the current ones")
    report = drift(
        current,
        earlier,
        thresholds,
        floor=parse_seconds(spelled("absolute_floor"), rules.absolute_floor),
        labels=request.arms,
        reference=rules.reference,
        target_loss=rules.target_loss,
        asked_for=asked_for and bool(request.fail_if),
        fail_on_inconclusive=rules.inconclusive == "fail",
        across_machines=rules.across_machines,
    )
    return Gate(report, current, origin)


def _entries(directory: Path, current: Document | Path) -> list[Path]:
    own = None if isinstance(current, Document) else current.resolve()
    found = [path for path in files.entries(directory) if path.suffix == ".json" or files.is_directory(path)]
    return [path for path in found if not path.name.startswith(".") and path.resolve() != own]
