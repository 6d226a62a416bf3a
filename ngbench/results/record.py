"""The record of a run, and the document that holds records: the only place where their shape is written down.

``ngbench schema`` prints the JSON Schema that follows from these classes. Numbers that do not exist (a target
not reached, a loss that is not finite) are ``null``, never a stand-in value. Unknown keys are kept, so that a
plugin may add its own.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "SCHEMA_VERSION",
    "AdversarialRecord",
    "DataRecord",
    "Document",
    "EnvironmentRecord",
    "FidRecord",
    "History",
    "LayerRecord",
    "MemoryRecord",
    "OptimizerRecord",
    "PhaseCost",
    "PhaseRecord",
    "RunRecord",
    "Status",
    "StepsRecord",
    "status_help",
]

SCHEMA_VERSION: Final = 1

status_help = {
    "running": "not finished; what is there can be resumed",
    "done": "ran its whole budget or stopped early as asked",
    "diverged": "the loss became NaN, infinite or larger than can be represented",
    "interrupted": "stopped by the user; can be resumed",
    "timeout": "the time limit ended it",
    "out_of_memory": "the device or the machine ran out of memory",
    "failed": "an error in the optimizer, the task or the tool; the message says which",
}
Status = Literal["running", "done", "diverged", "interrupted", "timeout", "out_of_memory", "failed"]


def _finite_or_none(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


Number = Annotated[float | None, BeforeValidator(_finite_or_none)]
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", validate_assignment=False)


class DataRecord(_Part):
    """Which data the run used; ``origin`` says whether they are the original."""

    name: str
    origin: Literal["original", "generated", "stand-in"]
    description: str
    digest: str
    train_examples: Count
    validation_examples: Count


class OptimizerRecord(_Part):
    """The optimizer's plugin name (or dotted class name) and every hyper-parameter, defaults included."""

    name: str
    hyperparameters: dict[str, Any]
    distribution: str | None = None


class History(_Part):
    """One entry per finished epoch; all lists have the same length.

    ``train_loss`` is the mean of the mini-batch losses seen in the epoch, ``elapsed_seconds`` the training
    time since the start with evaluation, logging and checkpoints left out. ``metrics`` are of the validation examples
    after the epoch; ``training_metrics`` are the same ones of the training examples, averaged over the epoch's
    mini-batches as ``train_loss`` is: of the outputs that were made for the loss, by weights that change from step to
    step, of augmented inputs, in training mode. A record from before they were measured has none.
    """

    epoch: list[Count] = []
    step: list[Count] = []
    train_loss: list[Number] = []
    validation_loss: list[Number] = []
    elapsed_seconds: list[Seconds] = []
    metrics: dict[str, list[Number]] = {}
    training_metrics: dict[str, list[Number]] = {}


class StepsRecord(_Part):
    """``seconds`` and ``kind``, ``plain`` or ``refresh``, have one entry per step and the same length.

    ``turns`` says how the run was cut into the turns in which the arms of a comparison alternate: for each, how many
    steps had been taken at its end. A record without it took an epoch in each turn. ``interrupted`` holds the places
    (from 0) of the steps in which the operating system took the processor away; ``null`` where that is not known.
    """

    seconds: list[Seconds] = []
    kind: list[Literal["plain", "refresh"]] = []
    turns: list[Count] = []
    interrupted: list[Count] | None = None


class PhaseCost(_Part):
    """What one phase cost over some steps.

    ``flops`` and ``bytes`` are per call, counted on probe steps outside the run: floating-point operations of
    matrix products, convolutions and factorisations, and bytes read and written by tensor operations.
    ``unknown_operators`` is how many calls of operators without a formula are left out of ``flops``; the run's key of
    that name says which.
    """

    seconds_total: Seconds
    calls: Count
    flops: Count | None = None
    bytes: Count | None = None
    unknown_operators: Count = 0


