"""Each kind of record shows its own quantities in every output, and what is best in it by the main one."""

from __future__ import annotations

import io
import json
import re
import shutil
from html import unescape
from pathlib import Path

import pytest
from rich.console import Console

from ngbench.records.documents import dump, load_document
from ngbench.records.gate import check
from ngbench.records.record import Document
from ngbench.records.thresholds import parse_threshold
from ngbench.report import headline, view
from ngbench.report.page.contents import describe_report, report_blocks
from ngbench.report.page.record_files import read_sources
from ngbench.report.page.sections import gather
from ngbench.report.renderers import html, markdown, terminal
from tests.report.conftest import build_document, build_png, build_run
from tests.report.views.test_gan import document as gan_document
from tests.report.views.test_gan import gan_run

FILES = Path(__file__).parents[1] / "records" / "data" / "version-1"
SHOWN = {
    "train": ["final train loss", "Cost per update"],
    "compare": ["final train loss", "step vs reference"],
    "gan": ["classifier-FID", "critic per step", "generator loss"],
    "fisher-error": ["Error 1 mean", "Fisher error of layer"],
    "tune": ["better quartile", "importance", "Cost of the search"],
    "study": ["scale", "source", "tolerance", "observed"],
    "check": ["baseline", "allowed", "No regression"],
}
"""Words of each kind, by the command whose file it is; those of a heading may stand on two lines."""


def read(name: str) -> Document:
    """What the command wrote."""
    if name != "check":
        return load_document(FILES / f"{name}.json")
    run = load_document(FILES / "compare.json")
    return run.model_copy(update={"runs": [], "gate": check(run, run, [parse_threshold("step_time:5%")], floor=0.0)})


def outputs(blocks) -> dict[str, str]:
    """What a terminal, a Markdown file and a page show, without the breaks of lines and the markup of cells."""
    console = Console(width=400, file=io.StringIO())
    terminal.show(blocks, console)
    page = html.render(blocks, title="t")
    body = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    texts = {
        "terminal": console.file.getvalue(),
        "Markdown": markdown.render(blocks),
        "page": unescape(re.sub(r"<[^>]*>", " ", body)),
    }
    return {name: re.sub(r"[\s|]+", " ", text).lower() for name, text in texts.items()}


def all_in(words: str, text: str) -> bool:
    """Whether the words are there: in a heading of the terminal's tables, other headings stand between them."""
    return words.lower() in text or all(word in text.split() for word in words.lower().split())


@pytest.mark.parametrize("name", SHOWN)
def test_the_file_of_each_command_shows_its_kind_s_quantities_in_every_output(name: str) -> None:
    blocks = view(read(name))
    for output, text in outputs(blocks).items():
        assert [words for words in SHOWN[name] if not all_in(words, text)] == [], output


def test_gans_are_ranked_by_their_frechet_distance_and_not_by_a_loss_of_the_generator(tmp_path: Path) -> None:
    adam, kfac = gan_run("adam", [25.0, 20.0], metric="fid"), gan_run("kfac3", [12.0, 10.0], metric="fid")
    adam.history.train_loss, kfac.history.train_loss = [-4.0, -5.0], [1.0, 7.0]
    document = gan_document(adam, kfac)
    assert headline(document) == "lowest FID 10.0 (kfac3)"
    diverged = adam.model_copy(update={"status": "diverged", "message": "its loss is not finite."})
    shown = headline(failed := gan_document(diverged, kfac))
    assert shown.endswith("(kfac3); adam diverged")
    for output, text in outputs(view(failed)).items():
        assert "adam diverged with seed 0: its loss is not finite." in text, output
    for output, text in outputs(view(document)).items():
        assert "20.0" in text, output
        assert "10.0" in text, output
        assert "train loss" not in text, output
    # Of several sections, the overview names the best of each by its own quantity, in its direction.
    other = build_document(build_run("sgd", rate=0.9), build_run("kfac", refresh_every=10, rate=0.7))
    for name, found in (("gan", document), ("runs", other)):
        (tmp_path / f"{name}.json").write_text(json.dumps(found.model_dump(mode="json")))
    blocks = report_blocks(gather(read_sources([tmp_path])[0]))
    for output, text in outputs(blocks).items():
        assert "lowest fid 10.0 (kfac3)" in text, output
        assert re.search(r"lowest final train loss 0\.\d+ \(kfac\)", text), output


