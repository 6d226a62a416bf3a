"""What ``check`` does once its options are parsed: read, compare, report, and write the baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ngbench.cli.check_settings import project_thresholds
from ngbench.cli.reporting import console_for_results, do_each, say_error
from ngbench.disk import files
from ngbench.disk.files import STANDARD_OUTPUT, check_destination, write_text
from ngbench.errors import NotComparableError, ParameterError, RecordError
from ngbench.escaping import terminal
from ngbench.records.documents import dump
from ngbench.records.gate import Report, check
from ngbench.records.record import Document
from ngbench.records.sources import load_records
from ngbench.records.thresholds import DEFAULT_THRESHOLDS, Threshold, parse_seconds, parse_threshold
from ngbench.report.check_exports import format_annotations, format_report_json
from ngbench.report.check_tables import format_report_markdown, print_report
from ngbench.streams import write_commands

__all__ = ["GateRequest", "run_gate"]


@dataclass(frozen=True)
class GateRequest:
    """The options of ``ngbench check``; see its help."""

    current: Path
    baseline: Path
    fail_if: Sequence[str]
    absolute_floor: str
    fail_on_inconclusive: bool
    reference: str | None
    arms: Sequence[str]
    target_loss: float | None
    allow_missing_baseline: bool
    update_baseline: bool
    accept: bool
    markdown: str | None
    json: str | None
    github: bool

    @property
    def exports(self) -> list[str]:
        """Where exports go."""
        return [name for name in (self.markdown, self.json) if name is not None]


def run_gate(request: GateRequest) -> None:
    """Compare, report, and write what is asked for.

    Raises:
        RegressionError: something is worse.
        NotComparableError: something cannot be compared.
        UsageError: whatever else the user can put right.
    """
    console = console_for_results(on_stderr=STANDARD_OUTPUT in request.exports)
    _check_outputs(request)
    thresholds, asked_for, origin = _thresholds(request)
    floor = parse_seconds("absolute-floor", request.absolute_floor)
    current = load_records(request.current)
    if current is None:
        raise RecordError(f"the directory {str(request.current)!r} holds no records")
    baseline = _baseline(request)
    if baseline is None:
        report = Report([], notes=[f"There is no baseline at {str(request.baseline)!r}: nothing was compared."])
    else:
        report = check(
            current,
            baseline,
            thresholds,
            floor=floor,
            labels=request.arms,
            reference=request.reference,
            target_loss=request.target_loss,
            asked_for=asked_for,
            fail_on_inconclusive=request.fail_on_inconclusive,
        )
    said: list[Callable[[], object]] = [
        partial(_say, console, f"{request.current} against {request.baseline}, thresholds {origin}"),
        partial(print_report, report, console=console),
    ]
    if request.github:
        said.append(partial(_annotate, report, console))
    written = _exports(request, report)
    if request.update_baseline and (report.error is None or request.accept):
        written.append(partial(_update_baseline, request, current, console))
    elif request.update_baseline:
        refusal = "The baseline was not updated, because the check failed; --accept updates it all the same."
        said.append(partial(_say, console, refusal))
    try:
        do_each(*written, *said)
    except Exception as error:
        if report.error is None:
            raise
        # The verdict stands, whatever could not be written or printed.
        say_error(error)
    if report.error is not None:
        raise report.error


def _check_outputs(request: GateRequest) -> None:
    """Refuse, before anything is compared, what could not be written in the end."""
    if request.exports.count(STANDARD_OUTPUT) > 1:
        raise ParameterError("only one export can go to stdout: give the other a file instead of '-'")
    for name in request.exports:
        check_destination(name)
    if request.accept and not request.update_baseline:
        raise ParameterError("--accept needs --update-baseline")
    if request.update_baseline:
        if files.is_directory(request.baseline):
            raise ParameterError(
                f"--update-baseline writes one file, and the baseline {str(request.baseline)!r} is a directory; "
                "name a file"
            )
        check_destination(request.baseline)


def _thresholds(request: GateRequest) -> tuple[list[Threshold], bool, str]:
    """The thresholds, whether the user named them, and where they come from."""
    if request.fail_if:
        return [parse_threshold(text) for text in request.fail_if], True, "of --fail-if"
    found = project_thresholds(Path.cwd())
    if found is not None:
        path, texts = found
        return [parse_threshold(text) for text in texts], True, f"of {path}"
    return [parse_threshold(text) for text in DEFAULT_THRESHOLDS], False, "by default"


def _baseline(request: GateRequest) -> Document | None:
    """The baseline; ``None`` if there is none and there need not be one."""
    path = request.baseline
    if not files.exists(path):
        if request.allow_missing_baseline:
            return None
        raise NotComparableError(
            f"there is no baseline at {str(path)!r}; --allow-missing-baseline --update-baseline makes the first one"
        )
    baseline = load_records(path)
    if baseline is None:
        raise NotComparableError(f"the baseline {str(path)!r} is an empty directory: it holds no records")
    return baseline


def _exports(request: GateRequest, report: Report) -> list[Callable[[], object]]:
    steps: list[Callable[[], object]] = []
    if (markdown := request.markdown) is not None:
        steps.append(lambda: write_text(format_report_markdown(report), markdown))
    if (json := request.json) is not None:
        steps.append(lambda: write_text(format_report_json(report), json))
    return steps


def _update_baseline(request: GateRequest, current: Document, console: Console) -> None:
    write_text(dump(current), request.baseline)
    _say(console, f"The baseline {str(request.baseline)!r} is now {str(request.current)!r}.")


def _annotate(report: Report, console: Console) -> None:
    # The log of a workflow holds both streams; the one without an export keeps the export clean.
    write_commands(format_annotations(report), console.file)


def _say(console: Console, text: str) -> None:
    console.print(Text(terminal(text)), soft_wrap=True)
