from __future__ import annotations

import re

import pytest
from rich.console import Console

from ngbench.records.record import Document
from ngbench.report import headline, shortened, view
from ngbench.report.blocks import Summary, Table
from ngbench.report.renderers import markdown
from ngbench.report.renderers.terminal import show
from ngbench.report.summary import summarise
from ngbench.units import format_seconds_estimate


def sentences(document: Document, **options: str) -> list[str]:
    return [
        sentence for block in view(document, **options) if isinstance(block, Summary) for sentence in block.sentences
    ]


def sound(make_run, label, losses, seconds, **options):
    """A run with these losses, an epoch of so many seconds each."""
    run = make_run(label, epochs=len(losses), **options)
    run.history.train_loss = list(losses)
    run.history.elapsed_seconds = [seconds * epoch for epoch in range(1, len(losses) + 1)]
    return run


def test_who_is_lowest_by_epoch_need_not_be_lowest_by_time(make_document, make_run):
    quick = sound(make_run, "quick", [0.4, 0.3], 1.0)
    slow = sound(make_run, "slow", [0.35, 0.1], 2.0, refresh_every=10)
    told = sentences(make_document(quick, slow))
    assert told[0] == "After 2 epochs slow has the lowest training loss, 0.1000; quick has 0.3000."
    # When the quick one ended, the slow one had finished one epoch.
    assert (
        told[1]
        == "After 2.00 s of training, which all had, quick has the lowest training loss, 0.3000; slow has 0.3500."
    )


def test_steps_and_memory_are_those_of_the_tables(make_document, make_run):
    document = make_document(make_run("sgd"), make_run("kfac", refresh_every=10))
    arms = {arm.label: arm for arm in summarise(document)}
    ratio = arms["kfac"].ratio
    assert ratio is not None
    told = sentences(document)
    (steps,) = [sentence for sentence in told if sentence.startswith("In steps of sgd, a step takes ")]
    assert steps.endswith(" with kfac.")
    assert float(steps.split()[7]) == pytest.approx(ratio.value, rel=0.01)
    (other,) = [one for one in sentences(document, reference="kfac") if one.startswith("In steps of kfac")]
    assert other.endswith(" with sgd.")


def test_an_arm_that_failed_is_named_with_its_reason(make_document, make_run):
    diverged, killed = make_run("kfac", diverge_at=2), make_run("adam", seed=1)
    killed.status, killed.message = "out_of_memory", "tried to allocate 3 GiB."
    reasons = ["kfac diverged with seed 0: the training loss is not finite."]
    assert sentences(make_document(diverged)) == reasons
    document = make_document(make_run("sgd"), diverged, make_run("adam"), killed)
    told = "adam ran out of memory with seed 1 (1 of 2): tried to allocate 3 GiB."
    assert sentences(document)[-3:-1] == [*reasons, told]
    assert headline(document).endswith("; kfac diverged; adam ran out of memory with 1 of 2 seeds")
    interrupted = make_run("adam")
    interrupted.status = "interrupted"
    assert not any("interrupted" in sentence for sentence in sentences(make_document(interrupted)))


@pytest.mark.parametrize(("gap", "overlap"), [(0.001, True), (0.2, False)])
def test_an_order_within_the_intervals_is_called_so(make_document, make_run, gap, overlap):
    runs = [
        sound(make_run, label, [base + 0.01 * seed], 1.0, seed=seed)
        for label, base in (("a", 0.3), ("b", 0.3 + gap))
        for seed in range(3)
    ]
    told = sentences(make_document(*runs))
    assert told[0].startswith("After 1 epoch a has the lowest mean training loss of 3 seeds, 0.3100;")
    assert ("The intervals of a and b overlap: that order may be chance." in told) is overlap


def test_an_arm_that_failed_ranks_nowhere(make_document, make_run):
    document = make_document(make_run("sgd"), make_run("adam"), make_run("kfac", diverge_at=3))
    first = sentences(document)[0]
    assert first.split()[3] in ("sgd", "adam")
    assert first.endswith("and kfac has none.")


def test_a_single_arm_is_compared_with_nobody_and_told(make_document, make_run):
    document = make_document(sound(make_run, "sgd", [0.4, 0.3], 1.0))
    (arm,) = summarise(document)
    assert arm.step is not None
    reached, memory = sentences(document)
    assert reached.startswith("After 2 epochs sgd has a training loss of 0.300")
    assert reached.endswith(f"a step takes {format_seconds_estimate(arm.step.value, arm.step.error)}.")
    assert memory.startswith("Training took, beside what was in use before, at most: sgd ")


def test_it_ends_in_what_the_warnings_are_about(make_document, make_run):
    alike = [make_run(label, seed=seed) for label in ("sgd", "adam") for seed in range(3)]
    assert "with care" not in " ".join(sentences(make_document(*alike)))
    document = make_document(make_run("sgd", origin="stand-in"), make_run("adam", origin="stand-in"))
    assert sentences(document)[-1] == "To be read with care, as the warnings say: stand-in data and one seed."


def test_a_terminal_ends_in_the_summary(make_document, make_run):
    console = Console(width=100, record=True)
    document = make_document(make_run("sgd"), make_run("kfac", refresh_every=10))
    show(view(document), console)
    last = console.export_text().rstrip().partition("\nSummary\n")[2]
    assert " ".join(last.split()) == " ".join(sentences(document))


def test_the_best_values_are_marked_in_every_output(make_document, make_run):
    document = make_document(sound(make_run, "slow", [0.4, 0.2], 2.0), sound(make_run, "quick", [0.35, 0.3], 1.0))
    blocks = view(document)
    (progress,) = [block for block in blocks if isinstance(block, Table) and block.title == "Progress"]
    marked = {column.name.replace("\n", " "): sorted(column.best) for column in progress.columns if column.best}
    assert marked["final train loss"] == [0]
    assert marked["train loss at 2.00 s"] == [1]
    assert "| **0.2000** |" in re.sub(" +", " ", markdown.render(blocks))
    console = Console(width=100, record=True, force_terminal=True, color_system="truecolor")
    show(blocks, console)
    assert re.search(r"\x1b\[1m *0\.2000", console.export_text(styles=True))
    alone = view(make_document(make_run("sgd")))
    assert not any(column.best for block in alone if isinstance(block, Table) for column in block.columns)


def test_a_short_report_is_one_table_and_what_it_comes_to(make_document, make_run):
    blocks = shortened(view(make_document(make_run("sgd"), make_run("kfac", refresh_every=10))))
    assert [type(block).__name__ for block in blocks] == ["Summary", "Table", "Warnings"]
