"""The record of a run, and the document that holds records: the only place where their shape is written down.

``ngbench schema`` prints the JSON Schema that follows from these classes. Numbers that do not exist (a target
not reached, a loss that is not finite) are ``null``, never a stand-in value. Unknown keys are kept, so that a
plugin may add its own. Every number and every name has a bound, so that whoever reads a record can compute with it
and show it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ngbench.values import LARGEST_COUNT, LARGEST_NUMBER

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
    "PredictionRecord",
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
    "killed": "somebody or the system killed the process; can be resumed",
    "failed": "an error in the optimizer, the task or the tool; the message says which",
}
Status = Literal["running", "done", "diverged", "interrupted", "timeout", "out_of_memory", "killed", "failed"]


LARGEST_SECONDS: Final = 1e12
LONGEST_NAME: Final = 1000
LONGEST_TEXT: Final = 10_000_000


def _number_or_none(value: Any) -> Any:
    # Written so that it is true of what is no number.
    if isinstance(value, float | int) and not abs(value) <= LARGEST_NUMBER:
        return None
    return value


Number = Annotated[float | None, BeforeValidator(_number_or_none)]
"""``None`` stands for what is not finite, or beyond :data:`LARGEST_NUMBER`."""
Seconds = Annotated[float, Field(ge=0, le=LARGEST_SECONDS)]
Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
AtLeastOne = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
Name = Annotated[str, Field(max_length=LONGEST_NAME)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", validate_assignment=False)


class DataRecord(_Part):
    """Which data the run used; ``origin`` says whether they are the original."""

    name: Name
    origin: Literal["original", "generated", "stand-in"]
    description: Text
    digest: Name
    train_examples: Count
    validation_examples: Count


class SourceFileRecord(_Part):
    """The user's own file of an optimizer or a task, as it was; ``digest`` is the SHA-256 of its content."""

    path: Text
    digest: Name


class OptimizerRecord(_Part):
    """The optimizer's plugin name (or where it is) and every hyper-parameter, defaults included.

    ``origins`` says of each whose value it is: given with the command, found by a search, published for the task, or
    the optimizer's own default.
    """

    name: Name
    hyperparameters: dict[str, Any]
    distribution: Name | None = None
    file: SourceFileRecord | None = None
    origins: dict[Name, Literal["given", "searched", "published", "default"]] = {}


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
    metrics: dict[Name, list[Number]] = {}
    training_metrics: dict[Name, list[Number]] = {}


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


class PredictionRecord(_Part):
    """What a phase is predicted to cost for a layer in one call: ``operations``, and ``per_iteration`` more for each
    iteration of the estimate, a multiplication and its addition counted as two. ``order`` is the formula in words."""

    order: Name
    operations: Annotated[float, Field(ge=0, le=LARGEST_NUMBER)] = 0.0
    per_iteration: Annotated[float, Field(ge=0, le=LARGEST_NUMBER)] = 0.0


class LayerRecord(_Part):
    """A layer that the optimizer has a curvature of: its weight matrix is ``d_out × d_in``, the bias column included,
    and an example uses it at ``positions`` places. ``predicted`` is by phase, where the method declares it."""

    name: Name
    d_in: Count
    d_out: Count
    positions: Count = 1
    predicted: dict[Name, PredictionRecord] = {}


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

    metric: Name
    network: Name
    digest: Name
    features: Count
    accuracy: Number = None
    every: AtLeastOne
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
    critic_steps: AtLeastOne
    penalty: Annotated[float, Field(ge=0, le=LARGEST_NUMBER)]
    fid: FidRecord


class RunRecord(_Part):
    """One training run of one optimizer with one seed."""

    label: Name
    position: Count | None = None
    """Among the arms of its command, from 0: the first one is the reference unless another is named."""
    task: Name
    task_options: dict[str, Any] = {}
    task_file: SourceFileRecord | None = None
    data: DataRecord
    optimizer: OptimizerRecord
    seed: Annotated[int, Field(ge=-LARGEST_COUNT, le=LARGEST_COUNT)]
    device: Name
    device_name: Name | None = None
    dtype: Name
    batch_size: AtLeastOne
    threads: AtLeastOne | None = None
    budget: dict[str, Any] = {}
    status: Status = "running"
    message: Text | None = None
    target_loss: Number = None
    parameters: Count | None = None
    history: History = History()
    steps: StepsRecord = StepsRecord()
    phases: dict[Name, PhaseRecord] = {}
    unknown_operators: list[Name] = []
    """Called in the steps whose operations were counted, without a formula: the counts of phases leave them out."""
    operations_error: Text | None = None
    """Why no operations were counted, where they were to be."""
    memory: MemoryRecord = MemoryRecord()
    layers: list[LayerRecord] = []
    diagnostics: dict[Name, list[Any]] = {}
    started_at: Name | None = None
    adversarial: AdversarialRecord | None = None

    def diagnostic(self, name: str) -> list[tuple[int, float]]:
        """The steps after which the diagnostic was a number, and the numbers; a plugin's may be anything."""
        return [
            (entry[0], entry[1])
            for entry in self.diagnostics.get(name, [])
            if isinstance(entry, list | tuple) and len(entry) == 2
            if isinstance(entry[0], int) and isinstance(entry[1], int | float)
        ]


class EnvironmentRecord(_Part):
    """Where the runs were made."""

    ngbench: Name
    python: Name
    torch: Name | None = None
    cuda: Name | None = None
    platform: Name
    processor: Name
    cores: Count
    memory_bytes: Count
    threads: Count | None = None
    git_commit: Name | None = None


class Document(_Part):
    """The top level of every JSON file that the tool writes."""

    schema_version: Literal[1] = SCHEMA_VERSION
    environment: EnvironmentRecord
    runs: list[RunRecord]
