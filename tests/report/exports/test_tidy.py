from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from ngbench.cli.export import TableOption
from ngbench.records.documents import load_document
from ngbench.report.exports.formats import format_csv, format_json, format_parquet
from ngbench.report.exports.tidy import TABLES, TidyTable, tidy, tidy_sections
from ngbench.report.summary import summarise

FILES = Path(__file__).parents[2] / "records" / "data" / "version-1"


def test_the_command_names_every_table():
    assert {option.value for option in TableOption} == set(TABLES)


def test_options_and_hyperparameters_are_columns_of_their_own(make_document, make_run):
    first, second = make_run("sgd", epochs=1), make_run("kfac", epochs=1, refresh_every=10)
    first.task_options = {"size": 4}
    first.conditions = {"turn_steps": 5}
    table = tidy(make_document(first, second))
    about = list(table.names[: table.names.index("seed")])
    assert about == [
        *("label", "task", "option.size", "optimizer"),
        *(
            "hyperparameter.lr",
            "hyperparameter.momentum",
            "hyperparameter.damping",
            "hyperparameter.curvature_interval",
        ),
        *("data", "data_origin", "device", "dtype", "threads", "batch_size", "condition.turn_steps"),
    ]
    assert [row.get("hyperparameter.damping") for row in table.rows] == [None, 0.01]


def test_steps_have_times_kinds_interruptions_and_what_an_optimizer_told(make_document, make_run):
    run = make_run("kfac", epochs=1, refresh_every=10)
    run.steps.interrupted = [1]
    run.diagnostics = {"energy_gap": [(2, 0.5)]}
    rows = tidy(make_document(run), "steps").rows
    assert [row["step_time"] for row in rows] == run.steps.seconds
    assert [row["kind"] for row in rows] == run.steps.kind
    assert [row["interrupted"] for row in rows[:3]] == [False, True, False]
    assert [row["diagnostic.energy_gap"] for row in rows[:3]] == [None, 0.5, None]
    run.steps.interrupted = None
    assert {row["interrupted"] for row in tidy(make_document(run), "steps").rows} == {None}


def test_costs_and_phases_are_what_the_tables_show(comparison):
    arms = summarise(comparison, reference="kfac")
    costs = tidy(comparison, "costs", reference="kfac").rows
    assert [(row["label"], row["reference"]) for row in costs] == [(arm.label, "kfac") for arm in arms]
    for arm, row in zip(arms, costs, strict=True):
        assert (row["step_time"], row["step_time.low"], row["step_time.n"]) == (
            arm.step.value,
            arm.step.low,
            arm.step.n,
        )
        assert row["step_time.ratio"] == (None if arm.ratio is None else arm.ratio.value)
        assert (row["peak_memory"], row["optimizer_state"]) == (arm.peak_bytes, arm.optimizer_state_bytes)
        assert row["seeds"].split() == [str(run.seed) for run in arm.runs]
    phases = tidy(comparison, "phases").rows
    assert [(row["label"], row["phase"], row["seconds"], row["share"], row["flops"]) for row in phases] == [
        (arm.label, phase.name, phase.seconds_per_call, phase.share, phase.flops)
        for arm in summarise(comparison)
        for phase in arm.phases
    ]


def test_fisher_errors_say_whose_they_are():
    document = load_document(FILES / "fisher-error.json")
    (run,) = document.runs
    (error,) = run.fisher_errors
    table = tidy(document)
    assert len(table.rows) == len(error.steps) * len(error.approximations)
    assert {(row["label"], row["seed"], row["layer_name"]) for row in table.rows} == {(run.label, run.seed, "0")}
    assert [row["error_1"] for row in table.rows if row["approximation"] == "kfac"] == (
        error.approximations["kfac"].error_1
    )
    assert [row["training_loss"] for row in tidy(document, "steps").rows] == run.step_losses


def test_a_search_has_its_trials_and_a_study_its_claims():
    search = load_document(FILES / "tune.json")
    ((label, arm),) = search.search.arms.items()
    rows = tidy(search, "trials").rows
    assert [(row["arm"], row["trial"], row["value"]) for row in rows] == [
        (label, one.trial, one.value) for one in arm.trials
    ]
    assert [row["hyperparameter.lr"] for row in rows] == [one.settings["lr"] for one in arm.trials]
    study = load_document(FILES / "reproduce.json")
    ((claim,),) = ([*one.claims] for one in study.studies)
    (row,) = tidy(study, "claims").rows
    assert (row["name"], row["verdict"], row["left"]) == (claim.name, claim.verdict, claim.parts[0].left)


def test_gans_have_their_score_and_both_players():
    rows = tidy(load_document(FILES / "gan.json")).rows
    assert rows[0]["metric.classifier_fid"] == 400.0149841308594
    assert rows[0]["hyperparameter.critic.lr"] == 0.01


def test_several_documents_are_told_apart(make_document, make_run):
    one, other = make_document(make_run(epochs=1)), make_document(make_run("kfac", epochs=2))
    table = tidy_sections([("a", one), ("b", other)])
    assert table.names[0] == "section"
    assert [row["section"] for row in table.rows] == ["a", "b", "b"]
    assert tidy_sections([("a", one)]) == tidy(one)
    # A document without the reference has its own first arm.
    assert [row["reference"] for row in tidy_sections([("a", one), ("b", other)], "costs", reference="kfac").rows] == [
        "sgd",
        "kfac",
    ]


@pytest.mark.parametrize("name", ["epochs", "steps", "costs", "phases"])
def test_every_format_has_the_same_digits(comparison, name):
    table = tidy(comparison, name)
    read = json.loads(format_json(table))
    assert read == [{column: row.get(column) for column in table.names} for row in table.rows]
    for row, other in zip(csv.DictReader(io.StringIO(format_csv(table))), read, strict=True):
        assert list(row) == list(table.names)
        for column, value in other.items():
            if isinstance(value, float):
                assert float(row[column]) == value
            else:
                written = str(value).lower() if isinstance(value, bool) else str(value)
                assert row[column] == ("" if value is None else written)


def test_parquet_has_the_same_digits_and_a_type_for_each_column(comparison):
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    for name in ("epochs", "costs"):
        table = tidy(comparison, name)
        read = pyarrow.parquet.read_table(io.BytesIO(format_parquet(table)))
        assert read.column_names == list(table.names)
        assert read.to_pylist() == [{column: row.get(column) for column in table.names} for row in table.rows]
    mixed = TidyTable(["a", "b", "c"], [{"a": 1, "b": 1, "c": [1, 2]}, {"a": 0.5, "b": "auto"}, {"a": None, "b": True}])
    read = pyarrow.parquet.read_table(io.BytesIO(format_parquet(mixed)))
    assert read.to_pydict() == {"a": [1.0, 0.5, None], "b": ["1", "auto", "true"], "c": ["[1, 2]", None, None]}


def test_tensorboard_reads_what_is_written(comparison, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from ngbench.report.exports.tensorboard import write_events

    write_events([("curves", comparison)], tmp_path / "events")
    run = comparison.runs[0]
    events = accumulator.EventAccumulator(str(tmp_path / "events" / "sgd-seed0"), {"scalars": 0})
    events.Reload()
    losses = events.Scalars("training_loss")
    assert [event.step for event in losses] == run.history.step
    assert [event.value for event in losses] == pytest.approx(run.history.train_loss, rel=1e-6)
    assert [event.value for event in events.Scalars("step_time")] == pytest.approx(run.steps.seconds, rel=1e-6)
