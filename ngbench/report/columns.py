"""Which columns of tables are shown: those that are asked for, or the most important ones that there is room for.

A column is called like the quantity (:mod:`ngbench.records.quantities`) that it shows; another number of the same
quantity, such as its maximum, has that behind a full stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ngbench.errors import UnknownNameError
from ngbench.report.blocks import Block, Column, Table, Warnings

__all__ = ["ALL", "COLUMNS", "by_importance", "chosen", "given_columns"]

ALL = "all"

COLUMNS = (
    "status",
    "training_loss",
    "training_loss.at_shared_time",
    "fid.best",
    "fid.at_shared_time",
    "fid.at_shared_step",
    "trials",
    "best",
    "median",
    "error_1",
    "error_2",
    "step_time.ratio",
    "step_time",
    "seconds_to_target",
    "epochs_to_target",
    "phase.*.seconds_per_step",
    "phase.*.share",
    "phase.*.flops",
    "phase.*.predicted",
    "phase.*.flops_to_predicted",
    "phase.*.order",
    "added_memory",
    "critic_seconds",
    "generator_seconds",
    "critic_share",
    "energy_gap",
    "exact_angle",
    "exact_distance",
    "diverged",
    "seconds",
    "fid",
    "fid.best_step",
    "validation_loss",
    "seconds_per_epoch",
    "phase.*.seconds",
    "step_time.refresh",
    "error_1.maximum",
    "error_2.maximum",
    "error_1.final",
    "error_2.final",
    "critic_loss",
    "gradient_penalty",
    "best_training_loss",
    "energy_gap.maximum",
    "energy_gap.share",
    "steps",
    "quartiles",
    "iterations",
    "step_time.plain",
    "phase.*.calls",
    "phase.*.bytes",
    "peak_memory",
    "optimizer_state",
    "rounds",
)
"""The names, the most important first: where there is no room for all columns, the last of these go."""


def given_columns(text: str) -> str:
    """The names that a user gave, or ``all``.

    Raises:
        UnknownNameError: no column has such a name.
    """
    for name in _names(text):
        if name not in COLUMNS and text != ALL:
            raise UnknownNameError("column", name, (*COLUMNS, ALL))
    return text


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def chosen(blocks: Sequence[Block], text: str | None) -> list[Block]:
    """The blocks with the columns that were asked for, for which room is made.

    A table that has names, but none of those, is left out.

    Args:
        blocks: of a view.
        text: names with commas between them, or ``all``; ``None`` leaves the choice to the renderer.
    """
    if text is None:
        return [*blocks]
    names = _names(text)
    shown: list[Block] = []
    for block in blocks:
        if isinstance(block, Table) and (keys := {column.key for column in block.columns} - {""}):
            if text != ALL and not keys & {*names}:
                continue
            block = replace(
                block, columns=[_kept(one) for one in block.columns if text == ALL or one.key in ("", *names)]
            )
        shown.append(block)
    held = {column.key for block in blocks if isinstance(block, Table) for column in block.columns}
    if text != ALL and (absent := [name for name in names if name not in held]):
        shown.append(Warnings([f"No table here has the column {' or '.join(absent)}."]))
    return shown


def _kept(column: Column) -> Column:
    return replace(column, key="")


def by_importance(columns: Sequence[Column]) -> list[Column]:
    """Those that may be left out, the most important first."""
    return sorted((column for column in columns if column.key), key=lambda column: COLUMNS.index(column.key))
