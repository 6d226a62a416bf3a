"""Which trials of a search are over, which are being run, and which is next: one truth for all processes.

A search gives each arm a number of trials. A *trial* here is one of these numbers; the storage holds *attempts* at it,
of which there is one unless a process was killed, interrupted, or out of memory. An attempt is made known, with its
point and its worker, in one step that no other process can get between; so no two processes run the same trial, and
what a killed process was at is found and run again with the same point.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from ngbench.errors import RecordError
from ngbench.experiments.search.liveness import is_alive, this_worker
from ngbench.experiments.search.marks import Identity, Marks
from ngbench.experiments.search.samplers import Direction, Proposer, distributions
from ngbench.experiments.search.storage import SharedStorage
from ngbench.records.differences import differences
from ngbench.records.experiments import OutcomeName, outcome_help

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

__all__ = ["Attempt", "Busy", "Ledger", "Outcome", "SearchedArm", "TakenTrial", "trial_label"]

_RETRIED = frozenset({"killed", "interrupted"})
_WORSE_THAN_ANY = frozenset({"diverged", "target_not_reached", "no_value"})

ATTEMPTS = 5
"""A trial whose process was killed so often is lost."""

_Model = TypeVar("_Model", bound=BaseModel)

_IDENTITY = "ngbench"
_TRIAL, _WORKER, _SIGN, _RESULT = "trial", "worker", "last_sign", "result"


@dataclass(frozen=True)
class SearchedArm:
    """An arm of a search.

    Attributes:
        label: what it is called.
        proposer: which point each trial tries.
        trials: how many of them there are.
        identity: what must be equal for it to be the same arm: plain values.
    """

    label: str
    proposer: Proposer
    trials: int
    identity: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt.

    Attributes:
        name: see :data:`~ngbench.records.experiments.outcome_help`.
        value: of the metric, the mean over seeds.
        message: one sentence, where there is more to say.
        seconds: of training, over all seeds.
        steps: updates, over all seeds.
    """

    name: OutcomeName
    value: float | None = None
    message: str | None = None
    seconds: float = 0.0
    steps: int = 0


@dataclass(frozen=True)
class TakenTrial:
    """A trial that this process has to run.

    Attributes:
        arm: the arm's label.
        number: of the trial, from 0.
        point: what it tries, as the storage has it.
        identifier: of the attempt in the storage.
        before: what came of the attempts before it.
    """

    arm: str
    number: int
    point: Mapping[str, Any]
    identifier: int
    before: tuple[OutcomeName, ...] = ()


@dataclass(frozen=True)
class Busy:
    """There is nothing to claim.

    Attributes:
        running: how many trials are still run, here or elsewhere; when one of them dies there is something again.
    """

    running: int


def trial_label(arm: str, number: int) -> str:
    """What the records of a trial are called, which is counted from 0."""
    return f"{arm}-trial-{number:03d}"


@dataclass(frozen=True)
class Attempt:
    """An attempt at a trial, as the storage has it.

    Attributes:
        number: of the trial.
        point: what it tried.
        outcome: what came of it.
        counts: whether the trial is over with it.
        order: its place among all attempts of the arm.
    """

    number: int
    point: Mapping[str, Any]
    outcome: Outcome
    counts: bool
    order: int


