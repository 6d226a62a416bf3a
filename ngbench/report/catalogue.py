"""What there is, as blocks: a row for each plugin, study or data set, or each in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ngbench import __version__
from ngbench.plugins.parameters import format_value
from ngbench.report.blocks import Block, Column, Fact, Facts, Heading, Notes, Table, Warnings
from ngbench.units import DASH, format_count

__all__ = ["catalogue_blocks", "overview_blocks"]

_Entry = Mapping[str, Any]

_OURS = f"ngbench {__version__}"
_FACTS = {
    "model_parameters": "parameters of the model",
    "likelihood": "likelihood",
    "batch_size": "batch size",
    "batch_sizes": "batch sizes with published values",
    "epochs": "epochs",
    "critic_steps": "steps of the critic",
    "penalty": "weight of the penalty",
}


def overview_blocks(counts: Mapping[str, int | None]) -> list[Block]:
    """How many there are of each kind, and the command that shows them."""
    columns = [
        Column("kind", [*counts], left=True),
        Column("there are", [DASH if count is None else str(count) for count in counts.values()]),
        Column("shown by", [f"ngbench list {kind}" for kind in counts], left=True),
    ]
    return [Table("", columns), Notes(["With a name behind it, one in full: ngbench list tasks curves-autoencoder"])]


def catalogue_blocks(kind: str, entries: Sequence[_Entry], *, full: bool) -> list[Block]:
    """What :func:`ngbench.experiments.catalogue.catalogue` found."""
    if full:
        shown = {"studies": _study, "data": _data_set}.get(kind, _plugin)
        return [block for entry in entries for block in shown(entry)]
    rows = {"studies": _study_columns, "data": _data_columns}.get(kind, _plugin_columns)
    return [Table("", rows(entries))]


def _plugin_columns(entries: Sequence[_Entry]) -> list[Column]:
    origins = [_origin(entry) for entry in entries]
    columns = [
        Column("name", [entry["name"] for entry in entries], left=True),
        Column("from", [DASH if origin == _OURS else origin for origin in origins], left=True),
        Column(
            "what it is",
            [f"PROBLEM: {entry['problem']}" if entry["problem"] else entry["summary"] for entry in entries],
            left=True,
        ),
    ]
    return [column for column in columns if not column.empty]


def _origin(entry: _Entry) -> str:
    return f"{entry['distribution']} {entry['version']}".strip()


def _study_columns(entries: Sequence[_Entry]) -> list[Column]:
    scales = list(entries[0]["minutes"]) if entries else []
    return [
        Column("study", [entry["name"] for entry in entries], left=True),
        *(Column(f"{scale}\ntakes", [_duration(entry["minutes"][scale]) for entry in entries]) for scale in scales),
        Column("claims", [str(len(entry["claims"])) for entry in entries]),
        Column("title", [entry["title"] for entry in entries], left=True),
    ]


def _data_columns(entries: Sequence[_Entry]) -> list[Column]:
    return [
        Column("data set", [entry["name"] for entry in entries], left=True),
        Column("used here", [entry["used"] for entry in entries], left=True),
        Column("what that is", [entry["description"] for entry in entries], left=True),
    ]


def _data_set(entry: _Entry) -> Iterator[Block]:
    yield Heading(entry["name"])
    facts = [Fact("used here without a network", f"{entry['used']}: {entry['description']}")]
    if entry["missing"]:
        facts += [
            Fact("official files that are missing", ", ".join(entry["missing"])),
            *(Fact("from", url) for url in entry["urls"]),
            Fact("they belong into", entry["folder"]),
        ]
    yield Facts(facts)


def _duration(minutes: float | None) -> str:
    """What is estimated, which no more than one number suits.

    >>> _duration(0.1), _duration(3.4), _duration(900), _duration(60000), _duration(None)
    ('6 s', '3 min', '15 h', '42 days', '—')
    """
    if minutes is None:
        return DASH
    for most, size, unit in ((1, 1 / 60, "s"), (120, 1, "min"), (72 * 60, 60, "h")):
        if minutes < most:
            return f"{minutes / size:.0f} {unit}"
    return f"{minutes / 1440:.0f} days"


def _plugin(entry: _Entry) -> Iterator[Block]:
    yield Heading(entry["name"], f"({_origin(entry)})" if entry["distribution"] else "")
    if entry["summary"]:
        yield Notes([entry["summary"]])
    if entry["problem"]:
        yield Warnings([entry["problem"]], word="PROBLEM", tone="bad")
    yield Facts([Fact(name, _shown(entry[key])) for key, name in _FACTS.items() if entry.get(key)])
    if parameters := entry.get("parameters"):
        defaults = ["required" if one["required"] else format_value(one["default"]) for one in parameters]
        yield Table(
            "",
            [
                Column("parameter", [one["name"] for one in parameters], left=True),
                Column("default", defaults, left=True),
                Column("what it is, and what is allowed", [_described(one) for one in parameters], left=True),
            ],
        )
    if published := entry.get("published"):
        values = [", ".join(f"{key}={format_value(one)}" for key, one in of.items()) for of in published.values()]
        yield Table("", [Column("published for", [*published], left=True), Column("values", values, left=True)])
    yield Notes([f"published values not read: {one}" for one in entry.get("unreadable_tasks", {}).values()])


def _described(parameter: _Entry) -> str:
    described = parameter["description"]
    return f"{described} ({parameter['allowed']})" if described else parameter["allowed"]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return format_count(value) if isinstance(value, int) and value >= 10_000 else str(value)


def _study(entry: _Entry) -> Iterator[Block]:
    yield Heading(f"{entry['name']}: {entry['title']}")
    takes = [f"{name} {_duration(value)}" for name, value in entry["minutes"].items() if value is not None]
    yield Facts(
        [
            Fact("source", entry["source"]),
            Fact("question", entry["question"]),
            Fact("measures", entry["measure"]),
            Fact("tasks", ", ".join(entry["tasks"])),
            # Names of arms have commas in them.
            Fact("arms", "; ".join(entry["arms"])),
            Fact("takes about", ", ".join(takes)),
        ]
    )
    claims = entry["claims"]
    yield Table(
        "",
        [
            Column("claim", [claim["name"] for claim in claims], left=True),
            Column("kind", [claim["kind"] for claim in claims], left=True),
            Column("scales", [", ".join(claim["scales"]) for claim in claims], left=True),
            Column("says", [claim["says"] for claim in claims], left=True),
        ],
    )
