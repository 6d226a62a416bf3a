"""What the README says runs."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from ngbench import cli
from ngbench.plugins import registry

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def _blocks(language: str) -> list[str]:
    return [text for found, text in BLOCKS if found == language]


def _python(part: str) -> str:
    (found,) = [text for text in _blocks("python") if part in text]
    return found


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 150


def test_the_picture_is_small():
    pictures = [ROOT / path for path in re.findall(r"!\[[^]]+\]\(([^)]+)\)", TEXT)]
    assert pictures
    assert sum(picture.stat().st_size for picture in pictures) < 60_000


def test_the_table_names_every_command_and_no_other():
    rows = [row for row in TEXT.splitlines() if row.startswith("| `ngbench ")]
    assert sorted(row.split("`")[1].split()[1] for row in rows) == sorted(cli.COMMANDS)


def _shape(text: str) -> list[str]:
    """The sentences without what differs between runs: numbers with their units, and which arms come where."""
    joined = " ".join(text.split())
    # A short run has too few refreshes of the curvature, and other machines are less busy.
    joined = re.sub(r"as the warnings say: [^.]*one seed", "as the warnings say: CAVEATS", joined)
    joined = re.sub(r"\b(sgd|adam|kfac)\b", "ARM", joined)
    joined = re.sub(r"\d[\d.,]*\d|\d", "N", joined)
    joined = re.sub(r"N epochs?", "N epochs", joined)
    joined = re.sub(r"N (µs|ms|s|min)( N s)?\b", "DURATION", joined)
    joined = re.sub(r"N (B|[kKMG]i?B)\b", "BYTES", joined)
    joined = re.sub(r"N(e-N)? ± (N(e-N)?|—)", "ESTIMATE", joined)
    # An arm that finished no epoch in the shared time has no loss there, as a slow one in a short run.
    joined = re.sub(r"ARM has N((, | and )ARM has N)*", "ARMS have N", joined)
    return re.split(r"(?<=\.) (?=[A-Z])", joined)


def test_the_summary_has_the_sentences_that_the_first_command_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = shlex.split(_blocks("sh")[0].split("&&")[-1])[1:]
    assert cli.main([*command, "--set", "reduction=4", "--set", "examples=600", "--epochs", "8", "--quiet"]) == 0
    printed = capsys.readouterr().out.split("Summary\n")[1]
    (shown,) = _blocks("text")
    assert shown.splitlines()[0] == "Summary"
    assert _shape(shown.split("Summary\n")[1]) == _shape(printed)


def test_the_files_of_an_optimizer_and_a_task_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("my_opt.py", "my_task.py"):
        Path(name).write_text(_python(f"# {name}"))
    (lines,) = [text for text in _blocks("sh") if "train my_task.py" in text]
    for line in lines.splitlines():
        shortened = ["--set", "examples=300", "--set", "reduction=4"] if "curves" in line else []
        assert cli.main([*shlex.split(line)[1:], *shortened, "--steps", "2", "--quiet"]) == 0


def test_the_example_in_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(_python("ngbench.compare("), "example", "exec"), names)
    assert "has the lowest training loss" in capsys.readouterr().out
    assert names["found"].figure().axes[0].lines
    assert [run.status for run in names["found"].runs] == ["done", "done"]


@pytest.mark.parametrize("line", [line for text in _blocks("sh") for line in text.splitlines() if "ngbench" in line])
def test_commands_and_their_options_exist(line):
    for words in (shlex.split(part) for part in line.split("&&") if re.search(r"(^|/)ngbench ", part.strip())):
        parameters = cli.load_command(words[1]).params
        known = {flag for parameter in parameters for flag in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known


def test_named_optimizers_have_the_hyperparameters_that_are_shown():
    assert {"curvature_interval", "inverse_interval"} <= {p.name for p in registry.optimizer("kfac").parameters}


def test_the_script_of_continuous_integration_runs_the_test_command():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    extraction = re.search(r"command=(\$\(awk .*?README\.md\))", script, re.DOTALL)
    assert extraction is not None
    found = subprocess.run(
        ["bash", "-c", f'printf "%s" "{extraction[1]}"'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == _blocks("sh")[1].strip()
    assert "pytest" in found.stdout
