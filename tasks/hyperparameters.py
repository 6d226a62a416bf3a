"""Published hyper-parameters of the tasks, read from ``hyperparameters.json``, and the grids they were searched on.

``hyperparameters.json`` maps a task to its source and, for each optimizer, the hyper-parameters chosen there, under
this package's names and conventions. The published code added its damping d, not √λ, to each factor of
``deflation``, ``lanczos``, ``kfac-corrected`` and the two-level methods, so that their λ is d² here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Literal

__all__ = ["published_hyperparameters", "thesis_grid"]

_LEARNING_RATES = (1e-1, 1e-2, 1e-3, 1e-4, 3e-1, 3e-2, 3e-3, 3e-4)
# The same values squared, written out so that they equal their decimal form.
_DAMPINGS_SQUARED = (1e-2, 1e-4, 1e-6, 1e-8, 9e-2, 9e-4, 9e-6, 9e-8)
_KL_CLIPS = (1e-2, 1e-3)
_POWERS = (1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e4)
_POWERS_SQUARED = (1e-8, 1e-6, 1e-4, 1e-2, 1e0, 1e2, 1e4, 1e6, 1e8)
_WIDE_KL_CLIPS = (1e-2, 1e-1, 1e0, None)


def published_hyperparameters(task: str) -> dict[str, dict[str, Any]]:
    """For each optimizer's name, the hyper-parameters published for the task; empty where there are none."""
    tables = json.loads(files(__package__).joinpath("hyperparameters.json").read_text(encoding="utf-8"))
    hyperparameters: dict[str, dict[str, Any]] = tables.get(task, {}).get("hyperparameters", {})
    return hyperparameters


def thesis_grid(chapter: Literal[3, 4] = 3) -> Mapping[str, Mapping[str, Sequence[float | None]]]:
    """The grid that a chapter of the thesis searched for each optimizer's name, with λ = d² where it applies.

    Args:
        chapter: 3 is section 3.3.2, of the auto-encoders; 4 is section 4.3, of what was studied later, its bounds
            of the KL clipping being those that occur in the published results.
    """
    rates, dampings_squared, clips = (
        (_LEARNING_RATES, _DAMPINGS_SQUARED, _KL_CLIPS) if chapter == 3 else (_POWERS, _POWERS_SQUARED, _WIDE_KL_CLIPS)
    )
    first_order = {"lr": rates}
    rank_one = {"lr": rates, "damping": rates, "kl_clip": clips}
    rank_two = {**rank_one, "damping": dampings_squared}
    grid: dict[str, Mapping[str, Sequence[float | None]]] = {
        "sgd": first_order,
        "adam": first_order,
        "kfac": rank_one,
        "kpsvd": rank_one,
        "deflation": rank_two,
        "lanczos": rank_two,
        "kfac-corrected": rank_two,
    }
    if chapter == 4:
        exact = {"lr": rates, "damping": rates}
        grid |= {"two-level": rank_two, "exact-ng": exact, "block-diagonal-ng": exact}
    return grid
