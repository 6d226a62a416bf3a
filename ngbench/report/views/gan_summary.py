"""What a document of two-player runs says of each arm, aggregated over its seeds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from ngbench.adversarial_task import PLAYERS, Player
from ngbench.measurement.phases import PHASES
from ngbench.records.quantities import QUANTITIES, ArmRun, Point, interpolate
from ngbench.records.record import Document, FidRecord, RunRecord
from ngbench.records.statistics import FAILED, UncertainValue, mean_interval
from ngbench.report.summary import Arm, PhaseSummary, summarise

__all__ = ["TITLES", "GanArm", "Shared", "fid_records", "shared_budget", "summarise_gan"]

TITLES = {"fid": "FID", "classifier_fid": "classifier-FID"}
"""How each score is called in tables and figures: a classifier's is never called FID alone."""

_PLAYER_PHASES = ("generate", "forward", "backward", "penalty", *PHASES[2:])
"""The phases of a player's turn in the order in which they come."""


@dataclass(frozen=True)
class Shared:
    """What all runs that did not fail have had: the common budget at which scores are compared.

    Attributes:
        seconds: of training.
        step: iterations.
    """

    seconds: float
    step: int


@dataclass(frozen=True)
class GanArm:
    """One arm. Scores and losses are over the seeds that neither failed nor diverged.

    Attributes:
        arm: what any comparison says of it, phases in the order of a turn.
        best: lowest score.
        best_step: iterations until then, over seeds.
        final: last score.
        at_seconds: score after the training time that all arms had.
        at_step: score after the iterations that all arms had.
        generator_loss: mean over the last epoch.
        critic_loss: likewise, the penalty included.
        penalty: likewise, the gradient penalty before it is weighted.
        seconds: of each player's turn in an iteration.
        shares: of each player in the time of an iteration.
    """

    arm: Arm
    best: UncertainValue | None
    best_step: UncertainValue | None
    final: UncertainValue | None
    at_seconds: UncertainValue | None
    at_step: UncertainValue | None
    generator_loss: UncertainValue | None
    critic_loss: UncertainValue | None
    penalty: UncertainValue | None
    seconds: dict[Player, float | None]
    shares: dict[Player, float | None]


def fid_records(document: Document) -> list[FidRecord]:
    """How the runs were scored, each way once."""
    found = [run.adversarial.fid for run in document.runs if run.adversarial is not None]
    return list({record.digest: record for record in found}.values())


def score_points(run: RunRecord) -> list[Point]:
    """Iterations, training seconds and score of each epoch that was scored."""
    return [point for point in QUANTITIES["fid"].points(ArmRun(run)) if point.value is not None]


def shared_budget(document: Document) -> Shared | None:
    """The budget that all runs which did not fail have had, up to a score; ``None`` where one has no score."""
    ends = [score_points(run)[-1:] for run in document.runs if run.status not in FAILED]
    if not ends or not all(ends):
        return None
    return Shared(min(end.seconds or 0.0 for (end,) in ends), min(end.step or 0 for (end,) in ends))


def summarise_gan(document: Document, *, reference: str | None = None) -> list[GanArm]:
    """The document's arms.

    Raises:
        NotComparableError: the runs belong to different tasks.
        UnknownNameError: no arm has the reference's label.
    """
    shared = shared_budget(document)
    return [_gan_arm(arm, shared) for arm in summarise(document, reference=reference)]


def _gan_arm(arm: Arm, shared: Shared | None) -> GanArm:
    sound = [run for run in arm.runs if run.status not in FAILED]

    def over(value: Callable[[RunRecord], float | None]) -> UncertainValue | None:
        return mean_interval([found for found in map(value, sound) if found is not None])

    per_step = {player: _player_seconds(arm, player) for player in PLAYERS}
    total = arm.step.value if arm.step is not None else None
    return GanArm(
        arm=replace(arm, phases=sorted(arm.phases, key=_turn_order)),
        best=over(lambda run: _best(run).value),
        best_step=over(lambda run: _best(run).step),
        final=over(lambda run: next((point.value for point in reversed(score_points(run))), None)),
        at_seconds=None if shared is None else over(lambda run: interpolate(score_points(run), shared.seconds)),
        at_step=None if shared is None else over(lambda run: interpolate(score_points(run), shared.step, "step")),
        generator_loss=over(lambda run: _value(run, "training_loss")),
        critic_loss=over(lambda run: _value(run, "critic_loss")),
        penalty=over(lambda run: _value(run, "gradient_penalty")),
        seconds=per_step,
        shares={
            player: seconds / total if seconds is not None and total else None for player, seconds in per_step.items()
        },
    )


def _turn_order(phase: PhaseSummary) -> tuple[int, int, str]:
    player, _, name = phase.name.partition("/")
    if not name:
        return 2, 0, phase.name
    at = _PLAYER_PHASES.index(name) if name in _PLAYER_PHASES else len(_PLAYER_PHASES)
    return (0 if player == "critic" else 1), at, name


def _player_seconds(arm: Arm, player: Player) -> float | None:
    own = [phase.seconds_per_step for phase in arm.phases if phase.name.startswith(f"{player}/")]
    known = [seconds for seconds in own if seconds is not None]
    return math.fsum(known) if known else None


def _best(run: RunRecord) -> Point:
    """The epoch with the lowest score; nothing is known of a run without one."""
    nowhere = Point(None, None, None, None)
    return min(score_points(run), key=lambda point: math.inf if point.value is None else point.value, default=nowhere)


def _value(run: RunRecord, quantity: str) -> float | None:
    return QUANTITIES[quantity].value(ArmRun(run))
