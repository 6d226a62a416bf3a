"""Tidy tables as CSV, JSON and Parquet: the same columns and the same digits."""

from __future__ import annotations

import csv
import io
import json
from importlib.util import find_spec
from typing import Any

from ngbench.errors import UsageError
from ngbench.records.documents import without_non_finite
from ngbench.report.exports.tidy import TidyTable

__all__ = ["format_csv", "format_json", "format_parquet", "refuse_without"]


def refuse_without(package: str, what: str) -> None:
    """Refuse to write a format whose package is missing.

    Raises:
        UsageError: it is.
    """
    if find_spec(package) is None:
        raise UsageError(f"{what} needs {package}, which is not installed: pip install 'ngbench[export]' installs it")


def format_csv(table: TidyTable) -> str:
    """The table as CSV. What does not exist is an empty field; a list is one of JSON."""
    text = io.StringIO()
    writer = csv.DictWriter(text, table.names, lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        writer.writerow({name: _field(value) for name, value in row.items()})
    return text.getvalue()


def format_json(table: TidyTable) -> str:
    """The table as a JSON array with an object for each row, which has all columns."""
    rows = [{name: row.get(name) for name in table.names} for row in table.rows]
    return json.dumps(without_non_finite(rows), indent=1, default=str) + "\n"


def format_parquet(table: TidyTable) -> bytes:
    """The table as a Parquet file. A column whose values are of several kinds is one of text.

    Raises:
        UsageError: pyarrow is not installed.
    """
    refuse_without("pyarrow", "Parquet")
    import pyarrow
    import pyarrow.parquet

    columns = {name: _column(pyarrow, [row.get(name) for row in table.rows]) for name in table.names}
    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), content)
    return content.getvalue()


def _column(pyarrow: Any, values: list[Any]) -> Any:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or (len(kinds) == 1 and kinds <= {bool, str}):
        # One integer among numbers does not make them whole.
        return pyarrow.array(values, type=pyarrow.float64() if float in kinds else None)
    return pyarrow.array([None if value is None else str(_field(value)) for value in values], type=pyarrow.string())


def _field(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, default=str) if isinstance(value, list | tuple | dict) else value
