"""Which runs of two documents may be compared, and what forbids it for the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ngbench.errors import UnknownNameError
from ngbench.records.differences import differences, differing_fields
from ngbench.records.record import Document, RunRecord

__all__ = ["Obstacle", "Pair", "group_arms", "machine_of", "match_arms"]

Arms = dict[str, list[RunRecord]]

_SIDES = ("in the baseline", "now")
_UNFINISHED = frozenset({"running", "interrupted"})

_CONDITIONS = (
    "task_options",
    "data.name",
    "data.origin",
    "data.digest",
    "optimizer.name",
    "optimizer.hyperparameters",
    "batch_size",
    "dtype",
    "threads",
    "budget",
    "conditions",
    "target_loss",
)
"""What must be equal for two runs to be two measurements of the same thing, besides the task and the kind of device."""


@dataclass(frozen=True)
class Obstacle:
    """Something that could not be compared.

    Attributes:
        subject: the arm or the metric, as the user names it.
        reason: why not, in words that go after the subject and a colon.
    """

    subject: str
    reason: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}"


@dataclass(frozen=True)
class Pair:
    """An arm in both documents: runs of the same seeds, in the same order.

    Attributes:
        label: of the arm.
        baseline: its runs in the baseline.
        current: its runs now.
        reference: the reference arm's runs in the baseline and now; ``None`` for the reference arm itself and
            where the reference arm cannot be compared.
        is_reference: whether it is the reference arm.
        together: whether the two took turns, so that each round of one has its counterpart.
        further: its runs now of seeds that the baseline does not have.
    """

    label: str
    baseline: Sequence[RunRecord]
    current: Sequence[RunRecord]
    reference: tuple[Sequence[RunRecord], Sequence[RunRecord]] | None = None
    is_reference: bool = False
    together: bool = False
    further: Sequence[RunRecord] = ()


@dataclass
class _Found:
    pairs: list[Pair] = field(default_factory=list)
    problems: list[Obstacle] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def group_arms(runs: Iterable[RunRecord]) -> Arms:
    """The runs of each arm by its label, in their order."""
    arms: Arms = {}
    for run in runs:
        arms.setdefault(run.label, []).append(run)
    return arms


def machine_of(document: Document, runs: Sequence[RunRecord]) -> str:
    """The machines on which the runs computed: processor, and device where it has a name of its own."""
    found = []
    for run in runs:
        # Runs that were merged from elsewhere carry their own environment.
        processor = (run.environment or document.environment).processor
        found.append(f"{run.device_name} with {processor}" if run.device_name else processor)
    return ", ".join(dict.fromkeys(found))


def match_arms(
    baseline: Document, current: Document, *, labels: Sequence[str] = (), reference: str | None = None
) -> tuple[list[Pair], list[Obstacle], list[str]]:
    """The arms that can be compared, the problems with those that cannot, and remarks.

    Args:
        baseline: the document to compare with.
        current: the document that is judged.
        labels: arms to look at; all of the baseline's by default.
        reference: the arm that ratios refer to; the baseline's first arm by default.

    Raises:
        UnknownNameError: a label, or the reference, is in neither document.
    """
    before, now = group_arms(baseline.runs), group_arms(current.runs)
    known = dict.fromkeys([*before, *now])
    for label in labels:
        if label not in known:
            raise UnknownNameError("arm", label, known)
    if reference is not None and reference not in known:
        raise UnknownNameError("reference arm", reference, known)
    found = _Found()
    for label in labels or known:
        if label not in before:
            found.notes.append(f"{label} is new: the baseline does not have it, so nothing says whether it got worse.")
        elif label not in now:
            found.problems.append(Obstacle(label, "the arm has vanished, the baseline has it"))
        else:
            _match_arm(label, before[label], now[label], found)
    origin = reference if reference is not None else next(iter(before), None)
    return _with_reference(found.pairs, before, now, origin), found.problems, found.notes


def _match_arm(label: str, before: Sequence[RunRecord], now: Sequence[RunRecord], found: _Found) -> None:
    by_seed = {run.seed: run for run in now}
    missing = [run.seed for run in before if run.seed not in by_seed]
    if missing:
        found.problems.append(Obstacle(label, f"{_seeds(missing)} vanished, the baseline has {_has(missing)}"))
        return
    shared = [(run, by_seed[run.seed]) for run in before]
    reasons = list(dict.fromkeys(reason for pair in shared for reason in _obstacles(*pair)))
    if reasons:
        found.problems.append(Obstacle(label, "; ".join(reasons)))
        return
    known = {run.seed for run in before}
    further = [run for run in now if run.seed not in known]
    if extra := [run.seed for run in further]:
        found.notes.append(f"{label}: {_seeds(extra)} left out, the baseline does not have {_has(extra)}.")
    found.pairs.append(Pair(label, [run for run, _ in shared], [run for _, run in shared], further=further))


def _seeds(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def _has(seeds: Sequence[int]) -> str:
    return "it" if len(seeds) == 1 else "them"


def _with_reference(pairs: Sequence[Pair], before: Arms, now: Arms, origin: str | None) -> list[Pair]:
    # The reference arm may be left out of the arms to look at, but it must be comparable.
    alone = _Found()
    if origin is not None and origin in before and origin in now:
        _match_arm(origin, before[origin], now[origin], alone)
    both = (alone.pairs[0].baseline, alone.pairs[0].current) if alone.pairs else None
    return [
        replace(pair, is_reference=True) if pair.label == origin else replace(pair, reference=both) for pair in pairs
    ]


def _obstacles(before: RunRecord, now: RunRecord) -> Iterator[str]:
    """What forbids comparing two runs, in words."""
    for which, run in (("baseline", before), ("current", now)):
        if run.status in _UNFINISHED:
            yield f"the {which} run with seed {run.seed} is not finished ({run.status})"
    if before.task != now.task:
        # What else differs follows from that.
        yield from differences(before.task, now.task, "task", sides=_SIDES)
        return
    yield from differing_fields(before, now, _CONDITIONS, sides=_SIDES)
    yield from differences(before.device.partition(":")[0], now.device.partition(":")[0], "device", sides=_SIDES)
