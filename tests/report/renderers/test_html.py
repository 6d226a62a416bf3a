from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from ngbench.records.experiments import BudgetRecord
from ngbench.records.record import SampleRecord
from ngbench.report.page.contents import describe_report, report_blocks
from ngbench.report.page.record_files import read_sources
from ngbench.report.page.sections import gather
from ngbench.report.renderers import html

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)> {{version}} & more"
VOID = {"meta", "link", "br", "wbr", "img", "input"}


class Page(HTMLParser):
    """Elements with their attributes, and whether every one that opens closes in its place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def page(tmp_path):
    def page(title="Title", **options):
        report = gather(read_sources([tmp_path])[0])
        text = html.render(report_blocks(report, **options), title=title, lead=describe_report(report))
        return text, Page(text)

    return page


def data_of(text):
    return json.loads(re.search(r'id="report-data">(.*?)</script>', text, re.DOTALL)[1])


def test_a_page_is_well_formed_and_has_a_chart_for_every_entry_of_its_data(write, page, comparison, fisher_error):
    write("a.json", comparison, fisher_errors=[fisher_error()])
    text, parsed = page()
    charts = {figure["id"]: figure["data-chart"] for figure in parsed.all("figure") if "data-chart" in figure}
    assert charts == {"section-0-loss": "lines", "section-0-cost_by_phase": "bars", "section-0-fisher-error-0": "lines"}
    assert set(data_of(text)) == set(charts)


def test_tables_have_captions_and_headings_with_a_scope(write, page, comparison, claims, fisher_error):
    write("a.json", comparison, claims=claims, fisher_errors=[fisher_error()])
    _, parsed = page()
    tables, captions = parsed.all("table"), parsed.all("caption")
    assert len(tables) == len(captions) >= 6
    assert {heading["scope"] for heading in parsed.all("th")} == {"row", "col"}


def test_sentences_in_the_claims_table_may_break(write, page, comparison, claims):
    claim = "KFAC ends below SGD on every task, at every batch size that the study has, and after every epoch"
    observed = "2 of 3 hold; SGD below Adam (cifar10-64): 0.8028, 0.4731"
    write("a.json", comparison, claims=[{**claims[0], "claim": claim, "observed": observed}])
    text, _ = page()
    assert f'<td class="left wrap prose">{claim}</td>' in text
    assert f'<td class="left wrap">{observed}</td>' in text


def test_what_a_record_says_stays_text(write, page, make_document, make_run, fisher_error):
    run = make_run(HOSTILE).model_copy(update={"task": HOSTILE, "task_options": {HOSTILE: HOSTILE}})
    run.data.description = run.data.name = HOSTILE
    run.status, run.message = "failed", HOSTILE
    # Half of a surrogate pair is valid JSON and has no encoding.
    run.optimizer.hyperparameters = {HOSTILE: "\ud800"}
    claim = {"study": HOSTILE, "claim": HOSTILE, "verdict": "reproduced", "observed": HOSTILE}
    error = {**fisher_error(HOSTILE), "approximations": {HOSTILE: fisher_error()["approximations"]["kfac"]}}
    write("a.json", make_document(run), claims=[claim], fisher_errors=[error])
    text, parsed = page(title=HOSTILE)
    assert len(parsed.all("script")) == 2
    assert parsed.all("img") == []
    assert "{{version}}" in text
    text.encode("utf-8")
    assert any(HOSTILE in said for said in parsed.texts)


def test_a_run_that_stopped_early_is_told_from_one_that_ran_all_its_epochs(write, page, make_document, make_run):
    early = make_run("kfac", epochs=7).model_copy(update={"budget": BudgetRecord(epochs=9, early_stopping=1)})
    write("a.json", make_document(make_run(), early))
    text, parsed = page()
    assert "kfac stopped early after 7 of 9 epochs: 1 epoch without a new lowest training loss." in parsed.texts
    # With the sign of a run that did what was asked.
    assert re.search(r'class="good"><span[^>]*>✓</span>&nbsp;stopped early<', text)


def test_the_page_refers_to_nothing_outside(write, page, comparison):
    write("a.json", comparison)
    text, parsed = page()
    for _, attributes in parsed.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert not re.search(r"@import|url\((?!#\$)", text)
    policy = next(one["content"] for one in parsed.all("meta") if "http-equiv" in one)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")


def test_a_page_is_the_same_every_time(write, page, comparison):
    write("a.json", comparison)
    assert page()[0] == page()[0]


def test_contents_and_overview_name_the_sections(write, page, make_document, make_run, claims, tmp_path):
    write("a.json", make_document(make_run(), make_run().model_copy(update={"task": "digits"})), claims=claims)
    _, parsed = page()
    targets = {attributes["id"] for _, attributes in parsed.elements if "id" in attributes}
    links = [link["href"][1:] for link in parsed.all("a") if link["href"].startswith("#")]
    # The table of the sections, which follows the list of contents, leads to them.
    assert links == ["content", "claims", "environment", "section-0", "section-1"]
    assert set(links) <= targets
    assert describe_report(gather(read_sources([tmp_path])[0])) == "2 sections · 2 arms · 2 runs · 3 claims"


def test_one_section_is_in_the_contents_itself(write, page, comparison):
    write("a.json", comparison)
    _, parsed = page()
    links = [link["href"][1:] for link in parsed.all("a") if link["href"].startswith("#")]
    assert links == ["content", "section-0", "environment"]


def test_reference_counts_where_it_exists_and_the_target_everywhere(write, page, make_document, make_run):
    adam = make_run("adam").model_copy(update={"task": "digits"})
    write("a.json", make_document(make_run(), make_run("kfac"), adam))
    text, _ = page(reference="kfac", target_loss=0.125)
    rows = [re.sub(r"<[^>]*>", " ", row).split() for row in re.findall(r"<tr>.*?</tr>", text)]
    assert any(row[0] == "kfac" and "reference" in row for row in rows)
    assert not any(row[0] == "sgd" and "reference" in row for row in rows if row)
    assert text.count("epochs<br>to 0.125") == 2


def test_warnings_and_remarks_are_shown(write, page, make_document, make_run):
    write("a.json", make_document(make_run(origin="stand-in")))
    write("b.json", make_document(make_run(origin="stand-in")))
    text, _ = page()
    assert "The data are a stand-in for CURVES" in text
    assert '<span class="stand-in">STAND-IN</span>' in text
    assert "1 run was given twice and counted once." in text


def test_samples_are_inside_and_a_missing_one_is_named(write, page, make_document, make_run, png, tmp_path):
    (tmp_path / "one.png").write_bytes(png)
    samples = [{"epoch": 1, "path": "one.png"}, {"epoch": 2, "path": "two<.png"}]
    write(
        "a.json",
        make_document(make_run().model_copy(update={"samples": [SampleRecord(**sample) for sample in samples]})),
    )
    text, parsed = page()
    (image,) = parsed.all("img")
    assert image["src"].startswith("data:image/png;base64,")
    assert (image["width"], image["height"], image["alt"]) == ("8", "4", "Samples after epoch 1")
    assert "There is no image" in text
    assert "two&lt;.png" in text


def test_runs_without_epochs_and_phases_have_tables_only(write, page, make_document, make_run):
    write("a.json", make_document(make_run(epochs=0).model_copy(update={"status": "failed", "message": "no"})))
    text, parsed = page()
    assert data_of(text) == {}
    assert "data-chart" not in "".join(str(one) for one in parsed.elements)
    assert "✗" in text
