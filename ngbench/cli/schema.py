"""``ngbench schema``."""

from __future__ import annotations

import json


def schema() -> None:
    """Print the JSON Schema of the records, the shape of every JSON file that the tool writes."""
    from ngbench.records.documents import json_schema

    print(json.dumps(json_schema(), indent=2))
