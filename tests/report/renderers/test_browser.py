"""The page in a real browser: nothing complains, everything is drawn, and what it shows is what the records say."""

from __future__ import annotations

import base64
import math
from pathlib import Path

import pytest

from ngbench.records.quantities import ArmRun
from ngbench.records.record import SampleRecord
from ngbench.report.bands import band_of
from ngbench.report.page.contents import report_blocks
from ngbench.report.page.record_files import read_sources
from ngbench.report.page.sections import gather
from ngbench.report.renderers import html

LOSSES = "#section-0-loss"
COSTS = "#section-0-cost_by_phase"
FISHER = "#section-0-fisher-error-0"


@pytest.fixture
def page(write, comparison, make_run, fisher_error, claims, png, tmp_path) -> Path:
    samples = [SampleRecord(epoch=1, png=base64.b64encode(png).decode())]
    comparison.runs[0] = comparison.runs[0].model_copy(update={"samples": samples})
    label = "kfac:damping=0.003,lr=0.1,momentum=0.9,curvature_interval=100"
    comparison.runs.append(make_run(label, refresh_every=20, rate=0.8))
    write("a.json", comparison, fisher_errors=[fisher_error()], claims=claims, part_of="figure-3.2")
    write("b.json", comparison.model_copy(update={"runs": [make_run().model_copy(update={"task": "digits"})]}))
    path = tmp_path / "report.html"
    sources, _ = read_sources([tmp_path / "a.json", tmp_path / "b.json"])
    path.write_text(html.render(report_blocks(gather(sources)), title="Report"), encoding="utf-8")
    return path


def view(browser, chart):
    return browser.value(f"document.querySelector('{chart}').dataset.view")


def drawn(browser, chart):
    return int(browser.value(f"document.querySelector('{chart}').dataset.drawn"))


def press_radio(browser, chart, value):
    browser.value(f"document.querySelector('{chart} input[value={value}]').click()")


def test_the_browser_notices_what_a_page_does_wrong(browser, tmp_path):
    path = tmp_path / "wrong.html"
    path.write_text("<script>console.error('first')</script><script>throw Error('second')</script><img src='gone.png'>")
    browser.open(path)
    assert [word in "".join(browser.problems) for word in ("first", "second", "ERR_FILE_NOT_FOUND")] == [True] * 3
    assert any(url.endswith("gone.png") for url in browser.requests)


@pytest.mark.parametrize(("width", "dark"), [(1100, False), (1100, True), (390, False)])
def test_everything_is_drawn_and_nothing_complains(browser, page, width, dark):
    browser.open(page, width=width, dark=dark)
    assert browser.problems == []
    root = browser.value("({...document.documentElement.dataset})")
    assert root == {"errors": "0", "report": "drawn"}
    charts = browser.value("[...document.querySelectorAll('[data-chart]')].map((one) => Number(one.dataset.drawn))")
    # Two arms and a failed seed of one of them, and a third arm; phases; approximations; the other section.
    assert charts == [4, 3 + 1 + 2 * 8, 2, 1, 4]
    assert browser.value("[...document.images].every((one) => one.complete && one.naturalWidth === 8)")
    assert [url for url in browser.requests if not url.startswith("data:")] == [page.as_uri()]
    # Tables scroll in their own regions, so the page never does.
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    # A picture with curves in it has more than background: its strokes have places.
    boxes = browser.value("[...document.querySelectorAll('.curve')].map((one) => one.getBBox().width)")
    assert all(box > 50 for box in boxes)


def test_the_pointer_reads_the_values_of_the_records(browser, page, comparison):
    browser.open(page)
    browser.move(f"{LOSSES} .plot > svg", 0.5)
    shown = browser.value(f"document.querySelector('{LOSSES} .readout').innerText")
    epoch = int(shown.split("\n")[0].removeprefix("epoch "))
    band = band_of([*map(ArmRun, comparison.runs[:2])], "training_loss")
    at = band.x["epoch"].index(epoch)
    for value in (band.mean[at], band.low[at], band.high[at]):
        assert f"{value:.4f}" in shown
    # The failed seed ended in its third epoch, and what has no value there is not read.
    assert "diverged" not in shown


