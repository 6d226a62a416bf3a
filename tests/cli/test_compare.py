from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ngbench.records.sources import load_records

Run = Callable[..., Any]
Read = Callable[[str | Path], dict[str, Any]]


def test_arms_take_turns_and_their_records_keep_their_order(ngbench: Run, read_runs: Read) -> None:
    done = ngbench(
        "compare pond -o sgd:lr=0.05,adam,still@sgd:lr=1e-30 --epochs 2 --seeds 2 --output out --export-json - "
        "--reference adam"
    )
    assert done.code == 0, done.err
    runs = read_runs(done.out)
    assert list(runs) == ["sgd:lr=0.05/0", "adam/0", "still/0", "sgd:lr=0.05/1", "adam/1", "still/1"]
    assert [run["position"] for run in runs.values()] == [0, 1, 2] * 2
    kept = load_records(Path("out"))
    assert kept is not None
    assert [run.label for run in kept.runs] == [name for name in ("sgd:lr=0.05", "adam", "still") for _ in range(2)]
    assert {run["status"] for run in runs.values()} == {"done"}
    lines = [line for line in done.err.splitlines() if ", seed 1 of 2: epoch " in line and ", step " not in line]
    assert [line.split(",")[0] for line in lines] == [
        "sgd:lr=0.05",
        "adam",
        "still",
        "adam",
        "still",
        "sgd:lr=0.05",
    ]
    assert "reference" in done.err
    assert sorted(path.suffix for path in Path("out").iterdir()) == [".json"] * 6 + [".pt"] * 6


def test_each_run_of_a_comparison_is_what_it_is_alone(ngbench: Run, read_runs: Read) -> None:
    together = read_runs(ngbench("compare pond -o sgd,adam --seeds 2 --export-json -").out)
    alone = read_runs(ngbench("train pond -o adam --seeds 2 --export-json -").out)
    for key in ("adam/0", "adam/1"):
        assert together[key]["history"]["train_loss"] == alone[key]["history"]["train_loss"]
        assert together[key]["history"]["validation_loss"] == alone[key]["history"]["validation_loss"]


def test_the_record_says_how_turns_were_cut_and_losses_do_not_depend_on_it(ngbench: Run, read_runs: Read) -> None:
    lines = ["compare pond -o sgd,adam --epochs 2 --export-json -" + more for more in (" --turn-steps 2", "")]
    cut, default = (read_runs(ngbench(line).out) for line in lines)
    for key in ("sgd/0", "adam/0"):
        steps = cut[key]["history"]["step"][-1]
        assert cut[key]["steps"]["turns"] == list(range(2, steps + 1, 2))
        assert default[key]["steps"]["turns"] != cut[key]["steps"]["turns"]
        assert default[key]["history"]["train_loss"] == cut[key]["history"]["train_loss"]


def test_turns_of_no_step_are_refused(ngbench: Run) -> None:
    done = ngbench("compare pond -o sgd,adam --turn-steps 0")
    assert done.code == 2
    assert "turn-steps=0 is not allowed" in done.err


def test_what_goes_wrong_in_an_arm_is_that_arms_alone(ngbench: Run, read_runs: Read) -> None:
    done = ngbench("compare pond -o fails,killed@dies,crashed@dies:number=11 -o sgd:lr=1e30 -o adam --export-json -")
    assert done.code == 1
    runs = read_runs(done.out)
    assert {key: (run["status"], run["history"]["epoch"]) for key, run in runs.items()} == {
        "fails/0": ("failed", [1]),
        "killed/0": ("killed", [1]),
        "crashed/0": ("failed", [1]),
        "sgd:lr=1e30/0": ("diverged", [1]),
        "adam/0": ("done", [1, 2]),
    }
    assert runs["fails/0"]["message"] == "RuntimeError: the knob came off"
    assert runs["killed/0"]["message"] == "the process was killed (signal 9, SIGKILL)"
    assert runs["crashed/0"]["message"] == "the process ended by signal 11 (SIGSEGV)"
    assert "Traceback" not in done.err


def test_an_arm_whose_process_died_runs_its_next_seed(ngbench: Run, read_runs: Read) -> None:
    done = ngbench("compare pond -o dies:at=2,adam --seeds 2 --export-json -")
    statuses = {key: run["status"] for key, run in read_runs(done.out).items()}
    assert statuses == {
        "dies:at=2/0": "killed",
        "adam/0": "done",
        "dies:at=2/1": "killed",
        "adam/1": "done",
    }


def test_what_a_plugin_prints_stays_out_of_the_export(ngbench: Run, read_runs: Read) -> None:
    done = ngbench("compare pond -o chatters,sgd --epochs 1 --export-json -")
    assert list(read_runs(done.out)) == ["chatters/0", "sgd/0"]
    assert done.err.count("chatter\n") >= 2


def test_runs_are_made_again_in_fresh_processes(ngbench: Run, read_runs: Read) -> None:
    line = "compare pond -o sgd,adam --steps 6 --output out --restarts"
    assert (first := ngbench(f"{line} 2")).code == 0, first.err
    done = ngbench(f"{line} 3 --resume --export-json -")
    assert done.code == 0, done.err
    assert "the same in fresh processes, 3 of 3" in done.err
    assert "2 of 3" not in done.err
    for run in read_runs(done.out).values():
        assert len(run["restarts"]) == 2
        for made in run["restarts"]:
            assert made["train_loss"] == run["history"]["train_loss"][-1]
            assert len(made["steps"]["seconds"]) == 6
            assert made["phases"].keys() == run["phases"].keys()
            assert made["steps"]["seconds"] != run["steps"]["seconds"]


def test_restarts_need_a_number_from_1_on(ngbench: Run) -> None:
    done = ngbench("compare pond -o sgd --restarts 0")
    assert done.code == 2
    assert "restarts" in done.err
