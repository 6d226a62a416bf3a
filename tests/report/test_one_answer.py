"""Whatever is asked, a record gives one answer: the same digits in every output."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ngbench.experiments.studies.comparisons import View, seed_values, timed_ratio
from ngbench.records.documents import dump
from ngbench.records.gate import check
from ngbench.records.provenance import EnvironmentRecord
from ngbench.records.quantities import ArmRun, quantity_of
from ngbench.records.record import Document, RunRecord
from ngbench.records.sources import load_records
from ngbench.records.thresholds import parse_threshold
from ngbench.report import view
from ngbench.report.blocks import Bars, Chart, Table
from ngbench.report.exports.formats import format_csv, format_json
from ngbench.report.exports.pytest_benchmark import format_pytest_benchmark
from ngbench.report.exports.tidy import tidy
from ngbench.report.page.contents import report_blocks
from ngbench.report.page.record_files import Source, read_sources
from ngbench.report.page.sections import gather
from ngbench.report.renderers import html, markdown, terminal
from ngbench.report.summary import OTHER, summarise
from ngbench.units import format_estimate, format_number, format_seconds, format_seconds_estimate
from tests.blank_run import blank_run

SECONDS = st.floats(1e-4, 1.0)
PHASES = ("forward", "refresh")
ENVIRONMENT = EnvironmentRecord(
    ngbench="0.1.0", python="3.11.4", platform="Linux", processor="CPU", cores=2, memory_bytes=2**33
)


@st.composite
def run_records(draw: st.DrawFn, label: str, rounds: int, length: int) -> RunRecord:
    """A run with turns of so many steps, in which any may have been interrupted and any may be a refresh."""
    n = rounds * length
    ends = [length * (at + 1) for at in range(rounds)]
    seconds = draw(st.lists(SECONDS, min_size=n, max_size=n))
    kinds = draw(st.lists(st.sampled_from(["plain", "plain", "refresh"]), min_size=n, max_size=n))
    interrupted = draw(st.none() | st.sets(st.integers(0, n - 1)).map(sorted))
    losses = draw(st.lists(st.floats(1e-3, 10.0), min_size=rounds, max_size=rounds))
    phases = {}
    for name in PHASES:
        of_step = [
            0.3 * second * (name != "refresh" or kind == name) for second, kind in zip(seconds, kinds, strict=True)
        ]
        if not any(of_step):
            continue
        steps = [range(end - length, end) for end in ends]
        calm = [[at for at in part if at not in set(interrupted or ())] for part in steps]
        phases[name] = {
            "seconds_total": sum(of_step),
            "calls": sum(map(bool, of_step)),
            "seconds_by_round": [sum(of_step[at] for at in part) for part in steps],
            "calls_by_round": [sum(bool(of_step[at]) for at in part) for part in steps],
        }
        if interrupted is not None:
            phases[name]["undisturbed_seconds_by_round"] = [sum(of_step[at] for at in part) for part in calm]
            phases[name]["undisturbed_calls_by_round"] = [sum(bool(of_step[at]) for at in part) for part in calm]
    data = {"name": "D", "origin": "original", "description": "", "digest": "", "train_examples": 1}
    history = {
        "epoch": list(range(1, rounds + 1)),
        "step": ends,
        "train_loss": losses,
        "validation_loss": [2 * loss for loss in losses],
        "elapsed_seconds": [sum(seconds[:end]) for end in ends],
    }
    content = {
        "label": label,
        "task": "t",
        "data": {**data, "validation_examples": 1},
        "optimizer": {"name": label, "hyperparameters": {}},
        "seed": 0,
        "device": "cpu",
        "dtype": "float32",
        "batch_size": 1,
        "threads": 1,
        "status": "done",
        "history": history,
        "steps": {"seconds": seconds, "kind": kinds, "turns": ends, "interrupted": interrupted},
        "phases": phases,
    }
    return blank_run(**content)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Two arms with one seed."""
    rounds, length = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    return Document(
        environment=ENVIRONMENT, runs=[draw(run_records(label, rounds, length)) for label in ("sgd", "kfac")]
    )