class PhaseRecord(PhaseCost):
    """What one phase cost over the run: over all steps, and over those of each kind (``by_kind``).

    ``seconds_by_round`` and ``calls_by_round`` have one entry for each of the run's turns, see ``steps.turns``: the
    replicates from which a phase's time has an interval. Those that begin with ``undisturbed`` are the same without the
    steps in ``steps.interrupted``, and empty where these are not known.
    """

    by_kind: dict[Literal["plain", "refresh"], PhaseCost] = {}
    seconds_by_round: list[Seconds] = []
    calls_by_round: list[Count] = []
    undisturbed_seconds_by_round: list[Seconds] = []
    undisturbed_calls_by_round: list[Count] = []


class LayerRecord(_Part):
    """A layer that the optimizer has a curvature of: its weight matrix is ``d_out × d_in``, the bias column included,
    and an example uses it at ``positions`` places."""

    name: str
    d_in: Count
    d_out: Count
    positions: Count = 1


class MemoryRecord(_Part):
    """Bytes. ``peak_bytes`` is the device's allocator peak on CUDA, the process' resident-set peak on the
    CPU; ``baseline_bytes`` the same quantity before the optimizer was built."""

    peak_bytes: Count | None = None
    baseline_bytes: Count | None = None
    optimizer_state_bytes: Count | None = None
    parameter_bytes: Count | None = None


class FidRecord(_Part):
    """How generated images were scored: the Fréchet distance of (5.33) and the network whose features it compares.

    ``metric`` is the name of the score in ``history.metrics``: ``fid`` for Inception's features, another for any
    other network's, because scores of different networks do not compare. ``accuracy`` is that of a classifier on
    the validation images.
    """

    metric: str
    network: str
    digest: str
    features: Count
    accuracy: float | None = None
    every: Annotated[int, Field(ge=1)]
    samples: Count
    real_samples: Count


class AdversarialRecord(_Part):
    """What only a run of two players has (Algorithm 4).

    A step is an iteration: ``critic_steps`` steps of the critic and one of the generator. ``phases`` are named
    after the player, ``critic/forward``; beside the names of any run there are ``critic/generate``, which makes
    the generated images that the critic learns from, and ``critic/penalty``, the gradient penalty with its double
    backward pass. ``history.train_loss`` is the generator's loss, ``history.metrics`` has ``critic_loss`` (the
    penalty included), ``gradient_penalty`` (before it is weighted) and the score. The run's key ``samples`` lists the
    grids of generated images, ``{epoch, path}``, the path being relative to the directory of the record.
    """

    players: dict[Literal["generator", "critic"], OptimizerRecord]
    critic_steps: Annotated[int, Field(ge=1)]
    penalty: Annotated[float, Field(ge=0)]
    fid: FidRecord


class RunRecord(_Part):
    """One training run of one optimizer with one seed."""

    label: str
    position: Count | None = None
    """Among the arms of its command, from 0: the first one is the reference unless another is named."""
    task: str
    task_options: dict[str, Any] = {}
    data: DataRecord
    optimizer: OptimizerRecord
    seed: int
    device: str
    device_name: str | None = None
    dtype: str
    batch_size: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1)] | None = None
    budget: dict[str, Any] = {}
    status: Status = "running"
    message: str | None = None
    target_loss: Number = None
    parameters: Count | None = None
    history: History = History()
    steps: StepsRecord = StepsRecord()
    phases: dict[str, PhaseRecord] = {}
    unknown_operators: list[str] = []
    """Called in the steps whose operations were counted, without a formula: the counts of phases leave them out."""
    operations_error: str | None = None
    """Why no operations were counted, where they were to be."""
    memory: MemoryRecord = MemoryRecord()
    layers: list[LayerRecord] = []
    diagnostics: dict[str, list[Any]] = {}
    started_at: str | None = None
    adversarial: AdversarialRecord | None = None


class EnvironmentRecord(_Part):
    """Where the runs were made."""

    ngbench: str
    python: str
    torch: str | None = None
    cuda: str | None = None
    platform: str
    processor: str
    cores: Count
    memory_bytes: Count
    threads: Count | None = None
    git_commit: str | None = None


class Document(_Part):
    """The top level of every JSON file that the tool writes."""

    schema_version: Literal[1] = SCHEMA_VERSION
    environment: EnvironmentRecord
    runs: list[RunRecord]
