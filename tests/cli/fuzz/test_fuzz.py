"""Two thousand files with faults, through each command that reads one: a sentence and a documented exit code.

What is wrong follows from the number of the case alone, so that one that fails fails again. Commands run in this
process; studies and searches that a fault made larger are checked and not run.
"""

from __future__ import annotations

import gc
import json
import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from types import FrameType
from typing import Any

import pytest
import yaml

from ngbench.disk.archives import load_archive, save_archive
from ngbench.records.documents import load_document
from ngbench.records.environment import describe_environment
from ngbench.records.record import Document
from tests.cli.fuzz.contents import ALL_METRICS, comparison, players
from tests.cli.fuzz.mutation import mutate_bytes, mutate_value
from tests.cli.test_reproduce import MINE
from tests.report.conftest import build_png

Run = Callable[..., Any]
SECONDS = 10
PATIENCE = 6 * SECONDS
START = "2026-01-01T00:00:00.000000+00:00"


class _TooLong(BaseException):
    """A command that takes longer than any of these files is worth."""


@pytest.fixture
def outcome_of(ngbench: Run) -> Iterator[Run]:
    """Runs a command, and sees to it that it ends in time, in a documented way."""
    late = []

    def stop(number: int, frame: FrameType | None) -> None:
        late.append(number)
        raise _TooLong

    before = {number: signal.signal(number, stop) for number in (signal.SIGPROF, signal.SIGALRM)}

    def run(line: str, case: str, allowed: tuple[int, ...]) -> int:
        # Time of the processor, because others may be at work on this machine; what waits uses none. Again and again,
        # since what is stopped may wait for what hangs.
        signal.setitimer(signal.ITIMER_PROF, SECONDS, 1)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE, 1)
        try:
            done = ngbench(line)
        except _TooLong:
            pass
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
        # Also where the command has made an error of it.
        assert not late, f"{case}: {line} took more than {SECONDS} s of the processor, or {PATIENCE} s of the clock"
        if case == "good":
            # A run that is measured starts with a collection, which would look through all that is imported by now.
            gc.freeze()
        said = f"{case}: {line}\nexit code {done.code}\n{done.out[-2000:]}\n{done.err[-2000:]}"
        assert done.code in allowed, said
        assert "Traceback" not in done.out + done.err, said
        assert not re.search(r"\bunexpected\b", done.out + done.err), said
        assert not re.search(r"(?m)^\s*::|##\[", re.sub(r"(?m)^::(error|warning) title=ngbench", "", done.out)), said
        assert done.code == 0 or done.err.strip() or done.out.strip(), said
        assert max(map(len, done.err.splitlines()), default=0) < 10_000, said
        return int(done.code)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


def cases(kind: str, count: int) -> Iterator[tuple[str, random.Random]]:
    for number in range(count):
        yield f"{kind} {number}", random.Random(f"{kind} {number}")


def with_faults(content: Any, chance: random.Random, write: Callable[[Any], str] = json.dumps) -> bytes:
    """The text of the content with something wrong, in three of four cases a value, else a byte."""
    if chance.random() < 0.25:
        return mutate_bytes(write(content).encode(), chance)
    changed = mutate_value(content, chance, most=chance.choice((1, 1, 3)))
    return write(changed).encode("utf-8", "surrogatepass")


def prepare_records(*seeds: int) -> list[dict[str, Any]]:
    Path("a.png").write_bytes(build_png())
    contents = [comparison(*seeds), players(*seeds)]
    for at, content in enumerate(contents):
        Path(f"good{at}.json").write_text(json.dumps(content))
    return contents


def test_records_through_report(outcome_of: Run) -> None:
    contents = prepare_records(0)
    assert outcome_of("report good0.json good1.json --output page.html", "good", (0,)) == 0
    for case, chance in cases("report", 420):
        at = chance.randrange(2)
        Path("bad.json").write_bytes(with_faults(contents[at], chance))
        # Figures take a hundred times as long as all the rest.
        page = "page.md" if chance.random() < 0.02 else "page.html"
        outcome_of(f"report bad.json --output {page}", case, (0, 2))


def test_records_through_check(outcome_of: Run) -> None:
    contents = prepare_records(0, 1)
    metrics = " ".join(f"--fail-if {metric}" for metric in ALL_METRICS)
    exports = "--markdown check.md --json check.json --github"
    assert outcome_of(f"check good0.json --baseline good0.json {metrics}", "good", (0, 3, 4)) == 0
    for case, chance in cases("check", 420):
        at = chance.randrange(2)
        Path("bad.json").write_bytes(with_faults(contents[at], chance))
        files = [f"good{at}.json", "bad.json"]
        chance.shuffle(files)
        line = f"check {files[0]} --baseline {files[1]} {exports}"
        outcome_of(line if chance.random() < 0.5 else f"{line} {metrics}", case, (0, 2, 3, 4))


def test_records_through_export(outcome_of: Run) -> None:
    contents = prepare_records(0)
    assert outcome_of("export good0.json --pytest-benchmark out.json", "good", (0,)) == 0
    for case, chance in cases("export", 360):
        Path("bad.json").write_bytes(with_faults(contents[chance.randrange(2)], chance))
        outcome_of("export bad.json --pytest-benchmark out.json", case, (0, 2))


LINE = "train pond -o adam --epochs 3 --threads 1 --quiet --output out"