def test_keys_walk_along_the_curves_and_are_spoken(browser, page, comparison):
    browser.open(page)
    browser.value(f"document.querySelector('{LOSSES} .plot').focus()")
    spoken = f"document.querySelector('{LOSSES} [aria-live]').textContent"
    said = []
    for key in ("ArrowRight", "ArrowRight", "End", "ArrowLeft"):
        browser.press(key)
        said.append(browser.value(spoken))
    assert [text.split(":")[0] for text in said] == ["epoch 1", "epoch 2", "epoch 10", "epoch 9"]
    failed = comparison.runs[3].history.train_loss[1]
    assert f"kfac, seed 1 diverged {failed:.4f}" in said[1]
    browser.press("Escape")
    assert browser.value(f"document.querySelector('{LOSSES} .readout')") is None


def test_legend_takes_arms_out_by_keyboard(browser, page):
    browser.open(page)
    key = f"document.querySelectorAll('{LOSSES} .key')[1]"
    browser.value(f"{key}.focus()")
    faded = browser.value(f"document.querySelectorAll('{LOSSES} .faded').length")
    assert faded == 2
    for pressed, curves, button in (("false", 2, " "), ("true", 4, "Enter")):
        browser.press(button)
        assert (browser.value(f"{key}.getAttribute('aria-pressed')"), drawn(browser, LOSSES)) == (pressed, curves)
    browser.value(f"document.querySelectorAll('{LOSSES} .key').forEach((one) => one.click())")
    assert drawn(browser, LOSSES) == 0
    assert "Nothing is selected" in browser.value(f"document.querySelector('{LOSSES} svg text').textContent")
    assert browser.problems == []


def test_axes_scales_and_measures_can_be_chosen(browser, page):
    browser.open(page)
    assert view(browser, LOSSES) == "training_loss epoch linear"
    for value, expected in (
        ("step", "training_loss step linear"),
        ("time", "training_loss time linear"),
        ("validation_loss", "validation_loss time linear"),
        ("log", "validation_loss time log"),
        ("linear", "validation_loss time linear"),
    ):
        press_radio(browser, LOSSES, value)
        assert view(browser, LOSSES) == expected
        assert drawn(browser, LOSSES) == 4
    assert view(browser, FISHER) == "error_1 step log"
    press_radio(browser, FISHER, "seconds")
    assert drawn(browser, FISHER) == 1
    assert "ms" in browser.value(f"document.querySelector('{FISHER} .title').textContent")
    assert browser.problems == []


def test_a_logarithmic_scale_places_values_by_their_logarithm(browser, page):
    browser.open(page)
    path = browser.value(f"document.querySelector('{FISHER} .curve').getAttribute('d')")
    points = [point.split(",")[1] for point in path[1:].split("L")]
    high, middle, low = map(float, points)
    assert (middle - high) / (low - high) == pytest.approx(math.log(0.5 / 0.4) / math.log(0.5 / 0.3), rel=1e-3)


def test_bars_show_time_and_share_and_leave_out_phases(browser, page):
    browser.open(page)
    widths = f"""[...document.querySelectorAll('{COSTS} .bar')].map((bar) =>
        [...bar.querySelectorAll('.part')].reduce((sum, part) => sum + part.width.baseVal.value, 0))"""
    sgd, kfac, _, _ = browser.value(widths)
    assert sgd < 0.8 * kfac
    press_radio(browser, COSTS, "share")
    sgd, kfac, _, _ = browser.value(widths)
    assert sgd == pytest.approx(kfac)
    before = drawn(browser, COSTS)
    browser.value(f"document.querySelector('{COSTS} .key').click()")
    assert drawn(browser, COSTS) == before - 3
    browser.move(f"{COSTS} .part", 0.5)
    assert "per update" in browser.value(f"document.querySelector('{COSTS} .says').textContent")


def test_theme_follows_the_system_until_the_reader_chooses(browser, page):
    background = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(255, 255, 255)", "rgb(18, 22, 28)"
    choose = """((theme) => {
        const list = document.getElementById('theme');
        list.value = theme;
        list.dispatchEvent(new Event('change'));
    })"""
    browser.open(page)
    assert browser.value(background) == light
    browser.value(f"{choose}('dark')")
    assert browser.value(background) == dark
    browser.open(page)
    assert browser.value(background) == dark
    browser.value(f"{choose}('auto')")
    assert browser.value(background) == light
    browser.open(page, dark=True)
    assert browser.value(background) == dark


