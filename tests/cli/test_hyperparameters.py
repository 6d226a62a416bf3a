"""``--hyperparameters``: what is given with ``-o`` wins, then the file, then the task, then the optimizer's default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Read = Callable[[str | Path], dict[str, Any]]

TARN = '''
    from dataclasses import replace
    from laboratory_bench import pond
    from ngbench import Task

    def tarn() -> Task:
        """The pond, with published hyper-parameters."""
        published = {"adam": {"lr": 0.5, "beta1": 0.5, "beta2": 0.5, "eps": 0.5}}
        return replace(pond(), hyperparameters=published)
'''
FILE = """\
task: tarn
arms:
  adam:
    hyperparameters: {lr: 0.25, beta1: 0.25}
  fast:
    optimizer: sgd
    hyperparameters:
      lr: 0.125
"""


@pytest.fixture
def tarn(distribute: Callable[..., None], ngbench: Run) -> Run:
    distribute("dist-tarn", {"tarn_bench": TARN}, tasks={"tarn": "tarn_bench:tarn"})
    Path("h.yaml").write_text(FILE)
    return ngbench


def test_precedence(tarn: Run, read_runs: Read) -> None:
    done = tarn("train tarn -o adam:lr=0.0625 --hyperparameters h.yaml --epochs 1 --export-json -")
    assert done.code == 0, done.err
    (run,) = read_runs(done.out).values()
    found = run["optimizer"]["hyperparameters"]
    assert (found["lr"], found["beta1"], found["beta2"], found["weight_decay"]) == (0.0625, 0.25, 0.5, 0)
    assert "hyper-parameters of adam:lr=0.0625: from h.yaml" in done.err


def test_a_comparison_takes_them_by_label(tarn: Run, read_runs: Read) -> None:
    done = tarn("compare tarn -o fast@sgd --hyperparameters h.yaml --epochs 1 --export-json -")
    assert done.code == 0, done.err
    assert read_runs(done.out)["fast/0"]["optimizer"]["hyperparameters"]["lr"] == 0.125


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("tarn", "pond", "train tarn -o adam", "'h.yaml' line 1: the hyper-parameters are for the task 'pond'"),
        ("beta1: 0.25", "beta3: 0.25", "train tarn -o adam", "'h.yaml' line 4: optimizer adam: unknown parameter"),
        ("lr: 0.125", "lr: -1", "train tarn -o adam", "'h.yaml' line 8: optimizer sgd: lr=-1 is not allowed"),
        ("sgd", "sdg", "train tarn -o adam", "'h.yaml' line 6: unknown optimizer 'sdg'; did you mean 'sgd'"),
        ("task", "tusk", "train tarn -o adam", "'h.yaml' line 1: unknown key 'tusk'"),
        ("", "", "compare tarn -o rmsprop", "'h.yaml' has none of the arms rmsprop (it has: adam (adam), fast (sgd))"),
    ],
)
def test_a_bad_file_is_refused_before_anything_runs(tarn: Run, old: str, new: str, line: str, said: str) -> None:
    Path("h.yaml").write_text(FILE.replace(old, new, 1))
    done = tarn(f"{line} --hyperparameters h.yaml --output out")
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not list(Path(".").glob("out/*"))
