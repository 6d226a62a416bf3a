"""The comparison of two documents of records, metric by metric and arm by arm, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ngbench.errors import NgbenchError, NotComparableError, RegressionError
from ngbench.records.attribution import attribute
from ngbench.records.comparability import Pair, Problem, machine_of, match_arms
from ngbench.records.fisher_errors import holds_fisher_errors, measure_fisher_errors
from ngbench.records.metrics import NotApplicable, Outcome, expand, measure, recorded_target
from ngbench.records.quantities import Quantity
from ngbench.records.record import Document
from ngbench.records.statistics import FAILED
from ngbench.records.thresholds import Threshold
from ngbench.records.timing import busy_machine
from ngbench.records.verdict import Change, Verdict, judge, limit_of

__all__ = ["STATUS", "Comparison", "Report", "check"]

STATUS = "status"
"""The metric of the row that says whether an arm's runs ended as they did in the baseline."""


_NAMED = 3
_CLEAR = (Verdict.WORSE, Verdict.BETTER)


@dataclass(frozen=True)
class Comparison:
    """One metric of one arm.

    Attributes:
        metric: as the user names it.
        arm: label of the arm, or a layer.
        verdict: what it came to.
        change: the two numbers and their difference; ``None`` for a status.
        threshold: as the user gave it; empty for a status.
        limit: the largest difference that is no regression, in the metric's unit.
        unit: of the metric.
        note: what else there is to say, such as the phase that changed most.
    """

    metric: str
    arm: str
    verdict: Verdict
    change: Change | None
    threshold: str
    limit: float
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What ``ngbench check`` found.

    Attributes:
        comparisons: in the order of arms, then of thresholds.
        problems: what could not be compared.
        notes: what there is to know besides.
        fail_on_inconclusive: whether an inconclusive comparison counts as a regression.
    """

    comparisons: Sequence[Comparison]
    problems: Sequence[Problem] = ()
    notes: Sequence[str] = ()
    fail_on_inconclusive: bool = False

    @property
    def regressions(self) -> list[Comparison]:
        """What makes the check fail."""
        failing = {Verdict.WORSE, Verdict.INCONCLUSIVE} if self.fail_on_inconclusive else {Verdict.WORSE}
        return [comparison for comparison in self.comparisons if comparison.verdict in failing]

    @property
    def error(self) -> NgbenchError | None:
        """What ends the command: a regression, else something that could not be compared, else nothing.

        A regression comes first: a renamed arm must not hide that another one got slower.
        """
        if self.regressions:
            named = [f"{found.metric} of {found.arm}" for found in self.regressions]
            worse = all(found.verdict is Verdict.WORSE for found in self.regressions)
            return RegressionError(f"{'worse' if worse else 'worse or inconclusive'}: {_first(named, ', ')}")
        if self.problems:
            return NotComparableError(f"cannot be compared: {_first(list(map(str, self.problems)), '; ')}")
        return None


def _first(texts: Sequence[str], separator: str) -> str:
    """The first few; the report names all."""
    shown = separator.join(texts[:_NAMED])
    return f"{shown} and {len(texts) - _NAMED} more" if len(texts) > _NAMED else shown


def check(
    current: Document,
    baseline: Document,
    thresholds: Sequence[Threshold],
    *,
    floor: float,
    labels: Sequence[str] = (),
    reference: str | None = None,
    target_loss: float | None = None,
    asked_for: bool = True,
    fail_on_inconclusive: bool = False,
) -> Report:
    """Compare two documents.

    Args:
        current: is judged.
        baseline: what it is compared with.
        thresholds: how much worse each metric may be.
        floor: seconds; a smaller difference of time is no regression.
        labels: arms to look at; all by default.
        reference: the arm that ratios refer to; the baseline's first by default.
        target_loss: of the target metrics; the recorded one by default.
        asked_for: whether the user named the thresholds: a metric that no arm has is a problem then, else a remark.
        fail_on_inconclusive: whether an inconclusive comparison counts as a regression.

    Raises:
        NotComparableError: the baseline is empty.
        RecordError: Fisher errors that do not have their shape.
        UnknownNameError: an arm that is in neither document.
    """
    if not baseline.runs and not holds_fisher_errors(baseline):
        raise NotComparableError("the baseline holds no runs, so there is nothing to compare with")
    pairs, problems, notes = match_arms(baseline, current, labels=labels, reference=reference)
    gate = _Gate(
        current=current,
        baseline=baseline,
        pairs=pairs,
        target=recorded_target(pairs) if target_loss is None else target_loss,
        floor=floor,
        asked_for=asked_for,
        problems=list(problems),
        notes=list(notes),
    )
    for threshold in thresholds:
        gate.apply(threshold)
    if not gate.comparisons and not gate.problems:
        gate.problems.append(Problem("the records", "no metric could be compared"))
    statuses = [row for pair in pairs for row in _statuses(pair)]
    order = {pair.label: at for at, pair in enumerate(pairs)}
    comparisons = sorted([*statuses, *gate.comparisons], key=lambda row: order.get(row.arm, len(order)))
    return Report(comparisons, gate.problems, gate.notes, fail_on_inconclusive)


def _statuses(pair: Pair) -> Iterator[Comparison]:
    """A row where a run failed that did not before, the other way round, or both times."""
    rows: dict[Verdict, list[str]] = {}
    for before, now in zip(pair.baseline, pair.current, strict=True):
        then, ended = (run.status.replace("_", " ") for run in (before, now))
        message = f": {now.message.rstrip('.')}" if now.message else ""
        if now.status in FAILED:
            again = before.status in FAILED
            text = f"{ended} with seed {now.seed}{message}" + (f" ({then} in the baseline)" if again else "")
            rows.setdefault(Verdict.SAME if again else Verdict.WORSE, []).append(text)
        elif before.status in FAILED:
            rows.setdefault(Verdict.BETTER, []).append(f"{ended} with seed {now.seed} ({then} in the baseline)")
    for verdict, texts in rows.items():
        yield Comparison(STATUS, pair.label, verdict, None, "", 0.0, "number", "; ".join(texts))


@dataclass
class _Gate:
    """Applies thresholds one after the other and collects what comes of it."""

    current: Document
    baseline: Document
    pairs: Sequence[Pair]
    target: float | None
    floor: float
    asked_for: bool
    problems: list[Problem]
    notes: list[str]
    comparisons: list[Comparison] = field(default_factory=list)

    def __post_init__(self) -> None:
        before = machine_of(self.baseline, [run for pair in self.pairs for run in pair.baseline])
        now = machine_of(self.current, [run for pair in self.pairs for run in pair.current])
        self._machines = f"the machine is {before} in the baseline and {now} now" if before != now else ""
        if self._machines:
            self.notes.append(f"{self._machines[0].upper()}{self._machines[1:]}: ratios, counts and losses compare.")
        for side, document in (("In the baseline, ", self.baseline), ("", self.current)):
            self.notes += [f"{side}{sentence}" for sentence in busy_machine(document.runs)]

    def apply(self, threshold: Threshold) -> None:
        metric = threshold.metric
        if metric.compares_absolute_times and self._machines:
            self.problems.append(Problem(str(metric), self._machines))
            return
        missing: list[tuple[str, NotApplicable]] = []
        applied = False
        for named, where, outcome in self._outcomes(metric):
            arm = where.label if isinstance(where, Pair) else where
            if isinstance(outcome, NotApplicable):
                missing.append((arm, outcome))
                continue
            applied = True
            if isinstance(outcome, Problem):
                self.problems.append(outcome)
            else:
                self.comparisons.append(self._judged(named, where, outcome, threshold))
        if applied:
            self.notes += [f"{metric}, {arm}: {reason.reason}." for arm, reason in missing if reason.new]
        else:
            self._not_applied(metric, missing)

    def _not_applied(self, metric: Quantity, missing: Sequence[tuple[str, NotApplicable]]) -> None:
        why = "; ".join(f"{arm}: {reason.reason}" for arm, reason in missing)
        if not self.asked_for:
            self.notes += [f"{metric} was not compared ({why})."] if why else []
        elif self.pairs or not self.problems:
            self.problems.append(Problem(str(metric), f"nothing has it{f' ({why})' if why else ''}"))

    def _outcomes(self, metric: Quantity) -> Iterator[tuple[Quantity, Pair | str, Outcome]]:
        if metric.form == "fisher_error.NAME":
            yield from measure_fisher_errors(metric, self.baseline, self.current, self.pairs)
            return
        for pair in self.pairs:
            for named in expand(metric, pair):
                yield named, pair, measure(named, pair, target=self.target)

    def _judged(self, metric: Quantity, where: Pair | str, change: Change, threshold: Threshold) -> Comparison:
        verdict = judge(change, threshold, self.floor)
        note = change.note
        if isinstance(where, Pair) and metric.form.startswith("step_time") and verdict in _CLEAR:
            note = "; ".join(part for part in (attribute(where), note) if part)
        return Comparison(
            metric=str(metric),
            arm=where.label if isinstance(where, Pair) else where,
            verdict=verdict,
            change=replace(change, note=""),
            threshold=threshold.text,
            limit=limit_of(change, threshold, self.floor),
            unit=metric.unit,
            note=note,
        )
