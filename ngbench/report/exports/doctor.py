"""The findings of ``ngbench doctor`` for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ngbench.experiments.doctor.findings import Finding

__all__ = ["findings_json"]


def findings_json(findings: Sequence[Finding], environment: Mapping[str, Any]) -> str:
    """The findings, and the environment in which they were made, as a JSON document with a newline at its end."""
    content = {"environment": dict(environment), "findings": [finding.as_dict() for finding in findings]}
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