class Ledger:
    """The trials of all arms of one search.

    Args:
        storage: where they are.
        arms: the arms of this process; other processes may have others.
        common: what must be equal for all arms of the search: plain values.
        direction: whether small or large values are good.

    Raises:
        RecordError: the storage is another search's, naming what differs, or of another program.
    """

    def __init__(
        self,
        storage: SharedStorage,
        arms: Sequence[SearchedArm],
        common: Mapping[str, Any],
        direction: Direction,
    ) -> None:
        self._shared = storage
        self._arms = {arm.label: arm for arm in arms}
        self._common = json.loads(json.dumps(common))
        self._direction = direction
        self._studies: dict[str, int] = {}
        with storage.exclusive() as opened:
            self._check(opened)
            for arm in arms:
                self._studies[arm.label] = self._study(opened, arm)

    def claim(self) -> TakenTrial | Busy:
        """The next trial, of the arm that is furthest behind; it is this process' from now on."""
        with self._shared.exclusive() as storage:
            attempts = {label: self._living(storage, label) for label in self._arms}
            begun = {label: len({a.number for a in _attempts(found)}) for label, found in attempts.items()}
            running = 0
            for label in sorted(self._arms, key=lambda label: begun[label]):
                arm, found = self._arms[label], attempts[label]
                number, busy = _next(_attempts(found), arm.trials)
                running += busy
                if number is not None:
                    return self._begin(storage, arm, number, found)
            return Busy(running)

    def sign(self, claim: TakenTrial) -> None:
        """Say that the claim's worker is alive."""
        with self._shared.exclusive() as storage:
            if not storage.get_trial(claim.identifier).state.is_finished():
                storage.set_trial_user_attr(claim.identifier, _SIGN, time.time())

    def finish(self, claim: TakenTrial, outcome: Outcome) -> bool:
        """Write down what came of the claim.

        Returns:
            Whether it counts; not if the trial is to be tried again, or was given to another process because this one
            was believed to be dead.
        """
        from optuna.trial import TrialState

        if outcome.name == "killed" and claim.before.count("killed") + 1 >= ATTEMPTS:
            outcome = replace(outcome, name="lost")
        again = outcome.name in _RETRIED or (outcome.name == "out_of_memory" and outcome.name not in claim.before)
        state = TrialState.FAIL
        if outcome.name == "done":
            state = TrialState.COMPLETE
        elif outcome.name in _WORSE_THAN_ANY:
            # What TPE takes for a point that is worse than any with a value.
            state = TrialState.PRUNED
        with self._shared.exclusive() as storage:
            if storage.get_trial(claim.identifier).state.is_finished():
                return False
            _write(storage, claim.identifier, state, outcome, counts=not again)
        return not again

    def attempts(self, label: str) -> list[Attempt]:
        """All attempts of the arm, in the order in which they began."""
        with self._shared.exclusive() as storage:
            return _attempts(self._trials(storage, label))

    def hurry(self) -> None:
        """From now on, wait for other processes for a few seconds at most."""
        self._shared.hurry()

    def _check(self, storage: BaseStorage) -> None:
        with self._shared.reading():
            studies = [
                (study, bool(storage.get_all_trials(study._study_id, deepcopy=False)))
                for study in storage.get_all_studies()
            ]
        for study, used in studies:
            there = study.user_attrs.get(_IDENTITY)
            if there is None:
                if used:
                    raise RecordError(
                        f"the storage {str(self._shared.path)!r} holds the study {study.study_name!r}, "
                        "which ngbench tune did not make"
                    )
                continue
            self._validate(Identity, there, f"study {study.study_name!r}")
            if len(study.directions) != 1:
                raise RecordError(
                    f"the storage {str(self._shared.path)!r} is corrupt: study {study.study_name!r} has "
                    f"{len(study.directions)} directions, it must have one"
                )
            differing = list(differences(there["search"], self._common))
            if study.study_name in self._arms:
                arm = json.loads(json.dumps(self._arms[study.study_name].identity))
                differing += differences(there["arm"], arm, study.study_name)
            if differing:
                raise RecordError(
                    f"the storage {str(self._shared.path)!r} is of another search: {'; '.join(differing)}"
                )

    def _study(self, storage: BaseStorage, arm: SearchedArm) -> int:
        from optuna.study import StudyDirection

        with self._shared.reading():
            names = {study.study_name: study._study_id for study in storage.get_all_studies()}
        if arm.label in names:
            identifier = names[arm.label]
        else:
            direction = StudyDirection.MINIMIZE if self._direction == "minimize" else StudyDirection.MAXIMIZE
            identifier = storage.create_new_study([direction], arm.label)
        if _IDENTITY not in storage.get_study_user_attrs(identifier):
            identity = {"search": self._common, "arm": arm.identity}
            storage.set_study_user_attr(identifier, _IDENTITY, json.loads(json.dumps(identity)))
        return identifier

    def _living(self, storage: BaseStorage, label: str) -> list[FrozenTrial]:
        """The arm's attempts, of which those whose process is gone are written down as killed."""
        from optuna.trial import TrialState

        found = self._trials(storage, label)
        dead = [
            trial
            for trial in found
            if not trial.state.is_finished() and not is_alive(trial.user_attrs[_WORKER], trial.user_attrs[_SIGN])
        ]
        if not dead:
            return found
        killed = Counter(a.number for a in _attempts(found) if a.outcome.name == "killed")
        for trial in dead:
            lost = killed[trial.user_attrs[_TRIAL]] + 1 >= ATTEMPTS
            outcome = Outcome("lost" if lost else "killed", message="the process that ran it was killed")
            _write(storage, trial._trial_id, TrialState.FAIL, outcome, counts=lost)
        return self._trials(storage, label)

    def _trials(self, storage: BaseStorage, label: str) -> list[FrozenTrial]:
        """The arm's attempts as the storage has them.

        Raises:
            RecordError: they are not what ngbench writes.
        """
        with self._shared.reading():
            found = storage.get_all_trials(self._studies[label], deepcopy=False)
            for trial in found:
                self._check_attempt(trial, label)
        return found

    def _check_attempt(self, trial: FrozenTrial, label: str) -> None:
        where = f"attempt {trial.number} of {label!r}"
        marks = self._validate(Marks, trial.user_attrs, where)
        space = self._arms[label].proposer.space
        wrong = None
        if trial.params.keys() != space.keys():
            wrong = f"it tries {', '.join(map(str, trial.params)) or 'nothing'}, not {', '.join(space) or 'nothing'}"
        elif others := [name for name, value in trial.params.items() if not space[name].holds(value)]:
            wrong = f"{others[0]}={trial.params[others[0]]} is not searched"
        elif trial.state.is_finished():
            told = marks.result.outcome.name if marks.result is not None else None
            if told not in outcome_help or told == "running":
                wrong = f"it is over, and what came of it is {told!r}"
            elif not (told != "done" if trial.value is None else math.isfinite(trial.value)):
                wrong = f"it is {told}, and its value is {trial.value}"
        if wrong is not None:
            raise RecordError(f"the storage {str(self._shared.path)!r} is corrupt: {where}: {wrong}")

    def _validate(self, model: type[_Model], content: Any, where: str) -> _Model:
        try:
            return model.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            raise RecordError(
                f"the storage {str(self._shared.path)!r} is corrupt: {where} at {key}: {first['msg']}"
            ) from error

    def _begin(self, storage: BaseStorage, arm: SearchedArm, number: int, found: Sequence[FrozenTrial]) -> TakenTrial:
        from optuna.trial import TrialState, create_trial

        earlier = [attempt for attempt in _attempts(found) if attempt.number == number]
        if earlier:
            point = dict(earlier[-1].point)
        else:
            useful = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
            point = arm.proposer.propose(number, [trial for trial in found if trial.state in useful])
        attempt = create_trial(
            state=TrialState.RUNNING,
            params=point,
            distributions=distributions(arm.proposer.space),
            user_attrs={_TRIAL: number, _WORKER: this_worker(), _SIGN: time.time()},
        )
        identifier = storage.create_new_trial(self._studies[arm.label], attempt)
        return TakenTrial(arm.label, number, point, identifier, tuple(attempt.outcome.name for attempt in earlier))


