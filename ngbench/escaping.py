"""Text of others, made harmless for the place where it goes: one function a place.

Labels, names, messages and keys come from users, plugins, and records of somebody else. What they say is data: it never
begins a line, a link, a colour or a command of its own. What cannot be seen is spelled out (``\\x1b``), what is too
long for a reader is cut. HTML is escaped by the templates of :mod:`ngbench.report.renderers.html`.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = [
    "WorkflowLog",
    "figure",
    "markdown",
    "markdown_code",
    "terminal",
    "terminal_lines",
    "without_marks",
    "workflow_command",
]

_LONGEST = 4000
_LONGEST_IN_FIGURE = 1000
_JOINERS = "\u200c\u200d"
"""Unseen, but words of some languages and some emoji are made with them."""
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def terminal(text: str) -> str:
    """In one line, without control characters: nothing moves the cursor, sets a colour or reorders what is read.

    >>> print(terminal("kfac\\n\\x1b[31mworse\\x1b[0m"))
    kfac \\x1b[31mworse\\x1b[0m
    """
    return _shortened("".join(map(_visible, _in_one_line(text))), _LONGEST)


def terminal_lines(text: str) -> str:
    """As :func:`terminal`, with the line breaks that are ours."""
    return "\n".join(map(terminal, text.split("\n")))


def without_marks(text: str) -> str:
    """What a docstring says, without the marks of reStructuredText.

    >>> print(without_marks("As ``rank`` of :class:`~torch.nn.Linear` and :func:`ours <a.b>`, *not* `this`_."))
    As rank of Linear and ours, not this.
    """
    return _MARKS.sub(lambda found: found[found.lastgroup or 0], text)


_MARKS = re.compile(
    r"``(?P<code>.+?)``"
    r"|(?::[\w:+.-]+:)?`(?:~(?:[\w.]*\.)?(?P<short>\w+)|(?P<said>[^`<]+?) <[^`>]+>|(?P<text>[^`]+))`_{0,2}"
    r"|(?<![\w*])\*{1,2}(?P<stressed>[^\s*](?:[^*]*[^\s*])?)\*{1,2}(?![\w*])"
)


def markdown(text: str) -> str:
    """Plain words in GitHub's Markdown, in one line and in any cell: no HTML, link, image, mention, code or emphasis.

    >>> print(markdown("a|b <img src=x> [y](javascript:z) @user"))
    a\\|b &lt;img src=x&gt; \\[y\\](javascript:z) @&#8203;user
    """
    text = _MARKUP.sub(lambda found: _AS_ENTITY.get(found[0]) or f"\\{found[0]}", terminal(text).strip())
    # GitHub finds mentions, issues and addresses in what is left when the rest is read: escapes do not stop it there.
    return _ADDRESSES.sub(lambda found: f"{found[0]}{_NOTHING}", text)


_NOTHING = "&#8203;"
_AS_ENTITY = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_MARKUP = re.compile(
    r"[\\`*\[\]<>|~$]"
    r"|&(?=#?\w+;)"
    # Within a word they mean nothing, and names of hyper-parameters are full of them.
    r"|(?<![^\W_])_|_(?![^\W_])"
    # What would begin a heading, a list or a rule, where the text begins its line.
    r"|^[-+#=](?=[-+#=\s]|$)"
)
_ADDRESSES = re.compile(r"@(?=\w)|#(?=\d)|\bGH-(?=\d)|(?<=\w):(?=//)|\bwww(?=\.)", re.IGNORECASE)


def markdown_code(text: str) -> str:
    """A span of code in Markdown; not for cells of a table, which a ``|`` would end even there.

    >>> print(markdown_code("kfac"), markdown_code("a `b` c"))
    `kfac` `` a `b` c ``
    """
    shown = terminal(text).strip() or " "
    runs = {len(run) for run in re.findall("`+", shown)}
    fence = "`" * next(length for length in range(1, len(runs) + 2) if length not in runs)
    return f"{fence} {shown} {fence}" if runs else f"{fence}{shown}{fence}"


def figure(text: str) -> str:
    """Plain words in a drawing of matplotlib, which reads formulas between dollars."""
    return _shortened(terminal(text), _LONGEST_IN_FIGURE).replace("$", r"\$")


def workflow_command(level: str, title: str, message: str) -> str:
    """A workflow command of GitHub, such as an annotation; the one line of a log that is meant to be one."""
    return f"::{level} title={_percent(title, ':,')}::{_percent(message, '')}"


def _percent(text: str, also: str) -> str:
    for character in f"%\r\n{also}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


class WorkflowLog:
    """Keeps what is written to a stream from being a command, where the stream is the log of a workflow of GitHub.

    A line is one if ``::`` are its first characters, or if it holds ``##[``. Their middle is spelled as in JSON, which
    means the same in a JSON document.
    """

    def __init__(self) -> None:
        self._begun = False

    def passed(self, text: str) -> str:
        """What to write in place of ``text``, which goes on where the last one ended."""
        prefix = "" if not self._begun else "."
        end = re.split(r"[\r\n]", text)[-1]
        self._begun = bool(_BLANK.sub("", end)) or (self._begun and end == text)
        return _COMMAND.sub(_spelled, f"{prefix}{text}")[len(prefix) :]


_NO_WIDTH = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
"""What .NET passes over when it compares texts."""
_BLANK = re.compile(rf"\x1b\[[0-9;]*m|[^\S\r\n]|[{_NO_WIDTH}]")
_COMMAND = re.compile(rf"(?:^|(?<=[\r\n]))(?:{_BLANK.pattern})*:(?=[{_NO_WIDTH}]*:)|##\[")


def _spelled(found: re.Match[str]) -> str:
    return f"{found[0][:-1]}\\u{ord(found[0][-1]):04x}"


def _in_one_line(text: str) -> str:
    # Before anything else, so that a text of megabytes costs no more than what is shown of it.
    return re.sub(r"\s*[\r\n\v\f\u2028\u2029]+\s*|\t", " ", text[: 2 * _LONGEST])


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN or character in _JOINERS:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
