"""Tables of a page in a real browser: they fit, are sorted by keyboard, and can be read in either theme."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ngbench.report.page.contents import report_blocks
from ngbench.report.page.record_files import read_sources
from ngbench.report.page.sections import gather
from ngbench.report.renderers import html

WIDTHS = (400, 1280, 1920)


@pytest.fixture
def page(write, comparison, make_run, fisher_error, claims, tmp_path) -> Path:
    label = "kfac:damping=0.003,lr=0.1,momentum=0.9,curvature_interval=100"
    comparison.runs.append(make_run(label, refresh_every=20, rate=0.8))
    write("a.json", comparison, fisher_errors=[fisher_error()], claims=claims, part_of="figure-3.2")
    path = tmp_path / "report.html"
    sources, _ = read_sources([tmp_path / "a.json"])
    path.write_text(html.render(report_blocks(gather(sources)), title="Report"), encoding="utf-8")
    return path


_WIDE = """[...document.querySelectorAll('.scroll')]
    .filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.ariaLabel)"""
_CUT = """[...document.querySelectorAll('.scroll th, .scroll td, h1, h2, h3, li, figcaption, .note, .lead')]
    .filter((one) => one.clientWidth && one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent)"""


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_its_box(browser, page, width):
    browser.open(page, width=width)
    browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    assert browser.value(_CUT) == []
    wide = browser.value(_WIDE)
    if width > 1000:
        assert wide == []
    for name in wide:
        # It says so, and whoever has no pointer gets there too.
        box = f"document.querySelector('.scroll[aria-label={json.dumps(name)}]')"
        assert browser.value(f"getComputedStyle({box}).backgroundImage.startsWith('linear-gradient')")
        browser.value(f"{box}.focus(), {box}.scrollTo({{ left: 1e6, behavior: 'instant' }})")
        right = f"{box}.querySelector('tr').lastElementChild.getBoundingClientRect().right"
        assert browser.value(f"{right} <= innerWidth + 1 && document.activeElement === {box}")


FIRST = "document.querySelector('.scroll > table')"


def column(browser, table, at):
    return browser.value(f"[...{table}.tBodies[0].rows].map((row) => row.cells[{at}].textContent.trim())")


def test_a_table_is_sorted_by_keyboard_upwards_downwards_and_back(browser, page):
    browser.open(page)
    table = "[...document.querySelectorAll('.scroll > table')].find((one) => /loss/.test(one.tHead.textContent))"
    heads = browser.value(f"[...{table}.tHead.rows[0].cells].map((one) => one.textContent)")
    at = next(at for at, name in enumerate(heads) if "loss" in name)
    head = f"{table}.tHead.rows[0].cells[{at}]"
    before = column(browser, table, at)
    numbers = sorted((text for text in before if text[:1].isdigit()), key=lambda text: float(text.split()[0]))
    others = [text for text in before if not text[:1].isdigit()]
    assert len(set(numbers)) > 1
    assert browser.value(f"getComputedStyle({head}.querySelector('button'), '::after').content") == "none"
    browser.value(f"{head}.querySelector('button').focus()")
    for key, state, expected in (
        ("Enter", "ascending", numbers + others),
        (" ", "descending", numbers[::-1] + others),
        ("Enter", None, before),
    ):
        browser.press(key)
        assert (browser.value(f"{head}.getAttribute('aria-sort')"), column(browser, table, at)) == (state, expected)
    assert browser.problems == []


def test_units_and_uncertainties_are_ordered_by_what_they_mean(browser, page):
    # The script keeps its names to itself, so a table is made for it before it runs.
    cells = ["1 h 02 min", "9.5 ± 0.1 ms", "—", "2.00 KiB", "1 min 23 s", "1.50 µs", "reference", "3 MFLOP", "−2.5 %"]
    rows = "".join(f"<tr><th>row</th><td>{cell}</td></tr>" for cell in cells)
    table = f"<div class='scroll'><table><thead><tr><th>a<th>b</tr></thead><tbody>{rows}</tbody></table></div>"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace('<main id="content">', f'<main id="content">{table}', 1), encoding="utf-8")
    browser.open(page)
    browser.value("document.querySelectorAll('.sort')[1].click()")
    assert column(browser, FIRST, 1) == [cells[at] for at in (8, 5, 1, 6, 4, 3, 0, 7, 2)]


def test_tab_walks_through_the_page_in_the_order_of_reading(browser, page):
    browser.open(page)
    browser.value("document.querySelectorAll('details').forEach((one) => { one.open = false; })")
    stops = browser.value("document.querySelectorAll('a, select, summary, button, input, [tabindex]').length")
    seen, places = [], []
    for _ in range(stops):
        browser.press("Tab")
        name = "document.activeElement.tagName + ' ' + (document.activeElement.className || document.activeElement.id)"
        seen.append(browser.value(name))
        if seen[-1].startswith("BODY"):
            break
        places.append(browser.value("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
        assert browser.value(
            "getComputedStyle(document.activeElement).outlineStyle !== 'none' ||document.activeElement.type === 'radio'"
        )
    assert seen[0] == "A skip"
    assert places == sorted(places)
    assert {"BUTTON sort", "DIV scroll", "DIV plot", "SELECT theme"} <= set(seen)


_FAINT = """(() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = (text) => {
    const [r, g, b] = channels(text).map((one) => one / 255)
      .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      if (at.classList.contains("bar")) return null;
      const found = getComputedStyle(at).backgroundColor;
      if (channels(found)[3] !== 0) return found;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const behind = ground(node);
    if (!walker.currentNode.data.trim() || !node.getClientRects().length || !behind) continue;
    const style = getComputedStyle(node);
    const ink = luminance(node.ownerSVGElement ? style.fill : style.color);
    const [low, high] = [ink, luminance(behind)].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) < 4.5) faint.push(walker.currentNode.data);
  }
  return faint;
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_what_is_behind_it(browser, page, dark):
    browser.open(page, dark=dark)
    browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.value(_FAINT) == []
    browser.value("document.body.style.color = getComputedStyle(document.documentElement).getPropertyValue('--line')")
    assert browser.value(_FAINT) != []
