"""Downloads as the user sees them: a bar on a terminal, one line otherwise; both on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from ngbench.data.watching import Advance

__all__ = ["show_download"]


@contextmanager
def show_download(name: str, start: int, total: int | None) -> Iterator[Advance]:
    """A :data:`~ngbench.data.watching.Watcher`."""
    # Imported here, as most commands download nothing.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from ngbench.units import format_bytes

    console = Console(stderr=True)
    if not console.is_terminal:
        size = "" if total is None else f" ({format_bytes(total)})"
        console.print(f"downloading {name}{size}", highlight=False, markup=False, soft_wrap=True)
        yield lambda count: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield partial(progress.advance, progress.add_task(name, total=total, completed=start))