def test_records_and_checkpoints_through_resume(outcome_of: Run) -> None:
    assert outcome_of(LINE.replace("--epochs 3", "--epochs 2"), "good", (0,)) == 0
    shutil.move("out", "good")
    record, checkpoint = (next(Path("good").glob(f"*.{end}")) for end in ("json", "pt"))
    content, state = json.loads(record.read_text()), load_archive(checkpoint)
    state["record"] = json.loads(state["record"])
    # So that there is something to go on with.
    for run in (content["runs"][0], state["record"]):
        run |= {"status": "running", "budget": run["budget"] | {"epochs": 3}}
    record.write_text(json.dumps(content))
    save_archive({**state, "record": json.dumps(state["record"])}, checkpoint)
    shutil.copytree("good", "out")
    assert outcome_of(f"{LINE} --resume", "good", (0,)) == 0
    assert json.loads((Path("out") / record.name).read_text())["runs"][0]["history"]["epoch"] == [1, 2, 3]
    for case, chance in cases("resume", 300):
        shutil.rmtree("out", ignore_errors=True)
        shutil.copytree("good", "out")
        what = chance.random()
        if what < 0.4:
            (Path("out") / record.name).write_bytes(with_faults(content, chance))
        elif what < 0.6:
            (Path("out") / checkpoint.name).write_bytes(mutate_bytes(checkpoint.read_bytes(), chance))
        else:
            changed = mutate_value(state, chance, most=chance.choice((1, 1, 3)))
            if isinstance(changed, dict) and isinstance(changed.get("record"), dict):
                changed["record"] = json.dumps(changed["record"])
            save_archive(changed, Path("out") / checkpoint.name)
        if outcome_of(f"{LINE} --resume", case, (0, 1, 2)) != 2:
            # What was made of it can be read.
            load_document(Path("out") / record.name)


def test_studies_through_reproduce(outcome_of: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from ngbench.experiments.studies import reproduction

    ran = []

    def judged(study: Any, scale: Any, output: Path, *_: Any) -> Any:
        ran.append(study.study)
        return reproduction.StudyOutcome(study, scale, output / study.study)

    monkeypatch.setattr(reproduction, "run_study", judged)
    content = yaml.safe_load(dedent(MINE))
    for case, chance in cases("reproduce", 220):
        Path("mine.yaml").write_bytes(with_faults(content, chance, _yaml))
        outcome_of("reproduce mine.yaml --scale smoke --device cpu --threads 1 --quiet --output out", case, (0, 2))
    assert ran


def _yaml(content: Any) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, default_flow_style=None))


def test_settings_through_train_and_tune(outcome_of: Run, tune: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from ngbench.experiments import comparison
    from ngbench.experiments.runs import Ran
    from ngbench.experiments.search.crew import Crew

    assert outcome_of("tune pond -o sgd --search lr=0.01,0.1 --epochs 1 --threads 1 --output found", "good", (0,)) == 0
    settings = yaml.safe_load(Path("found/hyperparameters.yaml").read_text())
    space = {"arms": {"sgd": {"lr": {"low": 0.01, "high": 0.1, "log": True}, "momentum": [0, 0.9]}}}
    Path("space.yaml").write_text(_yaml(space))
    line = "--epochs 1 --threads 1 --quiet"
    # What is asked for is read and planned: what a fault has made long is not run.
    nothing = Ran(Document(environment=describe_environment(), runs=[]))
    monkeypatch.setattr(comparison, "make_runs", lambda *_, **__: nothing)
    monkeypatch.setattr(Crew, "work", _nothing_searched)
    for case, chance in cases("settings", 160):
        if chance.random() < 0.5:
            Path("settings.yaml").write_bytes(with_faults(settings, chance, _yaml))
            outcome_of(f"train pond -o sgd --hyperparameters settings.yaml {line}", case, (0, 2))
        else:
            Path("space.yaml").write_bytes(with_faults(space, chance, _yaml))
            outcome_of(f"tune pond -o sgd --space space.yaml --trials 2 {line}", case, (0, 2))


def _nothing_searched(crew: Any, *_: Any) -> Any:
    from ngbench.errors import ParameterError

    raise ParameterError("this search is well formed, and is not made here")


def test_journals_through_tune(outcome_of: Run, tune: Run) -> None:
    line = "tune pond -o sgd --search lr=0.01,0.1 --search momentum=0,0.9 --epochs 1 --threads 1 --quiet --output out"
    assert outcome_of(line, "good", (0,)) == 0
    shutil.move("out", "good")
    # A search that is over and one that was killed during its third trial.
    lines = [_of_the_dead(json.loads(part)) for part in (Path("good") / "trials.journal").read_text().splitlines()]
    begun = [at for at, entry in enumerate(lines) if "distributions" in entry]
    for case, chance in cases("tune", 120):
        shutil.rmtree("out", ignore_errors=True)
        shutil.copytree("good", "out")
        content = lines[: begun[2] + 1] if chance.random() < 0.3 else lines
        (Path("out") / "trials.journal").write_bytes(with_faults(content, chance, _journal))
        outcome_of(line, case, (0, 1, 2))


def _of_the_dead(value: Any) -> Any:
    """The line with its times long past, of a process that is gone: who lives is waited for, and rightly so."""
    if isinstance(value, dict):
        past = {"pid": 1, "started": 1e9, "last_sign": 1.7e9, "datetime_start": START, "datetime_complete": START}
        return {key: past[key] if key in past and value[key] else _of_the_dead(part) for key, part in value.items()}
    return value


def _journal(lines: Any) -> str:
    return "".join(f"{json.dumps(line)}\n" for line in (lines if isinstance(lines, list) else [lines]))
