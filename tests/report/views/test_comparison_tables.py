from __future__ import annotations

from ngbench.records.experiments import BudgetRecord
from ngbench.report.summary import shared_seconds, summarise
from ngbench.report.views.comparison_tables import breakdown, cost, notes, progress
from ngbench.units import break_label, format_seconds


def table(found):
    return {column.name.replace("\n", " "): list(column.cells) for column in found}


def test_progress_has_target_columns_only_with_a_target(comparison):
    arms = summarise(comparison)
    assert not any("to " in name for name in table(progress(arms, None, None)))
    found = table(progress(summarise(comparison, target_loss=0.12), 0.12, None))
    # Half of the seeds never got there, so neither did the median.
    assert found["epochs to 0.120"] == ["— (0/2)", "— (1/2)"]
    assert found["time to 0.120"][0] == "— (0/2)"
    for run in comparison.runs:
        run.conditions = {"target_on": "validation"}
    found = table(progress(summarise(comparison, target_loss=0.12), 0.12, None))
    assert "epochs to 0.120 (validation)" in found


def test_status_counts_seeds_only_where_there_are_several(comparison, make_document, make_run):
    assert table(progress(summarise(comparison), None, None))["status"] == ["2 done", "1 diverged, 1 done"]
    single = make_document(make_run().model_copy(update={"status": "out_of_memory"}))
    assert table(progress(summarise(single), None, None))["status"] == ["out of memory"]


def test_an_arm_that_stopped_early_says_so_and_how_much_it_did(make_document, make_run):
    def stopped(label, done, seed=0, **budget):
        run = make_run(label, seed=seed, epochs=done)
        return run.model_copy(update={"budget": BudgetRecord(**{"early_stopping": 3, **budget})})

    runs = [stopped("sgd", 14, epochs=100), stopped("kfac", 5, steps=1000), stopped("adam", 2, epochs=2)]
    arms = summarise(make_document(*runs))
    assert table(progress(arms, None, None))["status"] == ["stopped early", "stopped early", "done"]
    assert [note for note in notes(arms) if "stopped early" in note] == [
        "sgd stopped early after 14 of 100 epochs: 3 epochs without a new lowest training loss.",
        "kfac stopped early after 315 of 1000 steps: 3 epochs without a new lowest training loss.",
    ]
    seeds = [stopped("sgd", done, seed, epochs=20) for seed, done in enumerate((14, 20, 9))]
    arms = summarise(make_document(*seeds))
    assert table(progress(arms, None, None))["status"] == ["1 done, 2 stopped early"]
    note = "sgd stopped early after 9 to 14 of 20 epochs (2 of 3 seeds): 3 epochs without a new lowest training loss."
    assert note in notes(arms)


def test_an_interval_that_one_seed_does_not_support_is_a_dash(comparison):
    sgd, kfac = table(progress(summarise(comparison), None, None))["final train loss"]
    assert "± 0." in sgd
    assert "±" not in kfac


def test_losses_of_single_runs_are_plain_numbers(make_document, make_run):
    found = table(progress(summarise(make_document(make_run())), None, None))
    assert float(found["final train loss"][0]) > 0


def test_loss_at_equal_time_needs_two_arms_that_have_it(make_document, make_run):
    def names(*runs):
        document = make_document(*runs)
        seconds = shared_seconds(document)
        return seconds, table(progress(summarise(document), None, seconds))

    quick, slow = make_run("sgd"), make_run("kfac", refresh_every=10)
    seconds, found = names(quick, slow)
    at, loss = f"train loss at {format_seconds(seconds)}", found["final train loss"]
    assert found[at][0] == loss[0]
    assert float(found[at][1]) > float(loss[1])
    _, found = names(make_run("sgd", epochs=1), make_run("kfac", refresh_every=10, epochs=1))
    assert not any("train loss at" in name for name in found)


def test_a_ratio_always_carries_its_uncertainty(comparison, make_document, make_run):
    reference, ratio = table(cost(summarise(comparison)))["step vs reference"]
    assert reference == "reference"
    assert "± 0." in ratio
    brief = [make_run(label, epochs=1).model_copy(deep=True) for label in ("sgd", "adam")]
    for run in brief:
        run.steps.seconds, run.steps.kind, run.history.step = [0.1], ["plain"], [1]
    assert table(cost(summarise(make_document(*brief))))["step vs reference"][1] == "1.00"


def test_cost_leaves_out_what_no_arm_has(make_document, make_run):
    found = table(cost(summarise(make_document(make_run()))))
    assert "refresh step" not in found
    assert "step vs reference" not in found
    assert found["plain step"][0].endswith(" ms")
    assert found["peak memory"] == ["512 MiB"]
    assert found["optimizer state"] == ["3.22 MiB"]


def test_rounds_of_the_ratio_are_told_apart_where_they_are_fewer(make_document, make_run):
    arms = summarise(make_document(make_run("sgd", epochs=4), make_run("kfac", refresh_every=10)))
    assert table(cost(arms))["rounds n"] == ["4", "10; 4"]
    assert any("second is the ratio's" in note for note in notes(arms))


def test_breakdown_ends_with_the_whole_step(comparison):
    arm = summarise(comparison)[1]
    found = table(breakdown(arm))
    assert found["phase"] == [
        "forward",
        "backward",
        "curvature_backward",
        "accumulate",
        "refresh",
        "precondition",
        "update",
        "other",
        "step in total",
    ]
    assert found["share"][-1] == "100.0 %"
    assert found["operations per call"][0] == "432 MFLOP"
    assert found["bytes per call"][0] == "6.39 MiB"
    assert found["calls"][4] == "89"
    assert found["time per call"][4] != found["time per step"][4]


def test_labels_break_without_losing_a_character():
    label = "torch.optim.AdamW:lr=0.001,weight_decay=0.01,betas=(0.9,0.999)"
    lines = break_label(label).split("\n")
    assert max(map(len, lines)) <= 24
    assert "".join(line.strip() for line in lines) == label
    assert break_label("kfac") == "kfac"


def test_notes_say_what_the_intervals_are(comparison, make_document, make_run):
    several = " ".join(notes(summarise(comparison)))
    assert "over seeds" in several
    assert "over n rounds" in several
    assert "over seeds" not in " ".join(notes(summarise(make_document(make_run()))))
