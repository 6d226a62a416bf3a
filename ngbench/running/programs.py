"""Arms whose code is another one: that of another commit, or of another environment.

Each has a program of its own, a Python that finds its modules elsewhere. It plans and makes the runs there, by that
code's own rules, see :mod:`ngbench.running.serving`; what is told in between is JSON.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ngbench.errors import UsageError
from ngbench.records.command_line import command_line
from ngbench.records.documents import parse_run
from ngbench.records.provenance import EnvironmentRecord, PackageRecord
from ngbench.records.record import RunRecord
from ngbench.running.children import Child, Ended
from ngbench.running.failures import how_it_ended
from ngbench.running.lines import Lines
from ngbench.running.memory_kills import memory_kills
from ngbench.running.workers import ProcessWorker

__all__ = ["ArmRefused", "CodeSide", "Program", "ProgramWorker"]

_START = """
import json, runpy, sys
path = json.loads(sys.argv.pop())
sys.path[:] = path or [place for place in sys.path if place]
try:
    runpy.run_module("ngbench.running.serving", run_name="__main__")
except ImportError as error:
    print(json.dumps({"lacking": str(error)}), flush=True)
"""


@dataclass(frozen=True)
class CodeSide:
    """Where the code of some arms is.

    Attributes:
        name: what the user calls it.
        python: the interpreter.
        path: where it looks for modules; ``None`` for where it would anyway, but for the current directory.
        directory: its current directory.
        commit: of that code, if it is known.
        installed: distributions that were installed from it.
        foreign: a directory none of whose modules it may load, since they are another side's.
    """

    name: str
    python: str
    path: Sequence[str] | None
    directory: Path
    commit: str | None = None
    installed: Sequence[str] = ()
    foreign: Path | None = None


class ArmRefused(Exception):
    """The side cannot run the arm.

    Args:
        reason: in words.
        new: whether the side does not have the optimizer or the task at all.
    """

    def __init__(self, reason: str, new: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.new = new


class _Process(subprocess.Popen[bytes]):
    """A process with the methods that those of multiprocessing have."""

    def join(self, timeout: float | None = None) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(timeout)

    @property
    def exitcode(self) -> int | None:
        return self.returncode


class Program(Child):
    """The process of an arm, which plans its runs at once.

    Args:
        side: where its code is.
        request: what it runs, see :func:`ngbench.running.serving.main`.
        label: of the arm, in its records.
        position: of the arm among all.
        told: whether its records say in which environment they were made.

    Raises:
        UsageError: it cannot be started.
    """

    def __init__(self, side: CodeSide, request: Mapping[str, Any], label: str, position: int, *, told: bool) -> None:
        self._arguments = side, request, label, position
        self._told = told
        self._version = 0
        self._environment: EnvironmentRecord | None = None
        self._kills = memory_kills()
        command = [side.python, "-c", _START, json.dumps(side.path)]
        try:
            # Ctrl-C reaches the whole process group; the parent decides what it means.
            process = _Process(
                command, cwd=side.directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise UsageError(f"{side.name}: {side.python!r} cannot be started: {error.strerror}") from error
        assert process.stdin is not None
        assert process.stdout is not None
        self._process: Any = process
        self._connection: Any = Lines(process.stdout, process.stdin)
        super().send({**request, "foreign": None if side.foreign is None else str(side.foreign)})

    def again(self) -> Program:
        """Another process for the same arm, after this one has died."""
        return Program(*self._arguments, told=self._told)

    def planned(self) -> list[RunRecord]:
        """What is known of the runs before they begin, a record for each seed.

        Raises:
            ArmRefused: the side cannot run the arm.
            UsageError: it has no ngbench that can be asked, or an answer that cannot be understood.
        """
        side, _, label, _ = self._arguments
        try:
            told = self._tell()
        except Ended as end:
            raise UsageError(f"{side.name}: {how_it_ended(end)} before the runs of {label!r} were planned") from None
        if "lacking" in told:
            raise UsageError(f"{side.name} has no ngbench that can run beside this one: {told['lacking']}")
        if "refused" in told:
            raise ArmRefused(told["refused"], told["new"])
        return self._plan(told)

    def send(self, order: Any) -> None:
        super().send(None if order is None else order[0].seed)

    def receive(self) -> Any:
        told = self._tell()
        if "planned" in told:
            self._plan(told)
            told = self._tell()
        if "step" in told:
            return tuple(told["step"])
        return None if told["run"] is None else self._read(told["run"])

    def _tell(self) -> Any:
        try:
            return self._connection.recv()
        except Exception:
            raise self._end() from None

    def _plan(self, told: Any) -> list[RunRecord]:
        self._version = told["version"]
        side = self._arguments[0]
        if self._told:
            try:
                self._environment = EnvironmentRecord.model_validate(told["environment"])
                # Programs are called by nobody; the command is that of this one.
                called = command_line()
                self._environment.called_from = "Python" if called is None else "shell"
                self._environment.command = called
                for name in side.installed:
                    # pip knows the checkout, and not what was checked out.
                    found = self._environment.packages[name]
                    self._environment.packages[name] = PackageRecord(
                        version=found.version, commit=side.commit, dirty=False
                    )
            except ValueError as error:
                raise self._unreadable() from error
        return [self._read(text) for text in told["planned"]]

    def _read(self, text: str) -> RunRecord:
        _, _, label, position = self._arguments
        try:
            record = parse_run(text, self._version)
        except ValueError as error:
            raise self._unreadable() from error
        return record.model_copy(update={"label": label, "position": position, "environment": self._environment})

    def _unreadable(self) -> UsageError:
        return UsageError(
            f"{self._arguments[0].name} writes records of a version of ngbench that this one does not read"
        )


class ProgramWorker(ProcessWorker):
    """Makes the runs of an arm in a program, which has planned them.

    Args:
        program: that has.
        fresh: whether each run has one of its own.
    """

    def __init__(self, program: Program, *, fresh: bool = False) -> None:
        super().__init__(fresh=fresh)
        self._program = program
        self._child = program

    def _start_child(self) -> Child:
        self._program = self._program.again()
        return self._program
