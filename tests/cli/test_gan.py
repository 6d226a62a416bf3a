"""``ngbench gan`` end to end, with a task and an optimizer of a third party."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ngbench import cli
from ngbench.disk.locks import LOCK_FILE, directory_taken

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ngbench(
    arcade: None,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Run:
    """Runs a command line in an empty directory: exit code, standard output, standard error."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NGBENCH_DATA_DIR", str(tmp_path / "data"))

    def run(line: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = cli.main(line.split())
        written = capfd.readouterr()
        return code, written.out, written.err

    return run


def runs_of(text: str) -> dict[str, dict[str, Any]]:
    return {run["label"]: run for run in json.loads(text)["runs"]}


def test_arms_play_side_by_side_and_a_diverging_one_ends_alone(ngbench: Run) -> None:
    code, out, err = ngbench(
        "gan rows -p signs+kfac,adam+signs:lr=0.002,wild@adam+sgd:lr=1e30 --fid-samples 30 --threads 1 "
        "--output out --figures figures --export-json - --export-csv all.csv --export-markdown all.md"
    )
    assert code == 1, err
    runs = runs_of(out)
    assert {label: run["status"] for label, run in runs.items()} == {
        "signs+kfac": "done",
        "adam+signs:lr=0.002": "done",
        "wild": "diverged",
    }
    assert "critic's loss became" in runs["wild"]["message"]
    first = runs["signs+kfac"]
    assert first["optimizer"]["name"] == "signs+kfac"
    assert first["optimizer"]["hyperparameters"]["generator.lr"] == 1e-3
    assert first["adversarial"]["players"]["critic"]["distribution"] == "ngbench"
    assert first["adversarial"]["players"]["generator"]["distribution"] == "dist-arcade"
    assert first["adversarial"]["fid"]["metric"] == "classifier_fid"
    assert first["history"]["step"] == [4, 8]
    assert all(score > 0 for score in first["history"]["metrics"]["classifier_fid"])
    # A third-party optimizer without phases of its own is timed as a whole, under its player's name.
    assert first["phases"]["generator/step"]["calls"] == 8
    assert first["phases"]["critic/precondition"]["calls"] == 16
    assert runs["adam+signs:lr=0.002"]["phases"]["critic/step"]["calls"] == 16
    grids = [sample["path"] for sample in first["samples"]]
    assert len(grids) == 2
    assert all(Path("out", path).is_file() for path in grids)
    assert Path("figures/classifier_fid_by_epoch.png").exists()
    assert Path("figures/losses_by_step.png").exists()
    assert "best\nclassifier-FID" in err or "classifier-FID" in err
    assert "### Scores and losses" in Path("all.md").read_text()
    assert "metric.classifier_fid" in Path("all.csv").read_text().splitlines()[0]


def test_all_settings_of_the_task_play_unless_told_otherwise(ngbench: Run) -> None:
    code, out, _ = ngbench("gan rows --epochs 1 --fid-samples 20 --threads 1 --export-json -")
    assert code == 0
    runs = runs_of(out)
    assert {label: run["optimizer"]["name"] for label, run in runs.items()} == {
        "sgda": "sgd+sgd",
        "adam": "adam+adam",
        "kfac1": "kfac+adam",
        "kfac2": "kfac+kfac",
        "kfac3": "adam+kfac",
    }
    assert {run["status"] for run in runs.values()} == {"done"}


def test_a_run_whose_process_was_killed_resumes_to_the_same_record(
    ngbench: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    monkeypatch.setenv("ARCADE_FLAG", str(flag))
    line = "gan rows -p kfac+mortal,adam --epochs 3 --fid-samples 20 --threads 1 --output out"
    code, out, _ = ngbench(f"{line} --export-json -")
    assert code == 1
    runs = runs_of(out)
    assert runs["adam"]["status"] == "done"
    # Two critic steps in each of an epoch's four iterations: the tenth lies in the second epoch.
    assert (runs["kfac+mortal"]["status"], runs["kfac+mortal"]["history"]["epoch"]) == ("killed", [1])
    code, out, _ = ngbench(f"{line} --resume --export-json -")
    assert code == 0
    assert ngbench("report out --output page.html")[0] == 0
    assert Path("page.html").read_text().count("data:image/png;base64,") == 6
    resumed = runs_of(out)["kfac+mortal"]
    code, out, _ = ngbench(f"{line.replace('--output out', '--output whole')} --export-json -")
    whole = runs_of(out)["kfac+mortal"]
    for part in ("epoch", "step", "train_loss", "metrics"):
        assert resumed["history"][part] == whole["history"][part]
    assert resumed["adversarial"] == whole["adversarial"]
    assert resumed["samples"] == whole["samples"]
    for sample in whole["samples"]:
        assert Path("out", sample["path"]).read_bytes() == Path("whole", sample["path"]).read_bytes()


def test_a_second_process_keeps_out_of_the_output_directory(ngbench: Run) -> None:
    out = Path("out")
    out.mkdir()
    with directory_taken(out):
        for resume in ("", " --resume"):
            code, _, err = ngbench(f"gan rows -p adam --epochs 1 --fid-samples 20 --quiet --output out{resume}")
            assert code == 2
            assert "another process is writing into the output directory 'out'" in err
        assert [path.name for path in out.iterdir()] == [LOCK_FILE]


def test_another_penalty_is_another_run(ngbench: Run) -> None:
    line = "gan rows -p adam --epochs 1 --fid-samples 20 --output out"
    assert ngbench(line)[0] == 0
    code, _, err = ngbench(f"{line} --penalty 1 --resume")
    assert code == 2
    assert "adversarial.penalty is 10.0 there and 1.0 here" in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gan rows -p kfac4", "unknown setting of the players 'kfac4'; did you mean"),
        ("gan rows -p adam+nothing", "unknown optimizer 'nothing'"),
        ("gan rows -p adam+sgd:speed=1", "unknown parameter 'speed'"),
        ("gan rows -p kfac3:damping=1", "it must be generator.damping or critic.damping"),
        ("gan rows -p adam+sgd:lr=-1", "lr=-1 is not allowed, it must be a number > 0"),
        ("gan rows -p adam,again@adam+adam", "identical"),
        ("gan rows -p adam --reference sgda", "unknown arm 'sgda'"),
        ("gan rows -p adam+torch.optim.LBFGS", "optimizer torch.optim.LBFGS of the critic evaluates or differentiates"),
        ("gan rows --batch-size 33", "batch-size=33 is not allowed, it must be at most 32"),
        ("gan rows --critic-steps 0", "critic-steps=0 is not allowed"),
        ("gan rows --penalty -1", "penalty=-1 is not allowed"),
        ("gan rows --fid-samples 1", "fid-samples=1 is not allowed"),
        ("gan rows --fid-features 100", "fid-features=100 is not allowed"),
        ("gan rows --fid-weights none.pth", "cannot read the weights 'none.pth'"),
        ("gan rows --set labelled=false", "give Inception's weights with --fid-weights"),
        ("gan curves-autoencoder", "trains one model, no generator and critic: use ngbench compare"),
        ("compare rows -o adam,sgd", "trains two players against each other: use ngbench gan rows"),
        ("train rows -o adam", "use ngbench gan rows"),
    ],
)
def test_bad_input_is_one_sentence(ngbench: Run, line: str, message: str) -> None:
    code, out, err = ngbench(line)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not out


def test_a_task_of_two_players_is_listed_in_full(ngbench: Run) -> None:
    code, out, _ = ngbench("list tasks gan-mnist")
    assert code == 0
    assert "steps of the critic: 5" in out
    assert "penalty: 10.0" in out
    assert "generator=adam, critic=kfac, critic.lr=0.01, critic.damping=1e-05" in out
    code, out, _ = ngbench("list optimizers kfac")
    assert code == 0
    assert "gan-mnist critic" in out
