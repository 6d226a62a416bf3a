"""The options that ``train`` and ``compare`` share, and what they mean together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ngbench.arms import parse_settings
from ngbench.disk.files import given_destination, given_path
from ngbench.errors import ParameterError
from ngbench.running.limits import LIMITS, LONGEST

__all__ = ["parse_duration", "task_settings"]

_BUDGET = "Budget"
_MACHINE = "Machine"
_RESULTS = "Results"

TaskName = Annotated[str, typer.Argument(metavar="TASK", help="Name of a task (see ngbench list tasks).")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one of the task's own options (repeatable)."),
]
Hyperparameters = Annotated[
    Path | None,
    typer.Option(
        "--hyperparameters",
        parser=given_path,
        metavar="FILE",
        help="Hyper-parameters of the optimizers, as ngbench tune writes them; those given with -o win.",
        show_default="those published for the task",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        parser=LIMITS["batch-size"].convert,
        help="Examples in a step.",
        show_default="the task's",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", metavar="N", parser=LIMITS["seed"].convert, help="Seed of initial weights, data order and sampling."
    ),
]
Seeds = Annotated[
    int,
    typer.Option(
        "--seeds",
        parser=LIMITS["seeds"].convert,
        metavar="N",
        help="Repeat with this many seeds, counted up from --seed.",
    ),
]

Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        metavar="N",
        parser=LIMITS["epochs"].convert,
        help="Passes over the training data.",
        show_default="the task's, without any other limit",
        rich_help_panel=_BUDGET,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option("--steps", metavar="N", parser=LIMITS["steps"].convert, help="Updates.", rich_help_panel=_BUDGET),
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        "--time-limit",
        metavar="DURATION",
        help="Training time of each run, such as 90s, 10m or 1h30m; evaluation does not count.",
        rich_help_panel=_BUDGET,
    ),
]
TargetLoss = Annotated[
    float | None,
    typer.Option(
        "--target-loss",
        metavar="LOSS",
        parser=LIMITS["target-loss"].convert,
        help="Report when the training loss reaches this; runs go on after it.",
        rich_help_panel=_BUDGET,
    ),
]
EarlyStopping = Annotated[
    int | None,
    typer.Option(
        "--early-stopping",
        parser=LIMITS["early-stopping"].convert,
        metavar="PATIENCE",
        help="End a run after this many epochs without a new lowest training loss.",
        rich_help_panel=_BUDGET,
    ),
]

Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda|cuda:N",
        help="Where to compute; auto takes CUDA where there is one.",
        rich_help_panel=_MACHINE,
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="float32|float64|bfloat16",
        help="Type of weights, data and arithmetic.",
        rich_help_panel=_MACHINE,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        parser=LIMITS["threads"].convert,
        help="Threads on the CPU.",
        show_default="torch's",
        rich_help_panel=_MACHINE,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        parser=given_path,
        help="Where data sets live.",
        show_default="NGBENCH_DATA_DIR, else the user's cache",
        rich_help_panel=_MACHINE,
    ),
]

TurnSteps = Annotated[
    int | None,
    typer.Option(
        "--turn-steps",
        metavar="N",
        parser=LIMITS["turn-steps"].convert,
        help="Steps, at most, that an arm takes before the next one's turn; results do not depend on it.",
        show_default="for 24 turns or more",
        rich_help_panel=_MACHINE,
    ),
]

Diagnostics = Annotated[
    bool,
    typer.Option(
        "--diagnostics",
        help="Measure steps beside the run: energy gaps, angle and distance to the exact natural gradient (before batch"
        " norm in training mode: of the sum of all losses).",
        rich_help_panel=_RESULTS,
    ),
]
DiagnosticsInterval = Annotated[
    int,
    typer.Option(
        "--diagnostics-interval",
        metavar="N",
        parser=LIMITS["diagnostics-interval"].convert,
        help="Compare the first step and every so many with the exact one.",
        rich_help_panel=_RESULTS,
    ),
]
DiagnosticsDamping = Annotated[
    float,
    typer.Option(
        "--diagnostics-damping",
        metavar="NUMBER",
        parser=LIMITS["diagnostics-damping"].convert,
        help="Damping of the exact step.",
        rich_help_panel=_RESULTS,
    ),
]

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        parser=given_path,
        metavar="DIR",
        help="Keep a record and a checkpoint of each run here, written as it goes.",
        rich_help_panel=_RESULTS,
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with what the output directory holds.", rich_help_panel=_RESULTS),
]
ExportJson = Annotated[
    str | None,
    typer.Option(
        "--export-json",
        parser=given_destination,
        metavar="FILE",
        help="Write the records; - is stdout.",
        rich_help_panel=_RESULTS,
    ),
]
ExportCsv = Annotated[
    str | None,
    typer.Option(
        "--export-csv",
        parser=given_destination,
        metavar="FILE",
        help="Write one row for each run and epoch; - is stdout.",
        rich_help_panel=_RESULTS,
    ),
]
ExportMarkdown = Annotated[
    str | None,
    typer.Option(
        "--export-markdown",
        parser=given_destination,
        metavar="FILE",
        help="Write the tables; - is stdout.",
        rich_help_panel=_RESULTS,
    ),
]
Figures = Annotated[
    Path | None,
    typer.Option(
        "--figures",
        parser=given_path,
        metavar="DIR",
        help="Draw loss against epoch and against time, as PNG files.",
        rich_help_panel=_RESULTS,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress; results and errors only.", rich_help_panel=_RESULTS),
]


def task_settings(settings: list[str] | None) -> dict[str, str]:
    """The mapping that the values of ``--set`` describe."""
    return parse_settings(settings or [])


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", re.ASCII)


def parse_duration(text: str | None) -> float | None:
    """Seconds meant by ``10m``, ``1h30m``, ``90s`` or ``90``.

    Raises:
        ParameterError: the text is no duration longer than zero.
    """
    if text is None:
        return None
    match = _DURATION.fullmatch(text.strip().replace(" ", ""))
    parts = match.groups() if match else ()
    seconds = sum(float(part) * unit for part, unit in zip(parts, _UNITS.values(), strict=False) if part)
    if not 0 < seconds <= LONGEST:
        raise ParameterError(
            f"time-limit={text} is not allowed, it must be a duration longer than 0 such as 90s, 10m or 1h30m, "
            f"and at most {LONGEST:g} s"
        )
    return seconds
