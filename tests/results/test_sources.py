from __future__ import annotations

import pytest
from gate_documents import build_document, build_run

from ngbench.errors import RecordError
from ngbench.results.documents import dump
from ngbench.results.sources import load_records


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
