"""What a user asks of runs. Loads no torch: the command line and the Python API are made of these fields.

A new option of a run is a field here, with its limits and its help, and the place that obeys it. What results depend on
(``decides``) is found there in the ``conditions`` of the configuration; records, ``--resume``, ``check`` and searches
follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from ngbench.arms import ArmSpec
from ngbench.disk.files import given_path
from ngbench.errors import ParameterError
from ngbench.plugins.parameters import Range
from ngbench.running.limits import Count, Seed, Seeds, Threads, seconds
from ngbench.running.option_fields import converted, option
from ngbench.schedules import CONSTANT, NO_WARMUP, SCHEDULES, as_schedule, as_warmup

if TYPE_CHECKING:
    from ngbench.arms import PlayersArm
    from ngbench.running.best_settings import Settings

__all__ = ["DIAGNOSTICS", "AdversarialOptions", "AdversarialRequest", "Request", "RunOptions"]

_BUDGET = "Budget"
_MACHINE = "Machine"
_RESULTS = "Results"
_SCORE = "Score"
_TRAINING = "Training"

DIAGNOSTICS = ("diagnostics", "diagnostics_interval", "diagnostics_damping")
"""The options that compare steps with the exact natural-gradient step."""


@dataclass(frozen=True)
class RunOptions:
    """What a user may ask of every run; ``None`` stands for the task's or the tool's default.

    Values are converted and checked when it is made, whoever makes it. ``count_operations`` says whether the operations
    of steps are counted, beside the run, which takes as long as some steps. ``without`` names the options that have no
    meaning for a kind of run.

    Raises:
        ParameterError: a value is not allowed.
    """

    batch_size: Count | None = option(None, "Examples in a step.", metavar="N", shown_default="the task's")
    seed: Seed = option(0, "Seed of initial weights, data order and sampling.", metavar="N")
    seeds: Seeds = option(1, "Repeat with this many seeds, counted up from --seed.", metavar="N")
    epochs: Count | None = option(
        None,
        "Passes over the training data.",
        metavar="N",
        panel=_BUDGET,
        shown_default="the task's, without any other limit",
    )
    steps: Count | None = option(None, "Updates.", metavar="N", panel=_BUDGET)
    time_limit: float | None = option(
        None,
        "Training time of each run, such as 90s, 10m or 1h30m; evaluation does not count.",
        metavar="DURATION",
        panel=_BUDGET,
        convert=seconds,
    )
    target_loss: float | None = option(
        None,
        "Report when the training loss reaches this; runs go on after it.",
        metavar="LOSS",
        panel=_BUDGET,
    )
    target_on: Literal["training", "validation"] = option(
        "training",
        "Which loss has the target: the mean of an epoch's training losses, or the validation loss after it.",
        metavar="training|validation",
        panel=_BUDGET,
        decides=True,
    )
    early_stopping: Count | None = option(
        None,
        "End a run after this many epochs without a new lowest training loss, or score of a GAN.",
        metavar="PATIENCE",
        panel=_BUDGET,
    )
    schedule: str = option(
        CONSTANT,
        "How learning rates go over a run: linear and cosine fall to 0 at its end, power:0.5 as one over the root"
        " of the steps taken, steps:0.1@30/60 to a tenth after 30 epochs and again after 60.",
        metavar=SCHEDULES,
        panel=_TRAINING,
        convert=as_schedule,
        decides=True,
    )
    warmup: str = option(
        NO_WARMUP,
        "Over so many steps, or epochs as in 5epochs, learning rates rise to their own.",
        metavar="STEPS|Nepochs",
        panel=_TRAINING,
        convert=as_warmup,
        decides=True,
    )
    average: Annotated[float, Range(above=0, below=1)] | None = option(
        None,
        "Judge by an exponential average of the weights, of this decay a step; of a GAN, by that of the generator.",
        metavar="DECAY",
        panel=_TRAINING,
        shown_default="by the last weights",
        decides=True,
    )
    device: str = option(
        "auto",
        "Where to compute; auto takes CUDA where there is one.",
        metavar="auto|cpu|cuda|cuda:N",
        panel=_MACHINE,
    )
    dtype: str = option(
        "float32",
        "Type of weights, data and arithmetic.",
        metavar="float32|float64|bfloat16",
        panel=_MACHINE,
    )
    threads: Threads | None = option(None, "Threads on the CPU.", metavar="N", panel=_MACHINE, shown_default="torch's")
    turn_steps: Count | None = option(
        None,
        "Steps, at most, that an arm takes before the next one's turn; results do not depend on it.",
        metavar="N",
        panel=_MACHINE,
        shown_default="for 24 turns or more",
    )
    data_dir: Path | None = option(
        None,
        "Where data sets live.",
        metavar="DIR",
        panel=_MACHINE,
        shown_default="NGBENCH_DATA_DIR, else the user's cache",
        convert=given_path,
    )
    diagnostics: bool = option(
        False,
        "Measure steps beside the run: energy gaps, angle and distance to the exact natural gradient (before batch"
        " norm in training mode: of the sum of all losses).",
        panel=_RESULTS,
    )
    diagnostics_interval: Count = option(
        10, "Compare every N-th step with the exact one, beginning with the first.", metavar="N", panel=_RESULTS
    )
    diagnostics_damping: Annotated[float, Range(above=0)] = option(
        1e-3, "Damping of the exact step.", metavar="NUMBER", panel=_RESULTS
    )
    count_operations: bool = True

    without: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        for name, value in converted(self).items():
            object.__setattr__(self, name, value)
        if self.seed + self.seeds > 2**63:
            raise ParameterError(
                f"seeds={self.seeds} is not allowed with seed={self.seed}, the last seed must be < 2**63"
            )


@dataclass(frozen=True)
class AdversarialOptions(RunOptions):
    """What a user may ask of every run of two players."""

    without: ClassVar[frozenset[str]] = frozenset({"target_loss", "target_on", *DIAGNOSTICS})

    epochs: Count | None = option(
        None,
        "An epoch has one generator step for each whole mini-batch of the data.",
        metavar="N",
        panel=_BUDGET,
        shown_default="the task's, without any other limit",
    )
    steps: Count | None = option(None, "Generator steps.", metavar="N", panel=_BUDGET)
    critic_steps: Count | None = option(
        None, "Steps of the critic for each one of the generator.", metavar="N", shown_default="the task's"
    )
    penalty: Annotated[float, Range(minimum=0)] | None = option(
        None, "Weight of the gradient penalty.", metavar="WEIGHT", shown_default="the task's"
    )
    fid_every: Count = option(
        1, "Epochs from one score to the next; the last epoch is always scored.", metavar="N", panel=_SCORE
    )
    fid_samples: Annotated[int, Range(minimum=2, maximum=10**7)] = option(
        2000, "Images that are generated for a score, and at most as many real ones.", metavar="N", panel=_SCORE
    )
    fid_weights: Path | None = option(
        None,
        "Inception's weights, a state_dict such as pt_inception-2015-12-05-6726825d.pth; loading it executes nothing.",
        metavar="FILE",
        panel=_SCORE,
        shown_default="a classifier trained on the data, whose score is no FID of Inception",
        convert=given_path,
    )
    fid_features: Literal[64, 192, 768, 2048] = option(
        2048, "Inception's layer, by its number of features.", metavar="64|192|768|2048", panel=_SCORE
    )


@dataclass(frozen=True)
class Request:
    """Runs of one model, an arm for each optimizer.

    Attributes:
        task: the task's name.
        arms: the optimizers.
        task_options: the task's own options, as text.
        options: of every run.
        tuned: a file of hyper-parameters, which those given for an arm have precedence over.
    """

    task: str
    arms: Sequence[ArmSpec]
    task_options: Mapping[str, str] = field(default_factory=dict)
    options: RunOptions = field(default_factory=RunOptions)
    tuned: Settings | None = None


@dataclass(frozen=True)
class AdversarialRequest:
    """Runs of two players, an arm for each pair of optimizers.

    Attributes:
        task: the task's name.
        arms: which optimizers train the players; none stands for all pairs that the task has a name for.
        task_options: the task's own options, as text.
        options: of every run.
        samples: directory of the grids of generated images; ``None`` draws none.
    """

    task: str
    arms: Sequence[PlayersArm]
    task_options: Mapping[str, str] = field(default_factory=dict)
    options: AdversarialOptions = field(default_factory=AdversarialOptions)
    samples: Path | None = None
