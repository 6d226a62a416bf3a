"""The comparison of two documents of records, metric by metric and arm by arm, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ngbench.errors import NotComparableError
from ngbench.records.attribution import attribute
from ngbench.records.comparability import Obstacle, Pair, machine_of, match_arms
from ngbench.records.experiments import ComparedRecord, GateRecord, ProblemRecord, Verdict
from ngbench.records.fisher_errors import holds_fisher_errors, measure_fisher_errors
from ngbench.records.metric_changes import NotApplicable, Outcome, expand, measure, recorded_target
from ngbench.records.quantities import Quantity
from ngbench.records.record import Document
from ngbench.records.statistics import FAILED
from ngbench.records.thresholds import Threshold
from ngbench.records.timing import busy_machine
from ngbench.records.verdict import Change, judge, limit_of
from ngbench.spelling import argument

__all__ = ["STATUS", "check"]

STATUS = "status"
"""The metric of the row that says whether an arm's runs ended as they did in the baseline."""


_CLEAR = (Verdict.WORSE, Verdict.BETTER)


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
    across_machines: bool = False,
    together: bool = False,
) -> GateRecord:
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
        across_machines: whether ratios of times are compared although the processors differ.
        together: whether the runs of both documents took turns with each other.

    Raises:
        NotComparableError: the baseline is empty.
        UnknownNameError: an arm that is in neither document.
    """
    if not baseline.runs and not holds_fisher_errors(baseline):
        raise NotComparableError("the baseline holds no runs, so there is nothing to compare with")
    pairs, problems, notes = match_arms(baseline, current, labels=labels, reference=reference)
    pairs = [replace(pair, together=together) for pair in pairs]
    gate = _Gate(
        current=current,
        baseline=baseline,
        pairs=pairs,
        target=recorded_target(run for pair in pairs for run in pair.current) if target_loss is None else target_loss,
        floor=floor,
        asked_for=asked_for,
        across_machines=across_machines,
        problems=list(problems),
        notes=list(notes),
    )
    for threshold in thresholds:
        gate.apply(threshold)
    gate.say_processes()
    if not gate.comparisons and not gate.problems:
        gate.problems.append(Obstacle("the records", "no metric could be compared"))
    statuses = [row for pair in pairs for row in _statuses(pair)]
    order = {pair.label: at for at, pair in enumerate(pairs)}
    comparisons = sorted([*statuses, *gate.comparisons], key=lambda row: order.get(row.arm, len(order)))
    return GateRecord(
        comparisons=comparisons,
        not_comparable=[ProblemRecord(subject=found.subject, reason=found.reason) for found in gate.problems],
        notes=gate.notes,
        fail_on_inconclusive=fail_on_inconclusive,
    )


def _statuses(pair: Pair) -> Iterator[ComparedRecord]:
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
        yield ComparedRecord(metric=STATUS, arm=pair.label, verdict=verdict, unit="number", note="; ".join(texts))


@dataclass
class _Gate:
    """Applies thresholds one after the other and collects what comes of it."""

    current: Document
    baseline: Document
    pairs: Sequence[Pair]
    target: float | None
    floor: float
    asked_for: bool
    across_machines: bool
    problems: list[Obstacle]
    notes: list[str]
    comparisons: list[ComparedRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        before = machine_of(self.baseline, [run for pair in self.pairs for run in pair.baseline])
        now = machine_of(self.current, [run for pair in self.pairs for run in pair.current])
        self._machines = f"the machine is {before} in the baseline and {now} now" if before != now else ""
        if self._machines:
            compared = "ratios, counts and losses" if self.across_machines else "counts and losses"
            self.notes.append(f"{self._machines[0].upper()}{self._machines[1:]}: {compared} compare, times do not.")
        for side, document in (("In the baseline, ", self.baseline), ("", self.current)):
            self.notes += [f"{side}{sentence}" for sentence in busy_machine(document.runs)]

    def apply(self, threshold: Threshold) -> None:
        metric = threshold.metric
        of_ratio = metric.is_ratio_of_times and not self.across_machines
        if self._machines and (metric.compares_absolute_times or of_ratio):
            advice = f"; {argument('across_machines')} compares it all the same" if of_ratio else ""
            self.problems.append(Obstacle(str(metric), f"{self._machines}{advice}"))
            return
        missing: list[tuple[str, NotApplicable]] = []
        applied = False
        for named, where, outcome in self._outcomes(metric):
            arm = where.label if isinstance(where, Pair) else where
            if isinstance(outcome, NotApplicable):
                missing.append((arm, outcome))
                continue
            applied = True
            if isinstance(outcome, Obstacle):
                self.problems.append(outcome)
            else:
                self.comparisons.append(self._judged(named, where, outcome, threshold))
        if applied:
            self.notes += [f"{metric}, {arm}: {reason.reason}." for arm, reason in missing if reason.new]
        else:
            self._not_applied(metric, missing)

    def say_processes(self) -> None:
        """How many processes the times that were compared are of, where they are of one."""
        if not any(found.unit in ("seconds", "ratio") and found.low is not None for found in self.comparisons):
            return
        single = [
            side
            for side, document in (("in the baseline", self.baseline), ("now", self.current))
            if not any(run.restarts for run in document.runs)
        ]
        if len(single) == 2:
            self.notes.append(
                "Times were measured in one process of each arm: their intervals do not hold what differs between "
                f"processes, which {argument('restarts')} measures."
            )
        elif single:
            self.notes.append(
                f"Times were measured in one process of each arm {single[0]}: it is taken to vary as the others do."
            )

    def _not_applied(self, metric: Quantity, missing: Sequence[tuple[str, NotApplicable]]) -> None:
        worth = [(arm, found.reason) for arm, found in missing if self.asked_for or not found.expected]
        why = "; ".join(f"{arm}: {reason}" for arm, reason in worth)
        if not self.asked_for:
            self.notes += [f"{metric} was not compared ({why})."] if why else []
        elif self.pairs or not self.problems:
            self.problems.append(Obstacle(str(metric), f"nothing has it{f' ({why})' if why else ''}"))

    def _outcomes(self, metric: Quantity) -> Iterator[tuple[Quantity, Pair | str, Outcome]]:
        if metric.form == "fisher_error.NAME":
            yield from measure_fisher_errors(metric, self.baseline, self.current, self.pairs)
            return
        for pair in self.pairs:
            for named in expand(metric, pair):
                yield named, pair, measure(named, pair, target=self.target)

    def _judged(self, metric: Quantity, where: Pair | str, change: Change, threshold: Threshold) -> ComparedRecord:
        verdict = judge(change, threshold, self.floor)
        note = change.note
        if isinstance(where, Pair) and metric.form.startswith("step_time") and verdict in _CLEAR:
            note = "; ".join(part for part in (attribute(where), note) if part)
        return ComparedRecord(
            metric=str(metric),
            arm=where.label if isinstance(where, Pair) else where,
            verdict=verdict,
            baseline=change.baseline,
            current=change.current,
            relative_change=change.relative,
            low=change.low,
            high=change.high,
            n=change.n,
            limit=limit_of(change, threshold, self.floor),
            unit=metric.unit,
            threshold=threshold.text,
            note=note or None,
        )
