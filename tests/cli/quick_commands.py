"""All commands with all that they can write, cheaply: in this process, on the smallest inputs, with empty figures.

What was run once is run again in no time by adding ``--resume``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest

from ngbench.cli import reproduce
from ngbench.experiments import runs
from ngbench.experiments.conformance import optimizers
from ngbench.experiments.doctor import examination
from ngbench.experiments.doctor.findings import finding
from ngbench.experiments.search import results
from ngbench.records import documents
from ngbench.records.documents import dump
from ngbench.records.experiments import FindingState
from ngbench.report.exports import destinations
from ngbench.report.exports import gate as gate_exports
from ngbench.report.renderers import figures, markdown, study_figure, terminal
from tests.cli.test_check_plugin import CHECKS
from tests.cli.test_reproduce import MINE
from tests.records.gate_documents import build_comparison

Run = Callable[..., Any]
HOSTILE = "[/]é∞"


@dataclass(frozen=True)
class Command:
    """A command line that writes all that it can, where its steps are named, and the file that each makes."""

    line: str
    module: ModuleType | tuple[ModuleType, ...]
    steps: dict[str, str | None]
    code: int = 0
    resumes: bool = False

    def owner(self, step: str) -> ModuleType:
        """Where the function is that takes the step."""
        modules = self.module if isinstance(self.module, tuple) else (self.module,)
        return next(module for module in modules if hasattr(module, step))

    @property
    def again(self) -> str:
        """The line for what was run before."""
        return f"{self.line} --resume" if self.resumes else self.line


def exports(extra: str = "") -> str:
    return f"--export-json a.json --export-csv a.csv --export-markdown a.md --quiet {extra}"


VIEWED = (destinations, markdown, figures, terminal)
"""Where all that is made of a document is written or shown."""
WRITTEN = {"dump": "a.json", "format_csv": "a.csv", "render": "a.md", "show": None}
DRAWN = {**WRITTEN, "draw": "figures/draw"}
COMMANDS = {
    "train": Command(
        f"train pond -o {HOSTILE}@sgd --steps 2 --threads 1 --output out {exports('--figures figures')}",
        VIEWED,
        DRAWN,
        resumes=True,
    ),
    "compare": Command(
        f"compare pond -o {HOSTILE}@sgd,[red]x[/red]@adam --steps 2 --threads 1 --output out "
        f"{exports('--figures figures')}",
        VIEWED,
        DRAWN,
        resumes=True,
    ),
    "gan": Command(
        f"gan rows -p {HOSTILE}@sgd+sgd --epochs 1 --fid-samples 10 --threads 1 --output out "
        f"{exports('--figures figures')}",
        VIEWED,
        DRAWN,
        resumes=True,
    ),
    "tune": Command(
        f"tune pond -o {HOSTILE}@sgd --search lr=0.01,0.1 --epochs 1 --threads 1 --output out --quiet "
        "--export-json a.json --export-markdown a.md",
        (*VIEWED, results),
        {"dump": "a.json", "render": "a.md", "write_best": "out/hyperparameters.yaml", "show": None},
    ),
    "fisher-error": Command(
        f"fisher-error pond -a {HOSTILE}@kfac --layer 1 --steps 1 --threads 1 --no-output "
        f"{exports('--figures figures')}",
        VIEWED,
        DRAWN,
    ),
    "reproduce": Command(
        "reproduce mine.yaml other.yaml --scale smoke --seeds 1 --device cpu --threads 1 --quiet --output out "
        "--export-json a.json --export-markdown a.md",
        (*VIEWED, study_figure, reproduce),
        {
            "draw_study": None,
            "_print": None,
            "_summary": None,
            "dump": "a.json",
            "render": "a.md",
            "show": None,
        },
        resumes=True,
    ),
    "check": Command(
        "check x.json --baseline y.json --update-baseline --json a.json --markdown a.md",
        (*VIEWED[1:], documents),
        {"dump": "a.json", "render": "a.md", "show": None},
    ),
    "check of what is worse": Command(
        "check worse.json --baseline x.json --fail-if step_time.ratio:5% --json a.json --markdown a.md --github",
        (*VIEWED[1:], documents, gate_exports),
        {"dump": "a.json", "render": "a.md", "show": None, "format_annotations": None},
        code=3,
    ),
    "doctor": Command("doctor --export-json a.json", (documents, terminal), {"dump": "a.json", "show": None}),
    "check-plugin": Command(
        "check-plugin sgd --optimizer --export-json a.json",
        (documents, terminal),
        {"dump": "a.json", "show": None},
        code=1,
    ),
}


@pytest.fixture
def quick(tune: Run, arcade: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The command line, in this process alone, with little to do and figures that are drawn at once."""
    monkeypatch.setenv("NGBENCH_DATA_DIR", str(tmp_path / "data"))

    workers_for = runs.workers_for

    def touch(name: str) -> Callable[..., None]:
        def draw(*given: Any, **options: Any) -> None:
            (path,) = [one for one in given if isinstance(one, Path)][:1]
            path = path if path.suffix else path / name
            path.parent.mkdir(exist_ok=True)
            path.touch()

        return draw

    monkeypatch.setattr(runs, "workers_for", lambda plan, **_: workers_for(plan, own_processes=False, fresh=False))
    monkeypatch.setattr(optimizers, "OPTIMIZER_CHECKS", CHECKS)
    fine = finding("timer", FindingState.GOOD, "fine", "nothing to do")
    monkeypatch.setattr(examination, "_examine_machine", lambda request: [fine])
    for module, name in (
        (figures, "draw"),
        (study_figure, "draw_study"),
    ):
        monkeypatch.setattr(module, name, touch(name))
    for name in ("mine", "other"):
        Path(f"{name}.yaml").write_text(dedent(MINE).replace("study: mine", f"study: {name}"))
    for name in ("x", "y"):
        Path(f"{name}.json").write_text(dump(build_comparison()))
    Path("worse.json").write_text(dump(build_comparison(mood=1, slower={"precondition": 1.4})))
    return tune
