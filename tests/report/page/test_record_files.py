from __future__ import annotations

from pathlib import Path

from ngbench.report.page.record_files import read_sources


def test_directories_are_read_at_any_depth_and_each_file_once(write, make_document, make_run, tmp_path):
    one = write("runs/a.json", make_document(make_run()))
    two = write("runs/deep/er/b.json", make_document(make_run("adam")))
    write("runs/.a.json.17.part.json", make_document(make_run("half-written")))
    sources, errors = read_sources([tmp_path / "runs", one])
    assert errors == []
    assert [(source.file, source.name) for source in sources] == [(one, "runs"), (two, "runs")]
    assert [source.document.runs[0].label for source in sources] == ["sgd", "adam"]


def test_numbers_in_names_order_the_files(write, make_document, make_run, tmp_path):
    files = [
        write(f"figure-{name}.json", make_document(make_run())) for name in ("5.7/batch-64", "5.7/batch-512", "5.10/a")
    ]
    assert [source.file for source in read_sources([tmp_path])[0]] == files


def test_names_are_as_long_as_it_takes_to_tell_them_apart(write, make_document, make_run, tmp_path):
    write("before/runs/a.json", make_document(make_run()))
    write("after/runs/a.json", make_document(make_run()))
    sources, _ = read_sources([tmp_path / "before" / "runs", tmp_path / "after" / "runs"])
    assert [source.name for source in sources] == ["before/runs", "after/runs"]


def test_every_file_that_cannot_be_read_has_its_sentence_and_the_others_are_read(
    write, make_document, make_run, tmp_path
):
    write("runs/good.json", make_document(make_run()))
    write("runs/newer.json", make_document(make_run()), schema_version=3)
    (tmp_path / "runs" / "corrupt.json").write_text('{"schema_version": 1, "runs": [')
    (tmp_path / "empty").mkdir()
    sources, errors = read_sources([tmp_path / "runs", tmp_path / "empty", Path("nowhere")])
    assert [source.file.name for source in sources] == ["good.json"]
    corrupt, newer, empty, missing = map(str, errors)
    assert "corrupt.json' is not JSON" in corrupt
    assert "newer.json' has schema version 3; this version of ngbench reads versions 1 and 2" in newer
    assert empty.endswith("empty' holds no record (*.json)")
    assert missing.startswith("there is no record 'nowhere'")
