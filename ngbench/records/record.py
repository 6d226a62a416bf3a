"""The record of a run, and the document that holds records: their shape is written down here and in what this imports.

``ngbench schema`` prints the JSON Schema that follows from these classes and those of
:mod:`ngbench.records.experiments`, :mod:`ngbench.records.provenance` and :mod:`ngbench.records.studies`. Numbers that
do not exist (a target not reached, a loss that is not finite) are ``null``, never a stand-in value. There are no keys
but the declared ones; what others add stands under ``extras``. Every number and every name has a bound, so that whoever
reads a record can compute with it and show it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from ngbench.records.experiments import (
    BudgetRecord,
    ConformanceRecord,
    DoctorRecord,
    GateRecord,
    SearchRecord,
)
from ngbench.records.part import AtLeastOne, Count, Name, Number, Part, Seconds, Text, described
from ngbench.records.provenance import EnvironmentRecord, SourceFileRecord
from ngbench.records.studies import StudyRecord
from ngbench.values import LARGEST_COUNT, LARGEST_NUMBER

__all__ = [
    "SCHEMA_VERSION",
    "AdversarialRecord",
    "DataRecord",
    "Document",
    "DocumentKind",
    "FidRecord",
    "FisherCurve",
    "FisherErrorRecord",
    "History",
    "LayerRecord",
    "MemoryRecord",
    "OptimizerRecord",
    "PhaseCost",
    "PhaseRecord",
    "RestartRecord",
    "RunRecord",
    "SampleRecord",
    "Status",
    "StepsRecord",
    "TrialMark",
]

SCHEMA_VERSION: Final = 2
"""Version 1 is read too, see :mod:`ngbench.records.migration`."""

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
Status = Annotated[
    Literal["running", "done", "diverged", "interrupted", "timeout", "out_of_memory", "killed", "failed"],
    Field(description=described(status_help)),
]


class DataRecord(Part):
    """Which data the run used; ``origin`` says whether they are the original."""

    name: Name
    origin: Literal["original", "generated", "stand-in"]
    description: Text
    digest: Name
    train_examples: Count
    validation_examples: Count


class OptimizerRecord(Part):
    """The optimizer's plugin name (or where it is) and every hyper-parameter, defaults included.

    ``origins`` says of each whose value it is: given with the command, found by a search, published for the task, or
    the optimizer's own default.
    """

    name: Name
    hyperparameters: dict[str, Any]
    distribution: Name | None = None
    file: SourceFileRecord | None = None
    origins: dict[Name, Literal["given", "searched", "published", "default"]] = {}

    @property
    def settings(self) -> str:
        """Whose hyper-parameters these are on the whole: searched, published or given ones, else defaults."""
        origins = set(self.origins.values())
        chosen = next((origin for origin in ("searched", "published", "given") if origin in origins), None)
        return chosen or ("defaults" if origins else "unknown")


class History(Part):
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


class StepsRecord(Part):
    """``seconds`` and ``kind``, ``plain`` or ``refresh``, have one entry per step and the same length.

    ``turns`` says how the run was cut into the turns in which the arms of a comparison alternate: for each, how many
    steps had been taken at its end. A record without it took an epoch in each turn. ``interrupted`` holds the places
    (from 0) of the steps in which the operating system took the processor away; ``null`` where that is not known.
    """

    seconds: list[Seconds] = []
    kind: list[Literal["plain", "refresh"]] = []
    turns: list[Count] = []
    interrupted: list[Count] | None = None


class PhaseCost(Part):
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


class RestartRecord(Part):
    """The run as another fresh process made it: the seed is the same, so that times differ and ``train_loss``, the last
    one, should not."""

    steps: StepsRecord
    phases: dict[Name, PhaseRecord]
    train_loss: Number = None
    started_at: Name | None = None


class PredictionRecord(Part):
    """What a phase is predicted to cost for a layer in one call: ``operations``, and ``per_iteration`` more for each
    iteration of the estimate, a multiplication and its addition counted as two. ``order`` is the formula in words."""

    order: Name
    operations: Annotated[float, Field(ge=0, le=LARGEST_NUMBER)] = 0.0
    per_iteration: Annotated[float, Field(ge=0, le=LARGEST_NUMBER)] = 0.0


class LayerRecord(Part):
    """A layer that the optimizer has a curvature of: its weight matrix is ``d_out × d_in``, the bias column included,
    and an example uses it at ``positions`` places. ``predicted`` is by phase, where the method declares it."""

    name: Name
    d_in: Count
    d_out: Count
    positions: Count = 1
    predicted: dict[Name, PredictionRecord] = {}


class MemoryRecord(Part):
    """Bytes. ``peak_bytes`` is the device's allocator peak on CUDA, the process' resident-set peak on the
    CPU; ``baseline_bytes`` the same quantity before the optimizer was built; ``source`` says what they are."""

    peak_bytes: Count | None = None
    baseline_bytes: Count | None = None
    optimizer_state_bytes: Count | None = None
    parameter_bytes: Count | None = None
    source: Name | None = None


class FidRecord(Part):
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


class AdversarialRecord(Part):
    """What only a run of two players has (Algorithm 4).

    A step is an iteration: ``critic_steps`` steps of the critic and one of the generator. ``phases`` are named
    after the player, ``critic/forward``; beside the names of any run there are ``critic/generate``, which makes
    the generated images that the critic learns from, and ``critic/penalty``, the gradient penalty with its double
    backward pass. ``history.train_loss`` is the generator's loss, ``history.metrics`` has ``critic_loss`` (the
    penalty included), ``gradient_penalty`` (before it is weighted) and the score. The run's key ``samples`` lists the
    grids of generated images.
    """

    players: dict[Literal["generator", "critic"], OptimizerRecord]
    critic_steps: AtLeastOne
    penalty: Annotated[float, Field(ge=0, le=LARGEST_NUMBER)]
    fid: FidRecord


class SampleRecord(Part):
    """A grid of generated images, made after an epoch: a file, whose path is relative to the directory of the record,
    or the PNG itself in base64."""

    LEFT_OUT = frozenset({"path", "png"})

    epoch: Count
    path: Text | None = None
    png: Text | None = None

    @model_validator(mode="after")
    def _one_source(self) -> SampleRecord:
        if (self.path is None) == (self.png is None):
            raise ValueError("a sample has either a path or a png")
        return self


class FisherCurve(Part):
    """How far one approximation was from the Fisher block; one entry per measured step.

    ``error_1`` and ``error_2`` are the thesis' two errors; ``iterations`` and ``seconds`` say what the
    approximation took, where it is iterative or was timed. ``plugin`` and ``hyperparameters`` say which it was, where
    that was written down.
    """

    LEFT_OUT = frozenset({"plugin", "hyperparameters"})

    plugin: Name | None = None
    hyperparameters: dict[str, Any] = {}
    error_1: list[Number]
    error_2: list[Number]
    iterations: list[Number] = []
    seconds: list[Number] = []


class FisherErrorRecord(Part):
    """The errors of several approximations on the same samples of one layer, at some steps of a run.

    ``layer`` counts the model's layers from 1, or is a name where they were not counted; ``fisher`` says whose targets
    the derivatives were taken at. ``task`` stands where the errors are of no run.
    """

    LEFT_OUT = frozenset({"task"})

    layer: Count | Name
    layer_name: Name | None
    fisher: Name | None
    steps: list[Count]
    approximations: dict[Name, FisherCurve]
    task: Name | None = None

    @model_validator(mode="after")
    def _even(self) -> FisherErrorRecord:
        for name, curve in self.approximations.items():
            for key in ("error_1", "error_2", "iterations", "seconds"):
                values = getattr(curve, key)
                if len(values) != len(self.steps) and (values or key.startswith("error")):
                    raise ValueError(f"{name}.{key} has {len(values)} entries, steps has {len(self.steps)}")
        return self


class TrialMark(Part):
    """Which trial of a search the run belongs to; a trial has a run for each seed."""

    arm: Name
    trial: Count


RunKind = Literal["run", "gan", "fisher-error"]
DocumentKind = Literal["run", "comparison", "gan", "fisher-error", "search", "study", "gate", "doctor", "conformance"]


class RunRecord(Part):
    """One training run of one optimizer with one seed."""

    LEFT_OUT = frozenset(
        {
            "restarts",
            "adversarial",
            "samples",
            "step_losses",
            "fisher_errors",
            "trial",
            "environment",
            "traceback",
            "extras",
        }
    )

    label: Name
    position: Count | None = None
    """Among the arms of its command, from 0: the first one is the reference unless another is named."""
    task: Name
    task_options: dict[str, Any]
    task_file: SourceFileRecord | None = None
    data: DataRecord
    optimizer: OptimizerRecord
    seed: Annotated[int, Field(ge=-LARGEST_COUNT, le=LARGEST_COUNT)]
    device: Name
    device_name: Name | None = None
    dtype: Name
    batch_size: AtLeastOne
    threads: AtLeastOne | None
    budget: BudgetRecord
    conditions: dict[Name, Any] = {}
    """Further options that were set and that results depend on, by name."""
    status: Status
    message: Text | None = None
    traceback: Text | None = None
    """Of the error that ended the run."""
    target_loss: Number = None
    constant_loss: Number = None
    """The training loss of the best prediction that is the same for all examples: of a network that has not trained.
    ``null`` where the likelihood has no formula for it."""
    parameters: Count | None
    history: History
    steps: StepsRecord
    phases: dict[Name, PhaseRecord]
    restarts: list[RestartRecord] = []
    """What further fresh processes took for the same; all else is of the first one."""
    unknown_operators: list[Name] = []
    """Called in the steps whose operations were counted, without a formula: the counts of phases leave them out."""
    operations_error: Text | None = None
    """Why no operations were counted, where they were to be."""
    memory: MemoryRecord
    layers: list[LayerRecord] = []
    diagnostics: dict[Name, list[tuple[Count, Number]]] = {}
    """Numbers that the optimizer tells of its steps, by name: the step, counted from 1, and the number after it."""
    started_at: Name | None
    adversarial: AdversarialRecord | None = None
    samples: list[SampleRecord] = []
    step_losses: list[Number] = []
    """The training loss of each step, of a run that measured Fisher errors: it has no epochs."""
    fisher_errors: list[FisherErrorRecord] = []
    """Of each layer that was measured."""
    trial: TrialMark | None = None
    environment: EnvironmentRecord | None = None
    """Where the run was made, if that is not where the document says."""
    extras: dict[Name, Any] = {}
    """Keys of others' own: ngbench keeps what stands here, and neither writes nor reads it."""

    @property
    def kind(self) -> RunKind:
        """What the run was made for: ``gan`` if two players were trained, ``fisher-error`` if it did nothing but
        measure Fisher errors (it has no epochs and no timed steps), else ``run``."""
        if self.adversarial is not None:
            return "gan"
        only_measured = self.fisher_errors and not self.history.epoch and not self.steps.seconds
        return "fisher-error" if only_measured else "run"

    @property
    def settings(self) -> str:
        """Whose hyper-parameters it ran on; of two players, of either."""
        optimizers = [self.optimizer] if self.adversarial is None else list(self.adversarial.players.values())
        return " and ".join(dict.fromkeys(optimizer.settings for optimizer in optimizers))

    @property
    def processes(self) -> list[RunRecord]:
        """The run as each process made it."""
        if not self.restarts:
            return [self]
        alone = self.model_copy(update={"restarts": []})
        return [
            alone,
            *(alone.model_copy(update={"steps": made.steps, "phases": made.phases}) for made in self.restarts),
        ]

    def diagnostic(self, name: str) -> list[tuple[int, float]]:
        """The steps after which the diagnostic was a number, and the numbers."""
        return [(step, value) for step, value in self.diagnostics.get(name, []) if value is not None]


