from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from ngbench.errors import UnknownNameError, UsageError
from ngbench.records.experiments import BudgetRecord
from ngbench.records.quantities import quantity_of
from ngbench.records.record import LayerRecord, PhaseRecord
from ngbench.report import view
from ngbench.report.blocks import Table, Warnings
from ngbench.report.columns import COLUMNS, chosen, given_columns
from ngbench.report.renderers import terminal


def shown(document, width=80, **options):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    terminal.show(view(document, **options), console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 130, 200])
def test_no_row_is_folded_or_cut_at_common_widths(comparison, width):
    text = shown(comparison, width, target_loss=0.12)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    rows = [line for line in lines if line.startswith(("sgd", "kfac")) and "±" in line]
    assert any(line.rstrip().endswith("1 diverged, 1 done") for line in lines)
    assert rows


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_what_has_no_room_is_left_out_and_named_once(make_document, make_run, width):
    runs = [make_run(label, seed=seed, refresh_every=10) for label in ("sgd", "adam", "kfac") for seed in (0, 1, 2)]
    document = make_document(*runs)
    text = shown(document, width, target_loss=0.12)
    assert "(continued)" not in text
    kept = {
        column.key for block in view(document, target_loss=0.12) if isinstance(block, Table) for column in block.columns
    }
    named = re.search(r"Left out for want of room: (.*?) \(--columns", " ".join(text.split()))
    assert (named is not None) is (width < 200)
    if named is not None:
        assert set(named[1].split(", ")) < kept
        assert "status" not in named[1]
    for head in ("train loss", "reference", "status"):
        assert head in text


def test_the_columns_that_are_asked_for_are_shown_at_any_width_and_no_others(comparison):
    blocks = chosen(view(comparison, target_loss=0.12), "rounds,optimizer_state,step_time")
    console = Console(file=io.StringIO(), width=44)
    terminal.show(blocks, console)
    text = console.file.getvalue()
    assert "Progress" not in text
    assert "Left out" not in text
    for head in ("rounds", "optimizer", "mean"):
        assert head in text
    for head in ("epoch", "plain", "added"):
        assert head not in text.split("Times of steps")[0]


def test_a_column_that_no_table_has_is_said(comparison):
    (warning,) = [
        one
        for block in chosen(view(comparison), "fid,status")
        if isinstance(block, Warnings)
        for one in block.warnings
        if "No table" in one
    ]
    assert warning == "No table here has the column fid."


def test_every_column_that_may_be_left_out_has_a_place_in_the_order_and_the_name_of_a_quantity(comparison):
    keys = {
        column.key
        for block in view(comparison, target_loss=0.12)
        if isinstance(block, Table)
        for column in block.columns
    }
    assert keys <= {"", *COLUMNS}
    own = {"status", "trials", "best", "median", "quartiles", "added_memory", "rounds", "steps"}
    players = {"critic_seconds", "generator_seconds", "critic_share"}
    for name in set(COLUMNS) - own - players:
        if quantity_or_none(name) is None:
            assert quantity_or_none(name.rpartition(".")[0]) is not None or name.startswith("phase.*."), name


def quantity_or_none(name):
    try:
        return quantity_of(name)
    except UsageError:
        return None


@pytest.mark.parametrize(
    ("given", "said"),
    [("training_los", "did you mean 'training_loss'"), ("status,nothing", "unknown column 'nothing'")],
)
def test_an_unknown_column_is_refused(given, said):
    with pytest.raises(UnknownNameError, match=said):
        given_columns(given)


def test_the_heading_says_what_ran(comparison):
    text = " ".join(shown(comparison, 200).split())
    assert text.startswith("curves-autoencoder data: CURVES (generated), 16,000 training and 4,000 validation")
    assert "cpu (Example CPU) · float32 · 2 threads · batch 256 · seeds 0, 1 · 843 k parameters" in text
    assert "kfac lr=0.3 momentum=0.9 damping=0.01 curvature_interval=10" in text


def test_a_stand_in_cannot_be_overlooked(make_document, make_run):
    text = shown(make_document(make_run(origin="stand-in")))
    assert "CURVES (STAND-IN)" in text
    assert "Warning: The data are a stand-in" in text
    assert "data: CURVES, 16,000 training" in shown(make_document(make_run(origin="original")))


def test_labels_are_shown_as_they_are_and_not_read_as_markup(make_document, make_run):
    text = shown(make_document(make_run("sgd"), make_run("[bold]x[/bold]")))
    assert "[bold]x[/bold]" in text


def test_details_come_first_and_warnings_and_what_it_comes_to_last(comparison):
    text = shown(comparison)
    positions = [
        text.index(part)
        for part in (
            *("Cost per update: sgd", "Cost per update: kfac", "Progress", "Cost    "),
            *("Warning: kfac diverged", "Summary"),
        )
    ]
    assert positions == sorted(positions)


def test_the_reference_is_passed_on(comparison):
    lines = shown(comparison, 130, reference="kfac").splitlines()
    rows = [line for line in lines if line.startswith(("sgd", "kfac")) and "reference" in line]
    assert [row.split()[0] for row in rows] == ["kfac"]
    with pytest.raises(UnknownNameError):
        shown(comparison, reference="none")


def test_a_single_arm_reads_from_top_to_bottom(make_document, make_run):
    document = make_document(make_run("kfac", refresh_every=10, target_loss=0.2))
    lines = [line.split("  ", 1)[0] for line in shown(document).splitlines()]
    for name in ("final train loss", "validation loss", "epochs to 0.200", "status", "mean step", "refresh step"):
        assert name in lines
    assert "step vs reference" not in lines
    assert "Cost per update: kfac" in lines


def test_a_document_without_runs_says_so(make_document):
    assert shown(make_document()).strip() == "no runs"


def test_a_run_that_finished_nothing_is_shown_by_its_status(make_document, make_run):
    run = make_run(epochs=0).model_copy(update={"status": "failed", "message": "the model raised ValueError"})
    text = shown(make_document(run))
    assert "failed" in text
    assert "the model raised ValueError" in text


def test_a_run_that_stopped_early_is_told_from_one_that_ran_all_its_epochs(make_document, make_run):
    run = make_run("kfac", epochs=7).model_copy(update={"budget": BudgetRecord(epochs=9, early_stopping=1)})
    (line,) = [line for line in shown(make_document(run)).splitlines() if line.startswith("status")]
    assert line.split(maxsplit=1)[1].strip() == "stopped early"
    text = " ".join(shown(make_document(run, make_run()), 130).split())
    assert "kfac stopped early after 7 of 9 epochs: 1 epoch without a new lowest training loss." in text
    assert "sgd stopped early" not in text


def test_the_cost_of_an_update_stands_beside_the_order_that_is_predicted(make_document, make_run):
    run = make_run("kfac")
    operations = 2 * run.batch_size * (10**2 + 4**2)
    predicted = {"accumulate": {"order": "2ℓmd²", "operations": operations}}
    run.layers = [LayerRecord.model_validate({"name": "0", "d_in": 10, "d_out": 4, "predicted": predicted})]
    flops = 3 * operations
    run.phases["accumulate"] = PhaseRecord(seconds_total=0.01, calls=2, flops=flops)
    text = shown(make_document(run, make_run("adam")), 160)
    assert "Cost per update, measured and predicted" in text
    (line,) = [line for line in text.splitlines() if "F̂ " in line and "kfac" in line and "3.00" in line]
    assert "2ℓmd²" in line
