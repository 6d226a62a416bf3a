"""What a task plugin for ``ngbench gan`` provides: a generator and a critic, their data, and sensible defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

    from ngbench.task import Data

__all__ = ["PLAYERS", "AdversarialTask", "Player", "PlayerPair", "standard_settings"]

Player = Literal["generator", "critic"]
PLAYERS: tuple[Player, Player] = ("generator", "critic")


@dataclass(frozen=True)
class PlayerPair:
    """Which optimizer trains which player, with the hyper-parameters that are not the defaults.

    Attributes:
        generator: name of the generator's optimizer.
        critic: name of the critic's.
        generator_hyperparameters: of the generator's optimizer.
        critic_hyperparameters: of the critic's.
    """

    generator: str
    critic: str
    generator_hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    critic_hyperparameters: Mapping[str, Any] = field(default_factory=dict)


def standard_settings() -> dict[str, PlayerPair]:
    """The five settings of section 5.3.2 of the thesis by their names, with the defaults of the optimizers."""
    return {
        "sgda": PlayerPair("sgd", "sgd"),
        "adam": PlayerPair("adam", "adam"),
        "kfac1": PlayerPair("kfac", "adam"),
        "kfac2": PlayerPair("kfac", "kfac"),
        "kfac3": PlayerPair("adam", "kfac"),
    }


@dataclass(frozen=True)
class AdversarialTask:
    """A generator and a critic that are trained against each other, a Wasserstein GAN with gradient penalty.

    It is a task plugin like :class:`ngbench.Task`, trained by ``ngbench gan``. To an optimizer plugin each player is an
    ordinary :class:`ngbench.Task` whose outputs are the critic's scores.

    Attributes:
        generator: builds the generator, from noise ``(m, noise)`` to images ``(m, c, h, w)`` in [-1, 1], with its
            initial weights drawn from torch's global generator.
        critic: builds the critic, from images to scores ``(m,)`` or ``(m, 1)``, likewise.
        data: loads the images, ``(n, c, h, w)`` in [-1, 1]; the targets are class labels ``(n,)``, of which only
            the feature network of the FID makes use.
        noise: dimension of the standard normal noise.
        batch_size: default batch size.
        epochs: default budget; an epoch has one generator step for each whole mini-batch of the data.
        batch_sizes: the other batch sizes that the task is studied with.
        critic_steps: K, steps of the critic for each one of the generator.
        penalty: λ, weight of the gradient penalty.
        hyperparameters: for each player, for each optimizer's name, values that replace its defaults.
        settings: the pairs of optimizers that have a name.
        published: for each batch size, published pairs that take the place of those of ``settings``.
    """

    generator: Callable[[], nn.Module]
    critic: Callable[[], nn.Module]
    data: Callable[[Path], Data]
    noise: int
    batch_size: int
    epochs: int
    batch_sizes: Sequence[int] = ()
    critic_steps: int = 5
    penalty: float = 10.0
    hyperparameters: Mapping[Player, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    settings: Mapping[str, PlayerPair] = field(default_factory=standard_settings)
    published: Mapping[int, Mapping[str, PlayerPair]] = field(default_factory=dict)

    def settings_for(self, batch_size: int) -> dict[str, PlayerPair]:
        """The named pairs with the values published for the batch size, where there are any."""
        return {**self.settings, **self.published.get(batch_size, {})}
