"""``ngbench new-study``: the file of a new study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ngbench.cli import declared


def new_study(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it will be called, such as faster.")],
    output: Annotated[
        Path, declared.path("--output", metavar="DIR", help="Where the file goes.", shown="the current directory")
    ] = Path(),
) -> None:
    """Write the YAML file of a study that runs, with every key and what it means.

    Replace task, arms and claims by yours; what is wrong is said with its line before anything runs.

    Example: ngbench new-study faster
    """
    from ngbench.experiments.studies.loader import write_study

    path = write_study(name, output)
    # With a separator, so that it is no name of a study of the package.
    shown = path if path.is_absolute() else f"./{path}"
    print(f"{path}\n\nNext: ngbench reproduce {shown} --scale smoke --output studies")
