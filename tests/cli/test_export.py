from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ngbench.report.exports import formats


@pytest.fixture
def runs(ngbench):
    """Two directories of records of one task, one of which holds a run that took no step."""
    for arm in ("sgd", "kfac:curvature_interval=2,inverse_interval=2"):
        name = arm.partition(":")[0]
        assert ngbench(f"train pond -o {name}@{arm} --epochs 2 --output {name} -q").code == 0
    (file,) = Path("sgd").glob("*.json")
    content = json.loads(file.read_text())
    (run,) = content["runs"]
    nothing = {"epoch": [], "step": [], "train_loss": [], "validation_loss": [], "elapsed_seconds": [], "metrics": {}}
    run |= {"label": "late", "status": "failed", "history": nothing, "steps": {"seconds": [], "kind": []}, "phases": {}}
    Path("sgd", "late-seed0.json").write_text(json.dumps(content))
    return ngbench


def test_what_is_exported_is_what_pytest_benchmark_compares(runs):
    done = runs("export sgd kfac --pytest-benchmark now.json")
    assert (done.code, done.out) == (0, "")
    assert done.err == "Warning: late, seed 0, of pond depth=8 dry=False took no step and is left out.\n"
    exported = json.loads(Path("now.json").read_text())
    by_name = {benchmark["name"]: benchmark for benchmark in exported["benchmarks"]}
    assert by_name["step_time[kfac]"]["extra_info"]["ratio"]["value"] > 1
    Path("before.json").write_text(Path("now.json").read_text())
    compare = [sys.executable, "-m", "pytest_benchmark", "compare", "now.json", "before.json"]
    table = subprocess.run(compare, capture_output=True, text=True, check=True).stdout
    assert "benchmark 'pond depth=8 dry=False step_time': 4 tests" in table
    assert "benchmark 'pond depth=8 dry=False phase.refresh': 2 tests" in table
    assert "step_time[sgd] (now)" in table
    assert "Failed to load" not in table


def test_it_can_go_to_stdout_with_another_reference(runs):
    done = runs("export sgd kfac --pytest-benchmark - --reference kfac")
    assert done.code == 0
    by_name = {benchmark["name"]: benchmark for benchmark in json.loads(done.out)["benchmarks"]}
    assert by_name["step_time[sgd]"]["extra_info"]["ratio"]["value"] < 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("sgd nothing", "there is no record 'nothing'"),
        ("sgd --reference adam", "unknown reference arm 'adam' (known: late, sgd)"),
        ("sgd/late-seed0.json", "there is no step in the records of 'sgd/late-seed0.json'"),
    ],
)
def test_what_cannot_be_exported_is_named(runs, arguments, sentence):
    done = runs(f"export {arguments} --pytest-benchmark now.json")
    assert done.code == 2
    assert sentence in done.err
    assert not Path("now.json").exists()


def test_the_table_of_a_command_can_be_had_from_its_records(ngbench):
    line = "compare pond -o sgd,adam --steps 6 --seeds 2 --output out --export-csv made.csv --figures made/a.svg -q"
    assert ngbench(line).code == 0
    assert ngbench("export out --csv later.csv --json later.json").code == 0
    assert Path("later.csv").read_text() == Path("made.csv").read_text()
    assert len(json.loads(Path("later.json").read_text())) == Path("made.csv").read_text().count("\n") - 1
    done = ngbench("export out --table costs --csv -")
    assert (done.code, done.out.count("\n")) == (0, 3)
    done = ngbench("report out --figures later/a.svg")
    drawn = sorted(Path("made").iterdir())
    assert sorted(done.out.split()) == [f"later/{path.name}" for path in drawn]
    assert [(Path("later") / path.name).read_bytes() for path in drawn] == [path.read_bytes() for path in drawn]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "say what to write: --csv, --parquet, --json, --tensorboard or --pytest-benchmark"),
        ("--table trials --csv now.csv", "the records of 'sgd' hold nothing for trials"),
        ("--csv now.csv --parquet -", "--parquet - is not allowed"),
        ("--csv now.csv --parquet now.parquet", "--parquet needs pyarrow, which is not installed"),
        ("--csv now.csv --tensorboard events", "--tensorboard needs tensorboard, which is not installed"),
        ("--csv now.csv --json now.csv", "two exports go to"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is(runs, monkeypatch, arguments, sentence):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    done = runs(f"export sgd {arguments}")
    assert done.code == 2
    assert sentence in done.err
    assert not [*Path().glob("now.*"), *Path().glob("events")]


def test_events_go_into_no_directory_of_others(runs, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: True)
    done = runs("export sgd --tensorboard sgd")
    assert (done.code, "the directory 'sgd' is already used" in done.err) == (2, True)


def test_torch_is_not_loaded(runs):
    program = (
        "import sys; from ngbench.cli import main; "
        "code = main(['export', 'sgd', '--pytest-benchmark', 'now.json']); sys.exit(code or 'torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
