"""Hostile text stays text, in each of the places where it goes."""

from __future__ import annotations

import doctest
import re
from html.parser import HTMLParser

import pytest

from ngbench import escaping
from ngbench.escaping import WorkflowLog, figure, markdown, markdown_code, terminal, workflow_command

HOSTILE = (
    "k\n::error file=x::injected",
    "::error::first",
    "\r\n  ::add-mask::a",
    "##[error]injected",
    "[bold red]x[/nope]",
    "[/]",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\u202edesrever",
    "\u2028next",
    "a|b",
    "<img src=x onerror=alert(1)>",
    "<!-- gone",
    "[x](javascript:alert)",
    "![x](https://example.org/pixel.png)",
    "<https://example.org>",
    "https://example.org www.example.org",
    "@somebody #12 GH-12",
    "`code` ``more``",
    "**bold** __bold__ ~~gone~~",
    "# heading",
    "- item",
    "$x^$ \\frac",
    "&lt; &#64;user",
    "half \ud800 pair",
    "x" * 200_000,
    "",
    " ",
)


def test_the_examples_hold() -> None:
    assert doctest.testmod(escaping).failed == 0


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_for_a_terminal_moves_or_colours_anything(text: str) -> None:
    shown = terminal(text)
    assert shown.isprintable()
    assert len(shown) <= 4000
    shown.encode("utf-8")


@pytest.mark.parametrize(
    "text", ["kfac:damping=0.01,lr=0.3", "Bézier", "λ=0.1 — 5 % ± 2", "क्‍ष", "an error: see (a), 'b'"]
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert terminal(text) == text
    assert markdown(text) == text
    assert markdown_code(text) == f"`{text}`"
    assert figure(text) == text
    assert WorkflowLog().passed(f"{text}\n") == f"{text}\n"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.append(tag)

    def handle_comment(self, data: str) -> None:
        self.found.append(f"comment {data}")


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_markdown_is_markup(text: str) -> None:
    shown = markdown(text)
    assert "\n" not in shown
    parser = _Tags()
    parser.feed(shown)
    parser.close()
    assert parser.found == []
    bare = re.sub(r"\\[\\`*\[\]|~$_#=+-]", "", shown)
    assert not re.search(r"[`*\[\]<>|~$]", bare)
    assert not re.search(r"@\w|#\d|://|www\.", bare.replace("&#8203;", "\0"))


@pytest.mark.parametrize("text", HOSTILE)
def test_code_in_markdown_ends_where_it_should(text: str) -> None:
    shown = markdown_code(text)
    fence = re.match("`+", shown)
    assert fence is not None
    assert shown.endswith(fence[0])
    assert fence[0] not in re.findall("`+", shown[len(fence[0]) : -len(fence[0])])
    assert "\n" not in shown


@pytest.mark.parametrize("text", HOSTILE)
def test_matplotlib_draws_it_as_text(text: str) -> None:
    from matplotlib.cbook import is_math_text

    shown = figure(text)
    assert not is_math_text(shown)
    assert len(shown.replace("\\$", "$")) <= 1000


def _commands(text: str) -> list[str]:
    """The lines that a runner would take for commands, by its own rules."""
    lines = re.split(r"\r\n|\r|\n", text)
    return [line for line in lines if line.strip().lstrip("\ufeff\u200b").startswith("::") or "##[" in line]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("before", [[], ["\n"], ["label "], ["label ", "\n"], ["", "  "], ["\x1b[1m"]])
def test_no_line_of_a_log_is_a_command(text: str, before: list[str]) -> None:
    log = WorkflowLog()
    written = "".join(log.passed(part) for part in [*before, text, "\n", text[:100]])
    assert _commands(re.sub("\x1b\\[[0-9;]*m", "", written)) == []


def test_a_log_keeps_what_is_no_command() -> None:
    log = WorkflowLog()
    parts = ["c10::Error ", "::Error\n", "at::native:: ##\n", "a: b\n", " : :\n"]
    assert "".join(map(log.passed, parts)) == "".join(parts)


def test_a_json_document_in_a_log_means_the_same() -> None:
    import json

    content = {"##[error]": "::x\n::y"}
    written = WorkflowLog().passed(json.dumps(content, indent=1))
    assert "##[" not in written
    assert json.loads(written) == content


@pytest.mark.parametrize("text", HOSTILE)
def test_a_workflow_command_is_one_line_with_three_parts(text: str) -> None:
    line = workflow_command("error", text, text)
    assert not set("\r\n") & set(line)
    assert re.fullmatch(r"::error title=[^:,\r\n]*::.*", line, re.DOTALL)