def shown_in_tables(document: Document) -> dict[str, str]:
    """What is printed, exported as Markdown, and put on a page, as cells between bars."""
    console = Console(width=400, file=io.StringIO(), record=True)
    terminal.show(view(document), console)
    printed = re.sub(r" {2,}", " | ", console.export_text())
    page = html.render(report_blocks(gather([Source(Path("a.json"), "a", document)])), title="t")
    cells = re.sub(r"<t[dh][^>]*>", " | ", page)
    return {
        "terminal": printed,
        "Markdown": re.sub(r" {2,}", " ", unescape(markdown.render(view(document))).replace("**", "")),
        "page": re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", "", cells))),
    }


def view_of(run: RunRecord, name: str) -> View:
    return View(quantity_of(name, "compare"), "final", [ArmRun(run)])


@settings(max_examples=60, deadline=None)
@given(documents())
def test_every_output_gives_the_same_numbers(document):
    arms = {arm.label: arm for arm in summarise(document)}
    sgd, kfac = document.runs
    texts = shown_in_tables(document)
    thresholds = (
        "step_time",
        "step_time.ratio",
        "phase.*.seconds",
        "training_loss",
        "best_training_loss",
        "validation_loss",
    )
    report = check(document, document, [parse_threshold(f"{name}:5%") for name in thresholds], floor=0.0)
    checked = {(row.arm, row.metric): row.current for row in report.comparisons if row.current is not None}
    exported = {
        (one["params"]["arm"], one["params"]["part"]): one["extra_info"]
        for one in json.loads(format_pytest_benchmark({"t": document}))["benchmarks"]
    }
    rows = {row["label"]: row for row in csv.DictReader(io.StringIO(format_csv(tidy(document))))}
    last = {run.label: rows[run.label] for run in document.runs}
    written = [json.loads(format_json(tidy(document, name))) for name in ("costs", "phases")]
    costs = {row["label"]: row for row in written[0]}
    phases = {(row["label"], row["phase"]): row for row in written[1]}

    for run in document.runs:
        arm = arms[run.label]
        step = arm.step.value
        assert {
            checked[run.label, "step_time"],
            exported[run.label, "step_time"]["seconds"]["value"],
            quantity_of("step_time").value(ArmRun(run)),
            costs[run.label]["step_time"],
        } == {step}
        cells = [format_seconds_estimate(step, arm.step.error)]
        for phase in arm.phases:
            if phase.name == OTHER:
                continue
            answers = {
                checked[run.label, f"phase.{phase.name}.seconds"],
                exported[run.label, f"phase.{phase.name}"]["seconds"]["value"],
                quantity_of(f"phase.{phase.name}.seconds").value(ArmRun(run)),
                phases[run.label, phase.name]["seconds"],
            }
            assert answers == {phase.seconds_per_call}
            cells += [format_seconds(phase.seconds_per_call), format_seconds(phase.seconds_per_step)]
        losses = {"training_loss": arm.final, "best_training_loss": arm.best, "validation_loss": arm.validation}
        for name, loss in losses.items():
            assert checked[run.label, name] == costs[run.label][name] == loss.value
            cells.append(format_number(loss.value, 4))
        claimed = {
            name: seed_values(view_of(run, name), view_of(run, name))[0][0]
            for name in ("training_loss", "validation_loss")
        }
        assert float(last[run.label]["training_loss"]) == claimed["training_loss"] == arm.final.value
        assert float(last[run.label]["validation_loss"]) == claimed["validation_loss"] == arm.validation.value
        for output, text in texts.items():
            assert [cell for cell in cells if f" {cell} " not in text and f" {cell}\n" not in text] == [], output

    busy = len(kfac.steps.interrupted or ()) > len(kfac.steps.seconds) / 2
    claim = timed_ratio(view_of(kfac, "step_time"), view_of(sgd, "step_time"))
    ratio = arms["kfac"].ratio
    if ratio is not None:
        _, left, right = claim
        assert (left, right) == (arms["kfac"].step.value, arms["sgd"].step.value)
        quotient = View(quantity_of("step_time", "compare"), "final", [ArmRun(kfac)], [ArmRun(sgd)])
        number = View(quantity_of("step_time", "compare"), "final", times=1.0)
        answers = {
            checked["kfac", "step_time.ratio"],
            exported["kfac", "step_time"]["ratio"]["value"],
            timed_ratio(quotient, number)[1],
            costs["kfac"]["step_time.ratio"],
        }
        assert answers == {ratio.value}
        shown = format_estimate(ratio.value, ratio.error)
        assert [output for output, text in texts.items() if f" {shown} " not in text] == []
    said = [*texts.values(), *report.notes, *exported["kfac", "step_time"]["warnings"]]
    warned = [text for text in said if re.search("kfac (was|were) measured on a busy machine", text)]
    assert len(warned) == (6 if busy else 0)
    assert (rows["kfac"]["busy_machine"] == "true") is busy


