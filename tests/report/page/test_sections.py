from __future__ import annotations

import pytest

from ngbench.records.record import FisherErrorRecord
from ngbench.report.page.contents import report_blocks
from ngbench.report.page.record_files import read_sources
from ngbench.report.page.sections import gather
from ngbench.report.renderers import html, markdown


@pytest.fixture
def report(tmp_path):
    def report(*paths):
        sources, errors = read_sources(paths or [tmp_path])
        assert errors == []
        return gather(sources)

    return report


def headings(section):
    return [measured.heading for measured in section.fisher_errors]


def of_task(run, task, **options):
    return run.model_copy(update={"task": task, "task_options": options})


def test_tasks_options_and_studies_are_sections(write, report, make_document, make_run, claims):
    write("a.json", make_document(make_run(), of_task(make_run(), "digits"), of_task(make_run(), "digits", size=2)))
    write("b.json", make_document(make_run()), part_of="figure-3.2")
    write("c.json", make_document(make_run("adam")), claims=claims[:2])
    sections = report().sections
    assert [section.title for section in sections] == [
        "curves-autoencoder",
        "digits",
        "digits size=2",
        "figure-3.2: curves-autoencoder",
    ]
    assert [run.label for run in sections[-1].document.runs] == ["sgd", "adam"]


def test_a_section_says_what_was_counted_once_and_what_was_renamed(write, report, make_document, make_run):
    other = make_run()
    other.optimizer.hyperparameters["lr"] = 1.0
    write("a.json", make_document(make_run(), make_run("adam")))
    write("b.json", make_document(make_run("adam"), other))
    (section,) = report().sections
    assert [remark.split()[:2] for remark in section.remarks] == [["1", "run"], ["The", "label"]]


def test_equal_claims_are_one_and_others_stay(write, report, make_document, make_run, claims):
    write("a.json", make_document(make_run()), claims=claims)
    write("b.json", make_document(make_run(seed=1)), claims=[claims[0], {**claims[1], "verdict": "inconclusive"}])
    assert [claim.verdict for claim in report().claims] == [
        "reproduced",
        "contradicted",
        "not tested",
        "inconclusive",
    ]


def test_environments_are_listed_with_the_files_that_name_them(write, report, make_document, make_run, tmp_path):
    here = make_document(make_run())
    there = make_document(make_run("adam")).model_copy(deep=True)
    there.environment.cores = 64
    moved = there.environment.model_copy(update={"cores": 8})
    merged = make_document(make_run("kfac").model_copy(update={"environment": moved}))
    paths = [write("here.json", here), write("there.json", there), write("merged.json", merged)]
    found = report(*paths).environments
    assert [(one.record.cores, one.sources) for one in found] == [(2, ["here"]), (64, ["there"]), (8, ["merged"])]


def test_the_commands_that_made_a_section_are_shown_once_and_a_setting_too(
    write, report, make_document, make_run, fisher_error
):
    def called(document, command, called_from="shell"):
        changed = document.environment.model_copy(update={"called_from": called_from, "command": command})
        return document.model_copy(update={"environment": changed})

    compared = "ngbench compare <digits> -o 'sgd,kfac'"
    write("a.json", called(make_document(make_run("sgd")), compared))
    write("b.json", called(make_document(make_run("kfac")), compared))
    write("c.json", called(make_document(make_run("adam")), None, "Python"))
    write("d.json", make_document(make_run("old")))
    found = report()
    (section,) = found.sections
    assert [(fact.text, fact.typed) for fact in section.calls] == [(compared, True), ("a call from Python", False)]
    assert len(found.environments) == 1
    page = html.render(report_blocks(found), title="x")
    assert "<code>ngbench compare &lt;digits&gt; -o &#39;sgd,kfac&#39;</code>" in page
    assert f"- Made by: `{compared}`" in markdown.render(report_blocks(found))


def test_fisher_errors_join_the_section_of_their_task(write, report, make_document, make_run, fisher_error, tmp_path):
    write(
        "a.json",
        make_document(
            make_run(seed=0),
            make_run(seed=1).model_copy(update={"fisher_errors": [FisherErrorRecord(**fisher_error())]}),
        ),
    )
    write("b.json", make_document(), fisher_errors=[{**fisher_error("conv"), "task": "curves-autoencoder"}])
    write("c.json", make_document(), fisher_errors=[{**fisher_error(), "task": "digits"}])
    write("d.json", make_document(), fisher_errors=[fisher_error()])
    curves, digits, unknown = report().sections
    assert headings(curves) == ["layer 5, sgd, seed 1", "layer conv"]
    assert (digits.title, digits.document, len(digits.fisher_errors)) == ("digits", None, 1)
    assert unknown.title == tmp_path.name


def test_a_fisher_error_that_is_found_twice_is_shown_once_and_another_of_its_layer_is_told_from_it(
    write, report, make_document, make_run, fisher_error
):
    other = fisher_error()
    other["steps"] = [1, 2, 3]
    write("a.json", make_document(make_run()), fisher_errors=[fisher_error()])
    write("b.json", make_document(make_run("adam")), fisher_errors=[fisher_error()])
    write("c.json", make_document(make_run("kfac")), fisher_errors=[other])
    (section,) = report().sections
    assert headings(section) == ["layer 5", "layer 5, c"]


def test_a_run_that_only_measured_fisher_errors_is_no_arm(write, report, make_document, make_run, fisher_error):
    measuring = make_run(epochs=0).model_copy(
        update={
            "fisher_errors": [FisherErrorRecord(**{**fisher_error(at), "layer_name": f"encoder.{at}"}) for at in (1, 2)]
        }
    )
    write("a.json", make_document(make_run(), measuring))
    write("b.json", make_document(measuring.model_copy(update={"task": "digits"})))
    write("c.json", make_document(measuring))
    curves, digits = report().sections
    assert [run.status for run in curves.document.runs] == ["done"]
    assert digits.document is None
    assert headings(curves) == ["layer 1 (encoder.1), sgd, seed 0", "layer 2 (encoder.2), sgd, seed 0"]
    assert digits.fisher_errors[0].conditions.startswith("cpu (Example CPU) · float32")
