from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gate_documents import build_comparison, build_document, build_run

from ngbench import cli
from ngbench.records.documents import dump
from ngbench.records.record import Document, OptimizerRecord

Gate = Callable[..., tuple[int, str, str]]
SLOWER = {"precondition": 1.4}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory, with no project above it that has thresholds of its own."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("COLUMNS", "120")
    return here


@pytest.fixture
def gate(capsys: pytest.CaptureFixture[str]) -> Gate:
    """Writes documents to ``now.json`` and ``main.json``, runs ``ngbench check`` on them."""

    def run(
        now: Document | None, before: Document | None, *options: str, baseline: str = "main.json"
    ) -> tuple[int, str, str]:
        for document, path in ((now, "now.json"), (before, "main.json")):
            if document is not None:
                Path(path).write_text(dump(document))
        code = cli.main(["check", "now.json", "--baseline", baseline, *options])
        written = capsys.readouterr()
        return code, written.out, " ".join(written.err.split())

    return run


def write_directory(path: str, document: Document) -> None:
    Path(path).mkdir()
    for run in document.runs:
        Path(path, f"{run.label}-seed{run.seed}.json").write_text(dump(document.model_copy(update={"runs": [run]})))


def test_equal_runs_exit_with_0_and_are_shown(gate: Gate) -> None:
    code, shown, errors = gate(build_comparison(mood=1), build_comparison())
    assert (code, errors) == (0, "")
    assert "step_time.ratio" in shown
    assert "phase.*.flops (6)" in shown
    assert "No regression: 16 the same." in shown


def test_a_regression_exits_with_3_and_names_arm_and_phase(gate: Gate) -> None:
    code, shown, errors = gate(
        build_comparison(mood=1, slower=SLOWER), build_comparison(), "--fail-if", "step_time.ratio:5%"
    )
    assert code == 3
    assert "precondition changed most: +" in shown
    assert errors == "Error: worse: step_time.ratio of kfac"


def test_each_threshold_is_applied(gate: Gate) -> None:
    run = build_run("kfac", mood=1)
    hungry = run.model_copy(update={"memory": run.memory.model_copy(update={"peak_bytes": 500 * 2**20})})
    now = build_document(build_run("sgd", mood=1), hungry)
    code, _, errors = gate(now, build_comparison(), "--fail-if", "peak_memory:64MiB", "--fail-if", "training_loss:1%")
    assert (code, errors) == (3, "Error: worse: peak_memory of kfac")
    assert gate(now, build_comparison(), "--fail-if", "peak_memory:128MiB")[0] == 0


def test_a_vanished_arm_exits_with_4(gate: Gate) -> None:
    code, shown, errors = gate(build_document(build_run("sgd")), build_comparison())
    assert code == 4
    assert "Not comparable: kfac: the arm has vanished, the baseline has it" in shown
    assert errors == "Error: cannot be compared: kfac: the arm has vanished, the baseline has it"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"optimizer": OptimizerRecord(name="kfac", hyperparameters={"lr": 0.3})},
            "optimizer.hyperparameters.lr is 0.1",
        ),
        ({"device": "cuda"}, 'device is "cpu" in the baseline and "cuda" now'),
        ({"dtype": "float64"}, 'dtype is "float32" in the baseline and "float64" now'),
        ({"task": "mnist-autoencoder"}, 'task is "curves-autoencoder" in the baseline and "mnist-autoencoder" now'),
    ],
)
def test_runs_under_other_conditions_exit_with_4(gate: Gate, changes: dict[str, object], message: str) -> None:
    code, _, errors = gate(build_comparison(**changes), build_comparison())
    assert code == 4
    assert message in errors


def test_other_data_exit_with_4(gate: Gate) -> None:
    run = build_run("kfac")
    other = run.model_copy(update={"data": run.data.model_copy(update={"digest": "cd"})})
    code, _, errors = gate(build_document(build_run("sgd"), other), build_comparison())
    assert code == 4
    assert "data.digest" in errors


def test_another_machine_forbids_times(gate: Gate) -> None:
    now = build_document(*build_comparison(mood=1).runs, processor="EPYC")
    code, _, errors = gate(now, build_comparison(), "--fail-if", "step_time.ratio:10%")
    assert code == 4
    assert "the machine is Example CPU in the baseline and EPYC now" in errors
    assert gate(now, build_comparison(), "--fail-if", "step_time.ratio:10%", "--across-machines")[0] == 0
    assert gate(now, build_comparison(), "--fail-if", "phase.*.flops:0%")[0] == 0


def test_an_empty_baseline_exits_with_4(gate: Gate) -> None:
    code, _, errors = gate(build_comparison(), build_document())
    assert (code, errors) == (4, "Error: the baseline holds no runs, so there is nothing to compare with")
    Path("empty").mkdir()
    code, _, errors = gate(build_comparison(), None, "--allow-missing-baseline", baseline="empty")
    assert (code, errors) == (4, "Error: the baseline 'empty' is an empty directory: it holds no records")