class Document(Part):
    """The top level of every JSON file that the tool writes.

    What a command finds beside its runs stands under a key of its own, which others leave out.
    """

    LEFT_OUT = frozenset({"part_of", "fisher_errors", "search", "studies", "gate", "doctor", "conformance", "extras"})

    schema_version: Literal[2] = SCHEMA_VERSION
    environment: EnvironmentRecord
    runs: list[RunRecord]
    part_of: Text | None = None
    """The comparison of a study that the runs belong to, in words."""
    fisher_errors: list[FisherErrorRecord] = []
    """Those that belong to no run."""
    search: SearchRecord | None = None
    """What ``ngbench tune`` found; ``runs`` are those of its trials."""
    studies: list[StudyRecord] = []
    """What ``ngbench reproduce`` found; the runs are in files of their own."""
    gate: GateRecord | None = None
    """What ``ngbench check`` found."""
    doctor: DoctorRecord | None = None
    """What ``ngbench doctor`` found."""
    conformance: ConformanceRecord | None = None
    """What ``ngbench check-plugin`` found."""
    extras: dict[Name, Any] = {}
    """Keys of others' own: ngbench keeps what stands here, and neither writes nor reads it."""

    @property
    def kind(self) -> DocumentKind:
        """What the document is about.

        ``gate``, ``doctor``, ``conformance``, ``search`` and ``study`` are told by the key that only they have
        (``study`` by ``studies``). Otherwise the runs tell: ``gan`` where one of them trained two players;
        ``fisher-error`` where there are Fisher errors and no run did anything but measure them; ``run`` for runs of one
        label; ``comparison`` for those of several, and where there is nothing. Runs of several kinds, as in a directory
        of everything, tell their own by :attr:`RunRecord.kind`.
        """
        keys: dict[DocumentKind, Any] = {
            "gate": self.gate,
            "doctor": self.doctor,
            "conformance": self.conformance,
            "search": self.search,
            "study": self.studies,
        }
        for kind, found in keys.items():
            if found:
                return kind
        kinds = {run.kind for run in self.runs}
        if "gan" in kinds:
            return "gan"
        if "run" not in kinds and ("fisher-error" in kinds or self.fisher_errors):
            return "fisher-error"
        return "run" if len({run.label for run in self.runs}) == 1 else "comparison"
