"""The other end of :mod:`ngbench.running.programs`: plans and makes the runs of one arm, as it is told in JSON.

Whoever asks may be another version of the tool. The first message is the request, which is answered with what is known
of the runs before they begin, or with why there are none. Then a seed begins a run, and null is a turn of it.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ngbench.arms import ArmSpec
from ngbench.errors import NoPluginError, UnknownNameError, UsageError, one_line
from ngbench.plugins import registry
from ngbench.records.environment import describe_environment
from ngbench.records.record import SCHEMA_VERSION
from ngbench.running.best_settings import load_settings
from ngbench.running.children import settle
from ngbench.running.lines import Lines
from ngbench.running.plan import Plan, make_plan
from ngbench.running.request import Request, RunOptions
from ngbench.running.schedule import PlannedRun
from ngbench.running.workers import serve_runs
from ngbench.spelling import argument, as_options

__all__: list[str] = []


def main() -> None:
    """Do what standard input asks for, and tell it on standard output, which is nobody else's; ends the process.

    The request has the keys ``task``, ``task_options``, ``arm`` (label, optimizer and hyperparameters, as text),
    ``options`` (the fields of :class:`~ngbench.running.request.RunOptions` that were set), ``hyperparameters`` (a file
    of them, or null), ``as_options`` (whether messages are for who gave options), ``stand_ins`` (see
    :func:`ngbench.data.choice.choose_as_before`) and ``foreign`` (a directory whose modules must not be loaded, or
    null).
    """
    lines = Lines(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    asker = _Asker(lines)
    request = lines.recv()
    settle(asker, _plan_and_serve, (request,), request["stand_ins"], asker.listen)


class _Asker:
    """Who asks, as the parent of a child; orders are read beside what is done, so that the end of them is noticed."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._orders: SimpleQueue[int | None] = SimpleQueue()
        self.runs: dict[int, PlannedRun] = {}

    def listen(self) -> None:
        try:
            while True:
                self._orders.put(self._lines.recv())
        except (EOFError, OSError, ValueError):
            os._exit(1)

    def recv(self) -> Any:
        seed = self._orders.get()
        return None if seed is None else (self.runs[seed].config, self.runs[seed].record)

    def send(self, told: Any) -> None:
        if isinstance(told, tuple):
            self._lines.send({"step": told})
        else:
            self._lines.send({"run": None if told is None else told.model_dump_json()})

    def answer(self, told: dict[str, Any]) -> None:
        self._lines.send(told)


def _plan_and_serve(asker: Any, request: dict[str, Any]) -> None:
    try:
        plan = _plan(request)
    except UsageError as error:
        new = isinstance(error, NoPluginError | UnknownNameError)
        asker.answer({"refused": one_line(error), "new": new})
        return
    if strange := _loaded_from(request["foreign"]):
        asker.answer({"refused": f"its code was not found: {strange} was loaded in its place", "new": False})
        return
    asker.runs = {run.config.seed: run for group in plan.groups for run in group}
    environment = describe_environment(registry.providers())
    environment.threads = plan.threads
    asker.answer(
        {
            "planned": [run.record.model_dump_json() for run in asker.runs.values()],
            "version": SCHEMA_VERSION,
            "environment": environment.model_dump(mode="json"),
        }
    )
    serve_runs(asker, lambda: plan.starter(plan.problem))


def _plan(request: dict[str, Any]) -> Plan[Any]:
    known = {field.name for field in fields(RunOptions)}
    with as_options() if request["as_options"] else nullcontext():
        if unknown := sorted(set(request["options"]) - known):
            raise UsageError(f"its ngbench has no {argument(unknown[0])}")
        task, tuned = request["task"], request["hyperparameters"]
        return make_plan(
            Request(
                task=task,
                arms=[ArmSpec(**request["arm"])],
                task_options=request["task_options"],
                options=RunOptions(**request["options"]),
                tuned=None if tuned is None else load_settings(Path(tuned), task),
            )
        )


def _loaded_from(directory: str | None) -> str | None:
    """A module's file in the directory, but for what is installed there."""
    if directory is None:
        return None
    installed = Path(sys.prefix).resolve()
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    found = (Path(file).resolve() for file in files if file)
    inside = (file for file in found if file.is_relative_to(directory) and not file.is_relative_to(installed))
    return next(map(str, inside), None)


if __name__ == "__main__":
    main()
