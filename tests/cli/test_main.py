from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from ngbench import __version__, cli
from ngbench import errors as errors_of_ngbench

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], distribute: Callable[..., None]) -> Run:
    """Runs the body of a command called ``act`` and returns the exit code, stdout and stderr."""

    def run(body: str, *arguments: str) -> tuple[int, str, str]:
        source = (
            f"import typer\nfrom ngbench import errors\ndef act(size: int = 1) -> None:\n    '''Act.'''\n    {body}\n"
        )
        module = types.ModuleType("ngbench.cli.acting")
        exec(source, module.__dict__)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.COMMANDS, "act", cli._Command("acting", "act", "Act out."))
        code = cli.main(["act", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_command_gets_its_options_and_ends_with_zero(run: Run) -> None:
    assert run("print(size + 1)", "--size", "2") == (0, "3\n", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("NgbenchError", 1),
        ("DataError", 2),
        ("ParameterError", 2),
        ("RegressionError", 3),
        ("NotComparableError", 4),
    ],
)
def test_an_error_is_one_sentence_and_its_documented_exit_code(run: Run, error: str, code: int) -> None:
    assert run(f"raise errors.{error}('size=1 is too small')") == (code, "", "Error: size=1 is too small\n")


def test_an_exit_code_passes_through(run: Run) -> None:
    assert run("raise typer.Exit(3)") == (3, "", "")


def test_an_unexpected_error_is_ours_and_says_what_to_report(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(errors_of_ngbench.TRACEBACK_VARIABLE, raising=False)
    code, _, errors = run("raise KeyError('x')")
    assert code == errors_of_ngbench.OUR_ERROR == 70
    assert errors.startswith("Error: unexpected KeyError at ngbench/cli/defaults.py:")
    assert errors.endswith(
        ": 'x' (an error of ngbench: please report this line with the output of ngbench env; "
        "NGBENCH_TRACEBACK=1 shows the traceback)\n"
    )
    assert "Traceback" not in errors


UNSPEAKABLE = {
    "raises": "{'__str__': lambda error: 1 / 0}",
    "exits": "{'__str__': lambda error: sys.exit()}",
    "is no text": "{'__str__': lambda error: 3}",
}


@pytest.mark.parametrize("traced", ["", "1"])
@pytest.mark.parametrize("base", ["Exception", "BaseException", "errors.DataError"])
@pytest.mark.parametrize("message", UNSPEAKABLE)
def test_an_error_that_cannot_say_what_it_is_has_a_name(
    run: Run, monkeypatch: pytest.MonkeyPatch, message: str, base: str, traced: str
) -> None:
    monkeypatch.setenv(errors_of_ngbench.TRACEBACK_VARIABLE, traced)
    code, _, errors = run(f"import sys; raise type('Mute', ({base},), {UNSPEAKABLE[message]})")
    assert code == (2 if base == "errors.DataError" else errors_of_ngbench.OUR_ERROR)
    assert "Mute" in errors.splitlines()[-1]
    assert ("Traceback" in errors) == bool(traced)


def test_the_traceback_is_printed_on_request(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(errors_of_ngbench.TRACEBACK_VARIABLE, "1")
    code, _, errors = run("raise errors.DataError('gone')")
    assert code == 2
    assert "Traceback" in errors
    assert errors.endswith("Error: gone\n")


def test_an_interruption_exits_with_one(run: Run) -> None:
    assert run("raise KeyboardInterrupt") == (1, "", "Interrupted.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lst"], "Error: No such command 'lst'"),
        (
            ["list", "foo"],
            "'foo' is not one of 'tasks', 'optimizers', 'approximations', 'studies', 'data' (see ngbench list --help)",
        ),
        (["list", "tasks", "--ful"], "No such option: --ful"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"ngbench {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_every_command_without_importing_it(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cli.COMMANDS, "absent", cli._Command("nowhere", "absent", "Is not imported."))
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "Is not imported." in shown
    assert {"train", "compare", "list", "schema", "env"} <= set(shown.split())


def test_help_of_a_command_shows_its_own_documentation(run: Run) -> None:
    code, shown, _ = run("pass", "--help")
    assert code == 0
    assert "ngbench act" in shown
    assert "--size" in shown


def test_a_reader_that_goes_away_ends_the_output_quietly(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ngbench", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    assert (process.wait(), errors) == (0, b"")
