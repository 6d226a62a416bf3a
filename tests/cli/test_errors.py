"""What the user can get wrong, through the command line: one sentence, exit code 2, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

WRONG = {
    "unknown task": ("train lake -o sgd", "unknown task 'lake'"),
    "close task": ("train pand -o sgd", "did you mean 'pond'?"),
    "unknown optimizer": ("train pond -o sgdd", "unknown optimizer 'sgdd'; did you mean 'sgd'?"),
    "unknown hyper-parameter": ("train pond -o sgd:rate=0.1", "rate"),
    "unknown option of the task": ("train pond -o sgd --set width=3", "width"),
    "malformed option of the task": ("train pond -o sgd --set width", "KEY=VALUE"),
    "unknown device": ("train pond -o sgd --device tpu", "device 'tpu' is not one of auto, cpu, cuda, cuda:N"),
    "unknown dtype": ("train pond -o sgd --dtype int8", "dtype 'int8' is not one of float32, float64, bfloat16"),
    "wrong type": ("train pond -o sgd:lr=fast", "lr=fast is not allowed, it must be a number"),
    "negative lr": ("train pond -o sgd:lr=-1", "lr=-1 is not allowed"),
    "negative lr of a class": ("train pond -o torch.optim.AdamW:lr=-1", "-1"),
    "damping 0": ("train pond -o kfac:damping=0", "damping=0 is not allowed"),
    "wrong option of the task": ("train pond -o sgd --set depth=deep", "depth=deep is not allowed"),
    "batch too large": (
        "train pond -o sgd --batch-size 41",
        "batch-size=41 is not allowed, it must be at most 40, the number of training examples of pond",
    ),
    "no epochs": ("train pond -o sgd --epochs 0", "epochs=0 is not allowed, it must be an integer >= 1"),
    "no steps": ("train pond -o sgd --steps 0", "steps=0 is not allowed"),
    "no seeds": ("train pond -o sgd --seeds 0", "seeds=0 is not allowed"),
    "negative seed": ("train pond -o sgd --seed -1", "seed=-1 is not allowed"),
    "no threads": ("train pond -o sgd --threads 0", "threads=0 is not allowed"),
    "no patience": ("train pond -o sgd --early-stopping 0", "early-stopping=0 is not allowed"),
    "target that is no number": ("train pond -o sgd --target-loss nan", "target-loss=nan is not allowed"),
    "steps without end": ("train pond -o sgd --steps 1" + 30 * "0", "it must be an integer >= 1 and <= 1000000000"),
    "epochs without end": ("train pond -o sgd --epochs 1" + 30 * "0", "it must be an integer >= 1 and <= 1000000000"),
    "too many seeds": ("compare pond -o sgd,adam --seeds 100000000", "it must be an integer >= 1 and <= 10000"),
    "too many threads": ("train pond -o sgd --threads 100000000", "it must be an integer >= 1 and <= 1024"),
    "seeds beyond the last": (
        f"train pond -o sgd --seed {2**63 - 1} --seeds 2",
        f"seeds=2 is not allowed with seed={2**63 - 1}, the last seed must be < 2**63",
    ),
    "time limit without end": ("train pond -o sgd --time-limit " + 400 * "9", "longer than 0 such as 90s"),
    "time limit of centuries": ("train pond -o sgd --time-limit 9999999999", "at most 1e+09 s"),
    "time limit": ("train pond -o sgd --time-limit soon", "time-limit=soon is not allowed"),
    "epochs that are no integer": (
        "train pond -o sgd --epochs many",
        "epochs=many is not allowed, it must be an integer >= 1",
    ),
    "two optimizers to train": ("train pond -o sgd,adam", "names 2 optimizers, train takes one; use ngbench compare"),
    "two identical arms": ("compare pond -o sgd -o sgd", "'sgd' is given twice"),
    "two arms that are the same in the end": (
        "compare pond -o a@torch.optim.SGD:lr=0.001 -o b@torch.optim.SGD:lr=0.001,momentum=0",
        "'a' and 'b' are identical",
    ),
    "two arms of one label": ("compare pond -o a@sgd:lr=1 -o a@sgd:lr=2", "two arms are called 'a'"),
    "unknown reference": ("compare pond -o sgd,adam --reference kfac", "unknown arm 'kfac' (known: adam, sgd)"),
    "plugin that raises at import": (
        "train pond -o broken",
        "optimizer 'broken' (from dist-laboratory) cannot be imported: ImportError: no such reagent",
    ),
    "dotted name of no class": (
        "train pond -o torch.optim.Nothing",
        "unknown optimizer class in torch.optim 'Nothing'",
    ),
    "dotted name of another class": ("train pond -o torch.nn.Linear", "torch.nn.Linear"),
    "dotted name of a missing module": ("train pond -o nowhere.Optimizer", "nowhere"),
    "data that are not there": ("train pond -o sgd --set dry=true", "the pond is dry"),
    "data directory that is a file": ("train pond -o sgd --data-dir taken", "is not a directory"),
    "output that is a file": ("train pond -o sgd --output taken", "'taken' is not a directory"),
    "output below a file": ("train pond -o sgd --output taken/out", "is not a directory"),
    "output that is used": ("train pond -o sgd --output used", "'used' is already used; give another, or --resume"),
    "resume from nowhere": ("train pond -o sgd --resume", "--resume needs --output"),
    "export into nowhere": ("train pond -o sgd --export-json none/all.json", "there is no directory 'none'"),
    "export into a directory": ("train pond -o sgd --export-csv used", "it is a directory"),
    "figures into a file": ("train pond -o sgd --figures taken", "'taken' is not a directory"),
    "two exports to stdout": ("train pond -o sgd --export-csv - --export-json -", "only one export can go to stdout"),
    "unknown flag": ("train pond -o sgd --epoch 3", "--epoch"),
    "no optimizer": ("train pond", "--optimizer"),
}


@pytest.mark.parametrize("case", WRONG)
def test_one_sentence_and_exit_code_two(ngbench: Run, case: str) -> None:
    line, said = WRONG[case]
    Path("taken").touch()
    Path("used").mkdir()
    Path("used/thesis.tex").touch()
    before = sorted(Path.cwd().rglob("*"))
    done = ngbench(line)
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1
    assert said in done.err
    assert sorted(Path.cwd().rglob("*")) == before


def test_exports_may_lie_in_the_output_directory_that_is_not_there_yet(ngbench: Run) -> None:
    done = ngbench(
        "train pond -o sgd --epochs 1 --threads 1 --output out --export-json ./out/all/runs.json "
        "--export-csv out/all/runs.csv --export-markdown out/runs.md --figures out/figures"
    )
    assert done.code == 0, done.err
    written = {str(path) for path in Path("out").rglob("*") if path.suffix != ".png" and path.is_file()}
    assert {"out/all/runs.json", "out/all/runs.csv", "out/runs.md", "out/sgd-seed0.json"} <= written
    assert ngbench("report out --output page.html").code == 0


def test_a_cuda_device_where_there_is_none(ngbench: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = ngbench("train pond -o sgd --device cuda:0")
    assert done.code == 2
    assert done.err.startswith("Error: device 'cuda:0': this machine has no CUDA device")


def test_a_directory_without_write_permission(ngbench: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, whom no permission stops.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    done = ngbench("train pond -o sgd --output out")
    assert done.code == 2
    assert done.err == f"Error: cannot write to 'out': no permission to write in '{Path.cwd()}'\n"


def test_a_disk_that_fills_up_takes_no_result_away(ngbench: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from ngbench.errors import OutputError
    from ngbench.records.store import Store

    def full(self: Store, record: Any) -> None:
        raise OutputError("cannot write the record 'x': No space left on device")

    monkeypatch.setattr(Store, "write", full)
    done = ngbench("train pond -o sgd --output out --epochs 2")
    assert done.code == 2
    assert "epoch 2 of 2" in done.err
    assert "final train loss" in done.out
    assert done.err.endswith("Error: cannot write the record 'x': No space left on device\n")