@st.composite
def comparisons(draw: st.DrawFn) -> Document:
    """Three arms with two seeds each, in an order that names of files lose."""
    rounds, length = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    labels = draw(st.permutations(["adam", "kfac", "sgd"]))
    runs = [
        draw(run_records(label, rounds, length)).model_copy(update={"seed": seed, "position": at})
        for seed in (0, 1)
        for at, label in enumerate(labels)
    ]
    return Document(environment=ENVIRONMENT, runs=runs)


@settings(max_examples=40, deadline=None)
@given(comparisons())
def test_arms_keep_their_order_their_reference_and_their_numbers(document):
    labels = list(dict.fromkeys(run.label for run in document.runs))
    with TemporaryDirectory() as directory:
        for run in document.runs:
            file = Path(directory) / f"{run.label}-seed{run.seed}.json"
            file.write_text(dump(Document(environment=ENVIRONMENT, runs=[run])))
        loaded = load_records(Path(directory))
        (section,) = gather(read_sources([Path(directory)])[0]).sections
    assert section.document.runs == loaded.runs
    arms = summarise(loaded)
    assert [arm.label for arm in arms] == labels
    assert [arm.is_reference for arm in arms] == [True, False, False]

    blocks = view(loaded)
    tables = {block.title: block for block in blocks if isinstance(block, Table)}
    assert [list(tables[title].columns[0].cells) for title in ("Progress", "Cost")] == [labels, labels]
    (chart,) = (block for block in blocks if isinstance(block, Chart))
    (bars,) = (block for block in blocks if isinstance(block, Bars))
    assert [series.label for series in chart.series] == [bar.label for bar in bars.bars] == labels
    assert list(dict.fromkeys(row["label"] for row in csv.DictReader(io.StringIO(format_csv(tidy(loaded)))))) == labels

    names = ("step_time", "step_time.ratio", "phase.*.seconds", "training_loss")
    report = check(loaded, loaded, [parse_threshold(f"{name}:5%") for name in names], floor=0.0)
    checked = {(row.arm, row.metric): row.current for row in report.comparisons if row.current is not None}
    assert list(dict.fromkeys(arm for arm, _ in checked)) == labels
    exported = {
        (one["params"]["arm"], one["params"]["part"]): one["extra_info"]
        for one in json.loads(format_pytest_benchmark({"t": loaded}))["benchmarks"]
    }
    assert {info["reference"] for info in exported.values()} == {labels[0]}
    texts = shown_in_tables(loaded)
    for arm in arms:
        cells = [format_seconds_estimate(arm.step.value, arm.step.error)]
        cells.append(format_estimate(arm.final.value, arm.final.error, 4))
        assert checked[arm.label, "step_time"] == arm.step.value
        assert exported[arm.label, "step_time"]["seconds"]["value"] == arm.step.value
        assert checked[arm.label, "training_loss"] == pytest.approx(arm.final.value, rel=1e-15)
        if arm.ratio is not None:
            assert checked[arm.label, "step_time.ratio"] == arm.ratio.value
            assert exported[arm.label, "step_time"]["ratio"]["value"] == arm.ratio.value
            cells.append(format_estimate(arm.ratio.value, arm.ratio.error))
        for phase in arm.phases:
            if phase.name != OTHER:
                assert checked[arm.label, f"phase.{phase.name}.seconds"] == phase.seconds_per_call
                assert exported[arm.label, f"phase.{phase.name}"]["seconds"]["value"] == phase.seconds_per_call
                cells += [format_seconds(phase.seconds_per_call), format_seconds(phase.seconds_per_step)]
        for output, text in texts.items():
            assert [cell for cell in cells if f" {cell} " not in text and f" {cell}\n" not in text] == [], output
