from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ngbench.errors import OutputError, RecordError
from ngbench.records.documents import load_document
from ngbench.records.environment import describe_environment
from ngbench.records.provenance import EnvironmentRecord
from ngbench.records.record import DataRecord, OptimizerRecord, RunRecord
from ngbench.records.store import Store
from tests.blank_run import blank_run


@pytest.fixture(scope="module")
def environment() -> EnvironmentRecord:
    return describe_environment(with_torch=False)


def record(label: str = "adam", seed: int = 0, **parts: Any) -> RunRecord:
    values: dict[str, Any] = {
        "label": label,
        "task": "small",
        "data": DataRecord(
            name="S", origin="generated", description="", digest="00", train_examples=5, validation_examples=1
        ),
        "optimizer": OptimizerRecord(name="adam", hyperparameters={"lr": 0.1, "betas": (0.9, 0.999)}),
        "seed": seed,
        "device": "cpu",
        "dtype": "float32",
        "batch_size": 4,
        "budget": {"epochs": 3},
    }
    return blank_run(**{**values, **parts})


def test_a_record_is_a_document_of_one_run(tmp_path: Path, environment: EnvironmentRecord) -> None:
    store = Store(tmp_path / "out", environment, resume=False)
    store.write(record(seed=2))
    path = store.record_path("adam", 2)
    assert path.name == "adam-seed2.json"
    document = load_document(path)
    assert document.environment == environment
    assert [run.seed for run in document.runs] == [2]


def test_a_run_that_is_read_back_keeps_where_it_was_made(tmp_path: Path, environment: EnvironmentRecord) -> None:
    Store(tmp_path, environment, resume=False).write(record())
    later = environment.model_copy(update={"called_from": "shell", "command": "ngbench train --resume"})
    assert Store(tmp_path, later, resume=True).recorded()[0].environment == environment
    assert Store(tmp_path, environment, resume=True).recorded()[0].environment is None


def test_a_write_that_fails_leaves_the_last_record(
    tmp_path: Path, environment: EnvironmentRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, environment, resume=False)
    store.write(record())
    path = store.record_path("adam", 0)
    before = path.read_text()

    def full(self: Path, *arguments: Any) -> int:
        with self.open("wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match=r"cannot write the record .*No space left on device"):
        store.write(record(status="done"))
    assert path.read_text() == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_used_directory_needs_resume(tmp_path: Path, environment: EnvironmentRecord) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputError, match="is already used; give another, or `resume`"):
        Store(tmp_path, environment, resume=False)
    assert Store(tmp_path, environment, resume=True).recorded() == []


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_a_directory_that_cannot_be_is_refused(tmp_path: Path, environment: EnvironmentRecord, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"output directory '.*file"):
        Store(tmp_path / path, environment, resume=False)


def test_the_same_run_is_found_again(tmp_path: Path, environment: EnvironmentRecord) -> None:
    store = Store(tmp_path, environment, resume=True)
    kept = record(status="interrupted", message="stopped")
    store.write(kept)
    (tmp_path / "all.json").write_text("an export, no record")
    found = store.match([record(), record("sgd")])
    assert list(found) == [("adam", 0)]
    assert found["adam", 0].status == "interrupted"


@pytest.mark.parametrize(
    ("parts", "difference"),
    [
        ({"batch_size": 8}, "batch_size is 4 there and 8 here"),
        ({"dtype": "float64"}, 'dtype is "float32" there and "float64" here'),
        ({"budget": {"epochs": 3, "steps": 9}}, "budget.steps is absent there and 9 here"),
        (
            {"optimizer": OptimizerRecord(name="adam", hyperparameters={"lr": 0.2, "betas": (0.9, 0.999)})},
            "optimizer.hyperparameters.lr is 0.1 there and 0.2 here",
        ),
    ],
)
def test_another_configuration_is_refused_by_what_differs(
    tmp_path: Path, environment: EnvironmentRecord, parts: dict[str, Any], difference: str
) -> None:
    store = Store(tmp_path, environment, resume=True)
    store.write(record())
    with pytest.raises(RecordError) as caught:
        store.match([record(**parts)])
    assert str(caught.value).endswith(f"adam-seed0.json' is another run than the one to be resumed: {difference}")


def test_a_run_under_another_label_is_compared_with_the_one_that_was_meant(
    tmp_path: Path, environment: EnvironmentRecord
) -> None:
    store = Store(tmp_path, environment, resume=True)
    store.write(record())
    other = record("adam:lr=0.3", optimizer=OptimizerRecord(name="adam", hyperparameters={"lr": 0.3}))
    with pytest.raises(RecordError, match=r"hyperparameters.lr is 0.1 there and 0.3 here"):
        store.match([other])


def test_a_run_that_nobody_asks_for_is_refused(tmp_path: Path, environment: EnvironmentRecord) -> None:
    store = Store(tmp_path, environment, resume=True)
    store.write(record(seed=4))
    with pytest.raises(RecordError, match="the run 'adam' with seed 4, which is not part of what is asked for"):
        store.match([record(seed=0)])
