"""Every code block of the documentation runs, page by page, as a reader would run it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ngbench import cli
from ngbench.experiments import runs

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
README = ROOT / "README.md"
LINK = re.compile(r"\]\((?![a-z]+:)([^)#]*)(?:#([^)]*))?\)")
INSTALL = (
    "--quiet",
    "--no-index",
    "--no-deps",
    "--no-build-isolation",
    "--disable-pip-version-check",
    "--target",
    "site",
)


class Reader:
    """Runs blocks in an empty directory, in order."""

    def __init__(self, directory: Path, install_path: Callable[[Path], None]) -> None:
        self.directory = directory
        self.names: dict[str, Any] = {}
        self.install_path = install_path

    def _is_file(self, text: str) -> bool:
        """Whether the block begins with a path: then it is written there."""
        path = re.match(r"# (\S+\.(?:py|yaml))\n", text)
        if path is not None:
            target = self.directory / path[1]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return path is not None

    def python(self, text: str) -> None:
        """A block that begins with a path is a file, another runs after those before it."""
        if not self._is_file(text):
            exec(compile(text, "block", "exec"), self.names)

    def toml(self, text: str) -> None:
        """The project of the files so far, as if it were installed."""
        groups = tomllib.loads(text).get("project", {}).get("entry-points", {})
        if not groups:
            (self.directory / "pyproject.toml").write_text(text)
            return
        metadata = self.directory / "installed" / "page-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: page\nVersion: 1.0\n")
        lines = [
            line
            for group, points in groups.items()
            for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
        ]
        (metadata / "entry_points.txt").write_text("\n".join(lines))
        self.install_path(metadata.parent)

    def sh(self, text: str) -> None:
        """Commands, each of which must succeed."""
        for line in text.splitlines():
            program, *arguments = shlex.split(line)
            getattr(self, f"_{program}")(arguments)

    def _ngbench(self, arguments: list[str]) -> None:
        assert cli.main(arguments) == 0, arguments

    def _pip(self, arguments: list[str]) -> None:
        command, editable, path = arguments
        assert (command, editable) == ("install", "-e")
        source = path.removesuffix("[test]")
        subprocess.run([sys.executable, "-m", "pip", "install", *INSTALL, source], check=True)
        self.install_path(self.directory / "site")

    def _pytest(self, arguments: list[str]) -> None:
        environment = os.environ | {"PYTHONPATH": "site"}
        subprocess.run([sys.executable, "-m", "pytest", "-q", *arguments], check=True, env=environment)

    def text(self, text: str) -> None:
        """A tree of files, which is compared with the files by a test of its own."""

    def yaml(self, text: str) -> None:
        """A file, or a workflow, which ``test_workflow`` runs."""
        assert self._is_file(text) or re.match(r"# \S+\.yml\n", text)


@pytest.fixture(scope="module")
def data_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def reader(tmp_path: Path, data_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NGBENCH_DATA_DIR", str(data_directory))
    monkeypatch.syspath_prepend(str(tmp_path))
    before, threads = set(sys.modules), torch.get_num_threads()
    yield Reader(tmp_path, lambda path: monkeypatch.syspath_prepend(str(path)))
    torch.set_num_threads(threads)
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_its_blocks_run(page: Path, reader: Reader) -> None:
    for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        getattr(reader, language)(text)


def anchors_of(text: str) -> set[str]:
    """What the headings of a page are called in links to them, as GitHub names them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, README], ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        linked = page.parent / target if target else page
        assert linked.is_file(), target
        assert not anchor or anchor in anchors_of(linked.read_text(encoding="utf-8")), f"{target}#{anchor}"


def test_the_start_page_leads_to_every_page() -> None:
    start = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = [target for target, _ in LINK.findall(start)]
    assert sorted(linked) == sorted(["../README.md", *(page.name for page in PAGES if page.name != "README.md")])


def test_the_loop_trains(reader: Reader) -> None:
    blocks = BLOCK.findall((ROOT / "docs" / "training-loop.md").read_text(encoding="utf-8"))
    (_, model), (_, loop), *_ = blocks
    torch.manual_seed(0)
    reader.python(model)
    before = [parameter.detach().clone() for parameter in reader.names["model"].parameters()]
    reader.python(loop)
    after = reader.names["model"].parameters()
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_sentences_that_had_to_be_read_twice_are_gone() -> None:
    twice = (
        "which they have behind them",
        "gone on with",
        "goes on where it was",
        "a region for the difference of two measurements",
        "the machine's mood",
        "Beside what is above",
        "what is relied on",
        "Go on with what",
        "Write the package of a new plugin",
        "Only what is shown in full is imported",
        "and every so many",
    )
    texts = {page.name: page.read_text(encoding="utf-8") for page in [*PAGES, README]}
    for name, listed in cli.COMMANDS.items():
        command = cli.load_command(name)
        helps = [getattr(parameter, "help", None) or "" for parameter in command.params]
        texts[name] = " ".join([listed.summary, command.help, *helps])
    found = [(name, one) for name, text in texts.items() for one in twice if one in " ".join(text.split())]
    assert found == []


def _tables(text: str) -> dict[str, list[list[str]]]:
    """The tables of what a comparison prints, by their titles: each line's cells, the two of the heading first."""
    parts = (part.splitlines() for part in re.split(r"\n\s*\n", text))
    return {part[0].strip(): [re.split(r"\s{2,}", line.strip()) for line in part[1:]] for part in parts if part}


def test_the_sample_of_a_comparison_counts_what_is_counted(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its headings, rows, operations and states of optimizers are those of today; times are of another day."""
    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    (sample,) = [text for language, text in BLOCK.findall(page) if language == "text"]
    (command,) = re.findall(r"What `ngbench (compare [^`]*)` printed", page)
    workers_for = runs.workers_for
    monkeypatch.setattr(runs, "workers_for", lambda plan, **_: workers_for(plan, own_processes=False, fresh=False))
    monkeypatch.setenv("COLUMNS", "120")
    capsys.readouterr()
    assert cli.main([*shlex.split(command), "--set", "examples=600", "--steps", "1", "--no-output", "--quiet"]) == 0
    shown, printed = _tables(sample), _tables(capsys.readouterr().out)
    phases, predicted = "Cost per update: kfac", "Cost per update, measured and predicted"
    for title in (phases, "Cost", predicted):
        assert shown[title][:2] == printed[title][:2], title
        assert [row[0] for row in shown[title]] == [row[0] for row in printed[title]], title
    for title, counted in ((phases, [4]), ("Cost", [-1]), (predicted, [1, 3, 4, 5, 6])):
        rows = zip(shown[title][2:], printed[title][2:], strict=True)
        for there, here in rows:
            assert [there[at] for at in counted] == [here[at] for at in counted], title
