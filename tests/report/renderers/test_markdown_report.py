from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from ngbench.errors import OutputError
from ngbench.experiments.conformance.outcome import conformance_document, outcome
from ngbench.records.experiments import PluginRecord
from ngbench.records.record import SampleRecord
from ngbench.report import view
from ngbench.report.page.contents import describe_report, report_blocks
from ngbench.report.page.record_files import read_sources
from ngbench.report.page.sections import gather
from ngbench.report.renderers import markdown
from ngbench.report.renderers.markdown import figures_directory


@pytest.fixture
def render(tmp_path):
    def render(**options):
        report = gather(read_sources([tmp_path / "records"])[0])
        blocks = report_blocks(report, **options)
        return markdown.render(blocks, title="Title", lead=describe_report(report), file=tmp_path / "my report.md")

    return render


def linked(text, tmp_path):
    return [tmp_path / unquote(target) for target in re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text)]


def test_the_same_is_said_and_every_figure_is_beside_it(
    write, render, comparison, make_run, fisher_error, claims, png, tmp_path
):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "one.png").write_bytes(png)
    samples = [SampleRecord(epoch=1, path="one.png"), SampleRecord(epoch=2, path="two.png")]
    comparison.runs[0] = comparison.runs[0].model_copy(update={"samples": samples})
    comparison.runs.append(make_run().model_copy(update={"task": "digits"}))
    error = {**fisher_error(), "task": "curves-autoencoder"}
    write("records/a.json", comparison, fisher_errors=[error], claims=claims)
    text = render()
    figures = linked(text, tmp_path)
    assert [path.name for path in figures] == [
        "loss_by_epoch.png",
        "loss_by_step.png",
        "loss_by_time.png",
        "cost_by_phase.png",
        "samples_sgd-seed0-epoch1.png",
        "fisher-error-0.png",
        "loss_by_epoch.png",
        "loss_by_step.png",
        "loss_by_time.png",
        "cost_by_phase.png",
    ]
    assert len(set(figures)) == len(figures)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in figures)
    assert figures[4].read_bytes() == png
    assert all(figures_directory(tmp_path / "my report.md") in path.parents for path in figures)
    headings = re.findall(r"^##? (.*)$", text, re.MULTILINE)
    assert headings == ["Title", "Claims", "curves-autoencoder", "digits", "Environment"]
    for said in ("1 reproduced, 1 contradicted", "| deflation", "epoch 2: there is no image", "±", "2 sections"):
        assert said in text


def test_fisher_errors_alone_are_a_section(write, render, make_document, fisher_error, tmp_path):
    write("records/a.json", make_document(), fisher_errors=[{**fisher_error(), "task": "digits"}])
    text = render()
    assert "## digits\n\n### Fisher error: layer 5" in text
    assert [path.is_file() for path in linked(text, tmp_path)] == [True]


def test_figures_that_cannot_be_written_are_one_sentence(write, render, make_document, fisher_error, tmp_path):
    write("records/a.json", make_document(), fisher_errors=[fisher_error()])
    figures_directory(tmp_path / "my report.md").write_text("in the way")
    with pytest.raises(OutputError, match="cannot make the directory"):
        render()


def test_the_checks_of_a_plugin_are_one_table() -> None:
    checks = [outcome("speed", "passed", "fast"), outcome("safety", "failed", "it explodes")]
    plugin = PluginRecord(plugin="rocket", kind="optimizer", distribution="nasa", checks=checks)
    text = markdown.render(view(conformance_document([plugin])))
    assert [line.count("---") > 0 for line in text.splitlines()].count(True) == 1
    assert "| speed  |" in text
    assert "| safety |" in text
    assert "rocket (optimizer, nasa): 1 passed, 1 failed" in text