def test_a_missing_baseline_exits_with_4_unless_it_is_allowed(gate: Gate) -> None:
    code, _, errors = gate(build_comparison(), None)
    assert code == 4
    assert "there is no baseline at 'main.json'; --allow-missing-baseline" in errors
    code, shown, errors = gate(build_comparison(), None, "--allow-missing-baseline")
    assert (code, errors) == (0, "")
    assert "There is no baseline at 'main.json': nothing was compared." in shown


@pytest.mark.parametrize("newer", ["now.json", "main.json"])
def test_a_newer_schema_exits_with_2(gate: Gate, newer: str) -> None:
    documents = {"now.json": build_comparison(), "main.json": build_comparison()}
    Path("now.json").write_text(dump(documents["now.json"]))
    Path("main.json").write_text(dump(documents["main.json"]))
    Path(newer).write_text(json.dumps({**json.loads(Path(newer).read_text()), "schema_version": 99}))
    code, _, errors = gate(None, None)
    assert code == 2
    assert f"'{newer}' has schema version 99" in errors


def test_a_loss_that_became_nan_exits_with_3(gate: Gate) -> None:
    code, shown, errors = gate(build_comparison(losses=[0.2] * 11 + [float("nan")]), build_comparison())
    assert (code, errors) == (3, "Error: worse: training_loss of kfac")
    assert "no number any more with seed 0" in shown


def test_a_run_that_diverged_exits_with_3(gate: Gate) -> None:
    code, shown, errors = gate(
        build_comparison(status="diverged", message="the training loss became nan in epoch 3"), build_comparison()
    )
    assert code == 3
    assert "status of kfac" in errors
    assert "diverged with seed 0: the training loss became nan in epoch 3" in shown


def test_a_loss_that_is_nan_on_both_sides_exits_with_4(gate: Gate) -> None:
    broken = build_comparison(losses=[0.2] * 11 + [float("nan")])
    code, _, errors = gate(broken, broken)
    assert code == 4
    assert "training_loss of kfac: it is no number in the baseline nor now" in errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fail-if", "speed:5%"], "unknown quantity 'speed'"),
        (["--fail-if", "peak_memory:5s"], "'5s' must be per cent or a number in B, kB"),
        (["--absolute-floor", "much"], "'much' must be"),
        (["--arm", "adam"], "unknown arm 'adam' (known: kfac, sgd)"),
        (["--reference", "adam"], "unknown reference arm 'adam'"),
        (["--inconclusive", "maybe"], "inconclusive=maybe is not allowed, it must be 'show' or 'fail'"),
        (["--markdown", "-", "--json", "-"], "only one export can go to stdout"),
        (["--json", "nowhere/x.json"], "there is no directory 'nowhere'"),
        (["--accept"], "--accept needs --update-baseline"),
    ],
)
def test_wrong_options_exit_with_2(gate: Gate, options: list[str], message: str) -> None:
    code, _, errors = gate(build_comparison(), build_comparison(), *options)
    assert code == 2
    assert message in errors


def test_records_that_are_not_there_exit_with_2(gate: Gate) -> None:
    assert gate(None, build_comparison())[0] == 2
    Path("now.json").mkdir()
    code, _, errors = gate(None, None)
    assert (code, errors) == (2, "Error: the directory 'now.json' holds no records")


def test_inconclusive_fails_on_request(gate: Gate) -> None:
    now, before = build_comparison(mood=1, noise=0.2), build_comparison(noise=0.2)
    code, shown, _ = gate(now, before, "--fail-if", "step_time.ratio:5%")
    assert code == 0
    assert "No regression: 1 inconclusive." in shown
    assert gate(now, before, "--fail-if", "step_time.ratio:5%", "--inconclusive", "fail")[0] == 3


def test_an_arm_can_be_chosen(gate: Gate) -> None:
    now = build_comparison(mood=1, slower=SLOWER)
    code, shown, _ = gate(now, build_comparison(), "--arm", "sgd", "--fail-if", "training_loss:1%")
    assert code == 0
    assert "kfac" not in shown


def test_the_floor_is_an_option(gate: Gate) -> None:
    now = build_comparison(mood=1, slower=SLOWER)
    assert gate(now, build_comparison(), "--fail-if", "step_time.ratio:5%", "--absolute-floor", "10ms")[0] == 0


def test_the_target_is_an_option(gate: Gate) -> None:
    late = build_comparison(mood=1, losses=[0.3] * 9 + [0.1] * 3)
    code, _, errors = gate(late, build_comparison(), "--fail-if", "epochs_to_target:10%", "--target-loss", "0.2")
    assert (code, errors) == (3, "Error: worse: epochs_to_target of kfac")


