"""What a run of two players is asked to do, fully resolved."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ngbench.adversarial_task import Player
from ngbench.running.config import RunConfig

__all__ = ["AdversarialConfig", "FidConfig", "PlayerConfig"]


@dataclass(frozen=True)
class PlayerConfig:
    """The optimizer of one player: plugin or dotted class name, and all of its hyper-parameters."""

    optimizer: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FidConfig:
    """How images are scored.

    Attributes:
        every: epochs from one score to the next; the last epoch is always scored.
        samples: generated images, and at most as many real ones.
        weights: file of Inception's weights; ``None`` takes a classifier trained on the data.
        features: of Inception's layer that is used.
    """

    every: int = 1
    samples: int = 2000
    weights: Path | None = None
    features: int = 2048


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig(RunConfig):
    """One run of two players: picklable, with every default filled in.

    ``optimizer`` and ``hyperparameters`` name both players' together, as the record does.

    Attributes:
        players: the optimizer of each player.
        critic_steps: K, steps of the critic for each one of the generator.
        penalty: λ ≥ 0, weight of the gradient penalty.
        fid: how images are scored.
        samples: directory of the grids of generated images; ``None`` draws none.
    """

    players: dict[Player, PlayerConfig] = field(default_factory=dict)
    critic_steps: int = 5
    penalty: float = 10.0
    fid: FidConfig = field(default_factory=FidConfig)
    samples: Path | None = None