def _next(attempts: Sequence[Attempt], trials: int) -> tuple[int | None, int]:
    """The first trial that is neither over nor being run, and how many are being run."""
    over = {attempt.number for attempt in attempts if attempt.counts}
    running = {attempt.number for attempt in attempts if attempt.outcome.name == "running"}
    free = (number for number in range(trials) if number not in over and number not in running)
    return next(free, None), len(running)


def _attempts(found: Sequence[FrozenTrial]) -> list[Attempt]:
    made = []
    for trial in found:
        result = trial.user_attrs.get(_RESULT) if trial.state.is_finished() else None
        outcome = Outcome("running") if result is None else Outcome(value=trial.value, **result["outcome"])
        counts = result is not None and result["counts"]
        made.append(Attempt(trial.user_attrs[_TRIAL], trial.params, outcome, counts, trial.number))
    return made


def _write(storage: BaseStorage, identifier: int, state: Any, outcome: Outcome, *, counts: bool) -> None:
    result = {
        "name": outcome.name,
        "message": outcome.message,
        "seconds": outcome.seconds,
        "steps": outcome.steps,
    }
    storage.set_trial_user_attr(identifier, _RESULT, {"outcome": result, "counts": counts})
    # Last, since a finished trial cannot be changed, and one that is not finished is run again.
    storage.set_trial_state_values(identifier, state, None if outcome.value is None else [outcome.value])