def test_a_search_names_the_best_in_the_direction_of_its_metric() -> None:
    document = load_document(FILES / "tune.json")
    assert document.search is not None
    (label, arm), *_ = document.search.arms.items()
    other = arm.model_copy(update={"score": arm.score + 1.0})
    arms = {label: arm, "other": other}
    lowest = document.model_copy(update={"search": document.search.model_copy(update={"arms": arms})})
    assert headline(lowest).startswith("lowest")
    assert headline(lowest).endswith(f"({label})")
    turned = lowest.search.model_copy(update={"direction": "maximize", "metric": "metric.accuracy"})
    highest = headline(lowest.model_copy(update={"search": turned}))
    assert highest.startswith("highest accuracy")
    assert highest.endswith("(other)")


def test_a_page_of_a_directory_with_everything_shows_each_kind_s_tables_and_figures(tmp_path: Path) -> None:
    for name in ("compare", "gan", "fisher-error", "tune", "check"):
        (tmp_path / f"{name}.json").write_text(dump(read(name)))
    (tmp_path / "mine").mkdir()
    shutil.copy(FILES / "study.json", tmp_path / "mine")
    (tmp_path / "mine" / "figure.png").write_bytes(build_png(40, 20))
    (tmp_path / "samples").mkdir()
    for sample in (one for run in load_document(FILES / "gan.json").runs for one in run.samples):
        (tmp_path / str(sample.path)).parent.mkdir(exist_ok=True)
        (tmp_path / str(sample.path)).write_bytes(build_png())
    sources, errors = read_sources([tmp_path])
    assert errors == []
    report = gather(sources)
    blocks = report_blocks(report)
    for output, text in outputs(blocks).items():
        for name, words in SHOWN.items():
            if name not in ("train", "fisher-error"):
                assert [one for one in words if not all_in(one, text)] == [], (output, name)
        assert "fisher error: layer" in text, output
    page = html.render(blocks, title="Everything", lead=describe_report(report))
    charts = set(re.findall(r'<figure class="chart" id="section-\d+-([^"]*)"', page))
    assert {"loss", "cost_by_phase", "classifier_fid", "losses", "cost_by_player", "fisher-error-0"} <= charts
    images = re.findall(r"<img[^>]*>", page)
    assert any('width="40"' in image for image in images)
    assert any('width="8"' in image for image in images)

    file = tmp_path / "page.md"
    text = markdown.render(blocks, title="Everything", file=file)
    linked = {Path(target).name for target in re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text)}
    assert {"loss_by_epoch.png", "classifier_fid_by_step.png", "cost_by_player.png", "fisher-error-0.png"} <= linked
    assert all((tmp_path / target).is_file() for target in re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text))


def test_nothing_of_a_page_is_wider_than_its_window() -> None:
    """What can be told without a browser: tables scroll in a box of their own, pictures shrink, nothing is of a
    width that a narrow window has not."""
    page = html.render(view(build_document(build_run("sgd"), build_run("kfac", refresh_every=10))), title="t")
    assert page.count("<table") == len(re.findall(r'<div class="scroll"[^>]*>\s*<table', page))
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert re.search(r"\.scroll \{[^}]*overflow-x: auto", style[1])
    assert re.search(r"img \{[^}]*max-width: 100%", style[1])
    # Outside of boxes that scroll or wrap, only parts smaller than 400 pixels have a width.
    fixed = re.findall(r"(?<![-\w])(?:min-)?width: ([\d.]+)(rem|px)", style[1])
    assert all(float(size) * (16 if unit == "rem" else 1) < 400 for size, unit in fixed)