_CONTRAST = """
(() => {
  const style = getComputedStyle(document.documentElement);
  const luminance = (name) => {
    const channels = style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/g).map((part) => parseInt(part, 16) / 255);
    const linear = channels.map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const curves = [...Array(9).keys()].map((at) => `--c${at}`);
  const inks = ["--text", "--soft", "--link", "--good", "--bad", "--doubt", ...curves];
  return inks.map((ink) => [ink, contrast(ink, "--page")]).concat([["raised", contrast("--text", "--raised")]]);
})()
"""


@pytest.mark.parametrize("dark", [False, True])
def test_every_ink_can_be_read_on_the_page(browser, page, dark):
    browser.open(page, dark=dark)
    # Phases write their names in the page's colour on their own, so that curves' colours carry text as well.
    assert [ink for ink, contrast in browser.value(_CONTRAST) if contrast < 4.5] == []


def test_controls_have_names_and_the_page_has_landmarks(browser, page):
    browser.open(page)
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    roles = {node["role"]["value"] for node in shown}
    assert {"main", "navigation", "table", "rowheader", "columnheader"} <= roles
    unnamed = [
        node["role"]["value"]
        for node in shown
        if node["role"]["value"] in ("button", "radio", "combobox", "region", "link", "img", "image")
        and not node.get("name", {}).get("value")
    ]
    assert unnamed == []
    label = browser.value(f"document.querySelector('{LOSSES} .plot').getAttribute('aria-label')")
    assert label.startswith("training loss by epoch, linear scale. sgd ends at 0.")


def test_on_paper_everything_is_open_and_light(browser, page, tmp_path):
    browser.open(page, dark=True)
    browser.value("""addEventListener('beforeprint', () => {
        window.opened = [...document.querySelectorAll('details')].map((one) => one.open);
    })""")
    paper = browser.pdf(tmp_path / "page.pdf")
    assert paper.read_bytes().startswith(b"%PDF")
    opened = browser.value("window.opened")
    assert len(opened) == 6
    assert all(opened)
    assert browser.value("[...document.querySelectorAll('details')].some((one) => one.open)") is False
    browser.send(
        "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.value("getComputedStyle(document.querySelector('.controls')).display") == "none"
    browser.send("Emulation.setEmulatedMedia", media="")
    assert browser.problems == []


def test_what_a_record_says_is_never_executed(browser, write, make_document, make_run, tmp_path):
    hostile = "</script><script>window.taken = 1</script><img src=x onerror='window.taken = 1'>"
    write("a.json", make_document(make_run(hostile), make_run(hostile, seed=1, diverge_at=2)))
    path = tmp_path / "hostile.html"
    path.write_text(
        html.render(report_blocks(gather(read_sources([tmp_path / "a.json"])[0])), title=hostile), encoding="utf-8"
    )
    browser.open(path)
    browser.move(f"{LOSSES} .plot > svg", 0.5)
    assert hostile in browser.value(f"document.querySelector('{LOSSES} .readout').innerText")
    assert browser.value("window.taken") is None
    assert browser.problems == []


def test_a_single_point_and_values_below_zero_are_drawn(browser, write, make_document, make_run, tmp_path):
    single, below = make_run(epochs=1), make_run("adam", epochs=3)
    single = single.model_copy(update={"task": "single"})
    below.history.train_loss = [0.0, -1.0, -2.0]
    below.history.validation_loss = [None, None, None]
    write("a.json", make_document(single, below))
    path = tmp_path / "edge.html"
    path.write_text(
        html.render(report_blocks(gather(read_sources([tmp_path / "a.json"])[0])), title="Edge"), encoding="utf-8"
    )
    browser.open(path)
    assert browser.problems == []
    assert browser.value("[...document.querySelectorAll('#section-0-loss .mark')].length") > 1
    assert view(browser, "#section-1-loss") == "training_loss epoch linear"
    assert browser.value("document.querySelector('#section-1-loss input[value=log]')") is None
    assert "NaN" not in browser.value("document.body.innerHTML")
