from __future__ import annotations

import csv
import io
import json
import os
import stat

from ngbench.records.documents import load_document
from ngbench.records.experiments import BudgetRecord
from ngbench.report import view
from ngbench.report.exports.destinations import export_steps
from ngbench.report.exports.formats import format_csv
from ngbench.report.exports.tidy import tidy
from ngbench.report.renderers import markdown


def write(document, **files):
    for step in export_steps(document, **files):
        step()


def format_markdown(document, **options):
    return markdown.render(view(document, **options))


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_exported_json_loads_as_the_same_document(comparison, tmp_path):
    write(comparison, json=tmp_path / "out.json")
    assert load_document(tmp_path / "out.json") == comparison


def test_a_dash_means_standard_output_and_nothing_else_is_there(comparison, capsys):
    write(comparison, json="-")
    captured = capsys.readouterr()
    assert json.loads(captured.out)["schema_version"] == 2
    assert captured.err == ""


def test_csv_has_one_row_per_run_and_epoch(comparison):
    rows = rows_of(format_csv(tidy(comparison)))
    assert len(rows) == 10 + 10 + 10 + 4
    first = rows[0]
    assert (first["label"], first["seed"], first["epoch"], first["step"]) == ("sgd", "0", "1", "63")
    assert float(first["training_loss"]) == comparison.runs[0].history.train_loss[0]
    assert (first["hyperparameter.lr"], first["hyperparameter.momentum"]) == ("0.3", "0.9")
    assert (first["data"], first["data_origin"]) == ("CURVES", "generated")


def test_csv_leaves_a_number_that_does_not_exist_empty(comparison):
    last = rows_of(format_csv(tidy(comparison)))[-1]
    assert (last["status"], last["epoch"], last["training_loss"]) == ("diverged", "4", "")


def test_csv_keeps_a_run_without_epochs(make_document, make_run):
    (row,) = rows_of(format_csv(tidy(make_document(make_run(epochs=0)))))
    assert (row["label"], row["status"], row["epoch"], row["training_loss"]) == ("sgd", "done", "", "")


def test_exports_tell_a_run_that_stopped_early(make_document, make_run):
    early = make_run("kfac", epochs=2).model_copy(update={"budget": BudgetRecord(epochs=9, early_stopping=1)})
    document = make_document(make_run(epochs=1), early)
    rows = rows_of(format_csv(tidy(document)))
    assert [(row["status"], row["stopped_early"]) for row in rows] == [("done", "false"), *[("done", "true")] * 2]
    note = "- kfac stopped early after 2 of 9 epochs: 1 epoch without a new lowest training loss.\n"
    assert note in format_markdown(document)


def test_csv_has_a_column_for_every_metric(make_document, make_run):
    run = make_run(epochs=2)
    run.history.metrics["accuracy"] = [0.5, None]
    rows = rows_of(format_csv(tidy(make_document(run, make_run("adam", epochs=1)))))
    assert [row["metric.accuracy"] for row in rows] == ["0.5", "", ""]


def test_csv_has_metrics_on_training_data_after_the_others(make_document, make_run):
    first, second = make_run(epochs=1), make_run("adam", epochs=1)
    first.history.metrics["accuracy"] = [0.5]
    first.history.training_metrics["accuracy"] = [0.75]
    second.history.metrics["size"] = [3.0]
    rows = rows_of(format_csv(tidy(make_document(first, second))))
    assert list(rows[0])[-3:] == ["metric.accuracy", "metric.size", "training_metric.accuracy"]
    assert [row["training_metric.accuracy"] for row in rows] == ["0.75", ""]


def test_csv_goes_to_the_file(comparison, tmp_path):
    write(comparison, csv=tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == format_csv(tidy(comparison))


def test_markdown_has_github_tables_of_equal_row_length(comparison, tmp_path):
    write(comparison, markdown_file=tmp_path / "out.md")
    assert (tmp_path / "out.md").read_text(encoding="utf-8") == format_markdown(comparison)
    text = format_markdown(comparison, target_loss=0.12)
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 5
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1
        assert set(lines[1]) <= set("|-: ")
    assert "epochs to 0.120" in tables[0][0]
    assert "- **Warning:** kfac diverged" in text


def test_markdown_uses_the_reference_that_is_asked_for(comparison):
    lines = format_markdown(comparison, reference="kfac").splitlines()
    assert [line.split()[1] for line in lines if line.startswith("|") and " reference |" in line] == ["arm", "kfac"]


def test_markdown_escapes_what_would_end_a_cell(make_document, make_run):
    assert "| a\\|b" in format_markdown(make_document(make_run("a|b")))


def test_an_export_replaces_the_file_whole_and_leaves_nothing_beside_it(comparison, tmp_path):
    path = tmp_path / "out.json"
    path.write_text("old" * 1_000_000)
    write(comparison, json=path)
    assert load_document(path) == comparison
    assert os.listdir(tmp_path) == ["out.json"]


def test_an_export_to_a_device_is_not_a_rename(comparison):
    write(comparison, json=os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
