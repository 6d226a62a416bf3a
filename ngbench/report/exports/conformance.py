"""The rows of conformance tests for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ngbench.experiments.conformance import Report

__all__ = ["format_conformance_json"]


def format_conformance_json(reports: Sequence[Report]) -> str:
    """All rows of all plugins: name, status, message and measured values of each."""
    document: dict[str, Any] = {
        "reports": [
            {
                "plugin": report.plugin,
                "kind": report.kind,
                "distribution": report.distribution,
                "failed": [row.name for row in report.failed],
                "checks": [asdict(row) | {"values": dict(row.values)} for row in report.rows],
            }
            for report in reports
        ]
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
