"""Published hyper-parameters of the tasks, read from ``published.json``, and the grids they were searched on.

``published.json`` maps a task to its source and, for each optimizer, the hyper-parameters chosen there, under
this package's names and conventions. The published code added its damping d, not √λ, to each factor of
``deflation``, ``lanczos``, ``kfac-corrected`` and the two-level methods, so that their λ is d² here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

__all__ = ["published_hyperparameters", "thesis_grid"]

_LEARNING_RATES = (1e-1, 1e-2, 1e-3, 1e-4, 3e-1, 3e-2, 3e-3, 3e-4)
_DAMPINGS = _LEARNING_RATES
# The same values squared, written out so that they equal their decimal form.
_DAMPINGS_SQUARED = (1e-2, 1e-4, 1e-6, 1e-8, 9e-2, 9e-4, 9e-6, 9e-8)
_KL_CLIPS = (1e-2, 1e-3)


def published_hyperparameters(task: str) -> dict[str, dict[str, Any]]:
    """For each optimizer's name, the hyper-parameters published for the task; empty where there are none."""
    tables = json.loads(files(__package__).joinpath("published.json").read_text(encoding="utf-8"))
    hyperparameters: dict[str, dict[str, Any]] = tables.get(task, {}).get("hyperparameters", {})
    return hyperparameters


def thesis_grid() -> Mapping[str, Mapping[str, Sequence[float]]]:
    """The grid of section 3.3.2 of the thesis for each optimizer's name, with λ = d² where it applies."""
    first_order = {"lr": _LEARNING_RATES}
    rank_one = {"lr": _LEARNING_RATES, "damping": _DAMPINGS, "kl_clip": _KL_CLIPS}
    rank_two = {**rank_one, "damping": _DAMPINGS_SQUARED}
    return {
        "sgd": first_order,
        "adam": first_order,
        "kfac": rank_one,
        "kpsvd": rank_one,
        "deflation": rank_two,
        "lanczos": rank_two,
        "kfac-corrected": rank_two,
    }
