"""The conformance test in a process of its own, since the plugin may end the process where it is tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ngbench.errors import NgbenchError, UsageError, one_line
from ngbench.experiments.conformance.outcome import outcome
from ngbench.experiments.conformance.plugins import Kind, check_plugin, checks_of, distribution_of
from ngbench.records.experiments import CheckRecord, PluginRecord
from ngbench.running.children import Child, Ended
from ngbench.running.failures import how_it_ended

__all__ = ["check_plugin_apart"]


def check_plugin_apart(
    name: str,
    kind: Kind,
    given: Mapping[str, Any] | None = None,
    *,
    data_dir: Path | None = None,
    told: Callable[[CheckRecord], None] = lambda row: None,
) -> PluginRecord:
    """As :func:`~ngbench.experiments.conformance.plugins.check_plugin`, also where the plugin ends the process.

    The check that it does not survive has failed, and those after it do not apply.

    Raises:
        UsageError: there is no such plugin, or a given value is not allowed.
    """
    rows: list[CheckRecord] = []
    child = Child(_serve, name, kind, dict(given or {}), data_dir)
    try:
        while True:
            what, content = child.receive()
            if what == "refused":
                raise UsageError(content)
            if what == "report":
                return content  # type: ignore[no-any-return]
            rows.append(content)
            told(content)
    except Ended as end:
        fatal = checks_of(kind)[len(rows)]
        message = f"{how_it_ended(end)}; it must {fatal.requirement}"
        left = [outcome(fatal.name, "failed", message)]
        left += [
            outcome(check.name, "not applicable", f"not without {fatal.name}")
            for check in checks_of(kind)[len(rows) + 1 :]
        ]
        for row in left:
            told(row)
        return PluginRecord(plugin=name, kind=kind, distribution=distribution_of(name, kind), checks=[*rows, *left])
    finally:
        child.close()


def _serve(
    connection: Connection[Any, Any], name: str, kind: Kind, given: Mapping[str, Any], data_dir: Path | None
) -> None:
    def tell(row: CheckRecord) -> None:
        connection.send(("row", row))

    try:
        connection.send(("report", check_plugin(name, kind, given, data_dir=data_dir, told=tell)))
    except NgbenchError as error:
        connection.send(("refused", one_line(error)))
    # The answer is read before the end of the process is.
    connection.recv()
