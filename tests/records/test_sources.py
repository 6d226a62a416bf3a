from __future__ import annotations

import pytest
from gate_documents import build_document, build_run

from ngbench.errors import RecordError
from ngbench.records.documents import dump
from ngbench.records.sources import load_records


def write(path, *runs):
    path.write_text(dump(build_document(*runs)))


def test_a_file_is_its_document(tmp_path):
    write(tmp_path / "x.json", build_run("sgd"), build_run("kfac"))
    assert [run.label for run in load_records(tmp_path / "x.json").runs] == ["sgd", "kfac"]


def test_a_directory_is_its_records_without_exports_and_files_that_are_being_written(tmp_path):
    write(tmp_path / "sgd-seed0.json", build_run("sgd"))
    write(tmp_path / "sgd-seed1.json", build_run("sgd", seed=1))
    write(tmp_path / "all.json", build_run("sgd"), build_run("sgd", seed=1))
    write(tmp_path / ".hidden-seed2.json", build_run("sgd", seed=2))
    assert [run.seed for run in load_records(tmp_path).runs] == [0, 1]


def test_what_lies_beside_the_records_adds_what_they_do_not_hold(tmp_path):
    write(tmp_path / "sgd-seed0.json", build_run("sgd"))
    write(tmp_path / "all.json", build_run("sgd"), build_run("kfac"))
    (tmp_path / "settings.json").write_text("[1, 2]")
    assert [run.label for run in load_records(tmp_path).runs] == ["sgd", "kfac"]


def test_the_arms_of_a_directory_come_in_the_order_of_the_command_and_not_of_their_names(tmp_path):
    for label, position in (("sgd", 0), ("kfac", 1), ("adam", 2)):
        for seed in (0, 1):
            run = build_run(label, seed=seed).model_copy(update={"position": position})
            write(tmp_path / f"{label}-seed{seed}.json", run)
    write(tmp_path / "older-seed0.json", build_run("older"))
    found = [(run.label, run.seed) for run in load_records(tmp_path).runs]
    assert found == [*((label, seed) for label in ("sgd", "kfac", "adam") for seed in (0, 1)), ("older", 0)]


def test_a_directory_of_exports_is_read_too(tmp_path):
    write(tmp_path / "main.json", build_run("sgd"))
    assert len(load_records(tmp_path).runs) == 1


def test_a_directory_without_records_is_none(tmp_path):
    assert load_records(tmp_path) is None


def test_what_is_not_there_is_a_record_error(tmp_path):
    with pytest.raises(RecordError, match="cannot read the record"):
        load_records(tmp_path / "nothing.json")


def test_a_run_that_two_files_hold_is_refused_with_the_directory(tmp_path):
    write(tmp_path / "a.json", build_run("sgd"))
    write(tmp_path / "b.json", build_run("sgd"))
    with pytest.raises(RecordError, match=f"two records hold the run of 'sgd'.*both in '{tmp_path}'"):
        load_records(tmp_path)