def test_output_directories_are_read(gate: Gate) -> None:
    write_directory("runs", build_comparison())
    Path("runs", "export.json").write_text(dump(build_comparison()))
    code, shown, _ = gate(build_comparison(mood=1), None, baseline="runs")
    assert code == 0
    assert "kfac" in shown


def test_thresholds_of_the_project_are_used_and_the_command_line_replaces_them(gate: Gate, directory: Path) -> None:
    (directory.parent / "pyproject.toml").write_text('[tool.ngbench.check]\nfail-if = ["step_time.ratio:5%"]\n')
    now = build_comparison(mood=1, slower=SLOWER)
    code, shown, _ = gate(now, build_comparison())
    assert code == 3
    assert "thresholds of" in shown
    assert "training_loss" not in shown
    assert gate(now, build_comparison(), "--fail-if", "training_loss:1%")[0] == 0
    assert "thresholds by default" in gate(now, build_comparison(), "--no-config")[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fail-if = [", "is not TOML"),
        ("[tool.ngbench.check]\nfail_if = []", "'fail_if'; did you mean 'fail-if'?"),
        ("[tool.ngbench.check]\nfail-if = 'training_loss:1%'", "fail-if must be a list of texts"),
        ("[tool.ngbench.check]\nfail-if = ['loss:1%']", "unknown quantity 'loss'"),
        ("[tool.ngbench]\ncheck = 1", "must be a table"),
    ],
)
def test_a_wrong_project_file_exits_with_2(gate: Gate, text: str, message: str) -> None:
    Path("pyproject.toml").write_text(text)
    code, _, errors = gate(build_comparison(), build_comparison())
    assert code == 2
    assert message in errors


def test_a_project_file_without_thresholds_leaves_the_defaults(gate: Gate) -> None:
    Path("pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert "thresholds by default" in gate(build_comparison(mood=1), build_comparison())[1]


def test_the_baseline_is_updated_only_if_the_check_passes(gate: Gate) -> None:
    before, now = build_comparison(), build_comparison(mood=1, slower=SLOWER)
    code, shown, _ = gate(now, before, "--update-baseline")
    assert code == 3
    assert "The baseline was not updated" in shown
    assert Path("main.json").read_text() == dump(before)
    code, shown, errors = gate(now, before, "--update-baseline", "--accept")
    assert (code, errors) == (0, "")
    assert "accepted" in shown
    assert "worse" in shown
    assert Path("main.json").read_text() == dump(now)
    assert gate(before, now, "--update-baseline", "--fail-if", "training_loss:1%")[0] == 0
    assert Path("main.json").read_text() == dump(before)
    assert sorted(path.name for path in Path().iterdir()) == ["main.json", "now.json"]


def test_the_first_baseline_is_made(gate: Gate) -> None:
    code, _, _ = gate(build_comparison(), None, "--allow-missing-baseline", "--update-baseline")
    assert code == 0
    assert gate(build_comparison(mood=1), None)[0] == 0


def test_a_baseline_that_is_a_directory_is_not_replaced(gate: Gate) -> None:
    write_directory("runs", build_comparison())
    code, _, errors = gate(build_comparison(), None, "--update-baseline", baseline="runs")
    assert code == 2
    assert "the baseline 'runs' is a directory; name a file" in errors
    assert sorted(path.name for path in Path("runs").iterdir()) == ["kfac-seed0.json", "sgd-seed0.json"]


def test_an_export_to_stdout_is_alone_there(gate: Gate) -> None:
    now = build_comparison(mood=1, slower=SLOWER)
    code, shown, errors = gate(now, build_comparison(), "--json", "-", "--github")
    assert code == 3
    content = json.loads(shown)
    assert content["gate"]["exit_code"] == 3
    assert "::error title=ngbench%3A step_time.ratio of kfac::worse" in errors


def test_annotations_and_files_are_written_beside_the_table(gate: Gate) -> None:
    now = build_comparison(mood=1, slower=SLOWER)
    code, shown, _ = gate(now, build_comparison(), "--github", "--markdown", "pr.md", "--json", "check.json")
    assert code == 3
    assert "\n::error title=" in shown
    assert Path("pr.md").read_text().startswith("### ngbench: Worse than the baseline")
    assert json.loads(Path("check.json").read_text())["gate"]["comparisons"]


@pytest.mark.parametrize("options", [[], ["--allow-missing-baseline", "--update-baseline", "--accept"]])
def test_an_error_of_ours_never_passes(gate: Gate, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ngbench.experiments.gate.check", break_down)
    before = build_comparison()
    assert gate(build_comparison(mood=1), before, *options)[0] == 70
    assert Path("main.json").read_text() == dump(before)


def test_torch_is_never_loaded(gate: Gate) -> None:
    gate(build_comparison(mood=1), build_comparison())
    program = (
        "import sys; from ngbench.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(9 if 'torch' in sys.modules else code)"
    )
    arguments = ["check", "now.json", "--baseline", "main.json", "--markdown", "pr.md"]
    assert subprocess.run([sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL).returncode == 0
