"""The pairs of sides that a claim compares, and the runs that each is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product

from ngbench.experiments.studies.claims import Claim, Side, moment_text
from ngbench.experiments.studies.comparisons import NoValue
from ngbench.experiments.studies.published import PublishedArm
from ngbench.records.claim_rule import Relation
from ngbench.records.quantities import ArmRun

__all__ = ["CellRuns", "ClaimPair", "Term", "pairs_of"]


@dataclass(frozen=True)
class CellRuns:
    """What one comparison came to.

    Attributes:
        panel: its panel.
        batch_size: that it ran with.
        arms: for each arm that the study has there, its runs, one for each seed.
        absent: for arms without runs, why they have none.
        published: for arms whose runs were published, these.
    """

    panel: str
    batch_size: int
    arms: Mapping[str, Sequence[ArmRun]]
    absent: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, PublishedArm] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``PANEL-BATCH``, as directories and tables say it."""
        return f"{self.panel}-{self.batch_size}"


@dataclass(frozen=True)
class Term:
    """One side in one place."""

    side: Side
    cell: CellRuns

    def runs(self, arm: str) -> Sequence[ArmRun]:
        """Those of an arm.

        Raises:
            NoValue: there are none.
        """
        found = self.cell.arms.get(arm, ())
        if not found:
            raise NoValue(self.cell.absent.get(arm, f"{arm} has no record in {self.cell.name}"))
        return found

    @property
    def published(self) -> list[PublishedArm]:
        """The published runs of its arms; none where one of them has none."""
        found = [self.cell.published.get(arm) for arm in self.side.arms]
        return [one for one in found if one is not None] if None not in found else []

    def as_published(self, until: int) -> Term:
        """With the published runs up to an epoch in the place of its own."""
        arms = {name: [arm.run(name, until)] for name, arm in self.cell.published.items()}
        return Term(self.side, replace(self.cell, arms=arms))

    def __str__(self) -> str:
        text = self.side.arm
        if self.side.divided_by is not None:
            text += f" / {self.side.divided_by}"
        if self.side.minus is not None:
            text += f" - {self.side.minus}"
        if self.side.measurement is not None:
            text = f"{self.side.measurement} of {text}"
        if self.side.at is not None:
            text += f" at {moment_text(self.side.at)}"
        return text if self.side.times is None else f"{self.side.times:g} × {text}"


@dataclass(frozen=True)
class ClaimPair:
    """Two sides, the right one of which may be a number."""

    left: Term
    relation: Relation
    right: Term | float

    @property
    def terms(self) -> list[Term]:
        """The sides that are no numbers."""
        return [term for term in (self.left, self.right) if isinstance(term, Term)]

    @property
    def cells(self) -> list[str]:
        """The names of the cells that it is about."""
        return list(dict.fromkeys(term.cell.name for term in self.terms))

    @property
    def subject(self) -> str:
        """What is compared where, in words."""
        right = f"{self.right:g}" if isinstance(self.right, float) else str(self.right)
        places = self.cells
        left, right = (
            (f"{self.left} ({places[0]})", f"{right} ({places[-1]})") if len(places) > 1 else (str(self.left), right)
        )
        where = f" ({places[0]})" if len(places) == 1 else ""
        return f"{left} {self.relation.value.replace('_', ' ')} {right}{where}"

    def runs(self) -> dict[str, Sequence[ArmRun]]:
        """The runs of each arm that it is about, in each cell.

        Raises:
            NoValue: there are none.
        """
        return {f"{arm} ({term.cell.name})": term.runs(arm) for term in self.terms for arm in term.side.arms}

    def as_published(self, until: Mapping[str, int]) -> ClaimPair:
        """The same pair of published runs up to an epoch of each cell."""
        left, right = (
            term.as_published(until[term.cell.name]) if isinstance(term, Term) else term
            for term in (self.left, self.right)
        )
        return ClaimPair(left, self.relation, right)  # type: ignore[arg-type]


def pairs_of(claim: Claim, cells: Sequence[CellRuns]) -> Iterator[ClaimPair]:
    """Each pair of sides in each place of the claim where the study has their arms, once.

    Args:
        claim: whose.
        cells: all that the study has, also those that did not run.
    """
    scope = [
        cell
        for cell in cells
        if (claim.panels is None or cell.panel in claim.panels)
        and (claim.batch_sizes is None or cell.batch_size in claim.batch_sizes)
    ]
    seen = set()
    for pair in _trend_pairs(claim, scope) if claim.is_trend else _pairs(claim, scope, cells):
        there = all(arm in term.cell.arms for term in pair.terms for arm in term.side.arms)
        if there and pair.subject not in seen:
            seen.add(pair.subject)
            yield pair


def _pairs(claim: Claim, scope: Sequence[CellRuns], cells: Sequence[CellRuns]) -> Iterator[ClaimPair]:
    for cell in scope:
        for left, relation, right in _comparisons(claim):
            terms = [_term(side, cell, cells) for side in (left, right)]
            if None not in terms:
                yield ClaimPair(terms[0], relation, terms[1])  # type: ignore[arg-type]


def _term(side: Side | float, cell: CellRuns, cells: Sequence[CellRuns]) -> Term | float | None:
    """The side in its place; ``None`` where the study has no such place."""
    if isinstance(side, float):
        return side
    panel, batch_size = side.panel or cell.panel, side.batch_size or cell.batch_size
    return next((Term(side, other) for other in cells if (other.panel, other.batch_size) == (panel, batch_size)), None)


def _comparisons(claim: Claim) -> Iterator[tuple[Side, Relation, Side | float]]:
    if claim.order is not None:
        groups = [[group] if isinstance(group, str) else list(group) for group in claim.order]
        for before, after in pairwise(groups):
            for first, second in product(before, after):
                yield Side(arm=first), Relation.BELOW, Side(arm=second)
        return
    assert claim.left is not None
    assert claim.right is not None
    assert isinstance(claim.relation, Relation)
    for left, right in product(_sides(claim.left), _sides(claim.right)):
        if left != right:
            yield _as_side(left), claim.relation, right if isinstance(right, float) else _as_side(right)


def _sides(given: str | float | Side | Sequence[str]) -> list[str | float | Side]:
    return list(given) if isinstance(given, tuple | list) else [given]  # type: ignore[list-item]


def _as_side(given: str | float | Side) -> Side:
    return given if isinstance(given, Side) else Side(arm=str(given))


def _trend_pairs(claim: Claim, scope: Sequence[CellRuns]) -> Iterator[ClaimPair]:
    """Each batch size beside the next smaller one of the same panel."""
    relation = Relation.BELOW if claim.relation == "falls_with_batch_size" else Relation.ABOVE
    assert claim.left is not None
    for panel in dict.fromkeys(cell.panel for cell in scope):
        sizes = sorted((cell for cell in scope if cell.panel == panel), key=lambda cell: cell.batch_size)
        for smaller, larger in pairwise(sizes):
            for given in _sides(claim.left):
                side = _as_side(given)
                yield ClaimPair(Term(side, larger), relation, Term(side, smaller))
