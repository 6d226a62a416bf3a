"""Runs of two players, side by side: their Fréchet distances first, for the losses of a game rank nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ngbench.adversarial_task import Player
from ngbench.records.record import Document
from ngbench.records.statistics import UncertainValue
from ngbench.report.blocks import Bar, BarPart, Bars, Block, Chart, Column, Fact, Notes, Summary, Table, Warnings
from ngbench.report.views.advice import caveats, find_warnings
from ngbench.report.views.charts import about, curves_chart
from ngbench.report.views.comparison import breakdowns
from ngbench.report.views.comparison_tables import cost, notes, number_over_seeds, status
from ngbench.report.views.conclusions import at_shared_time, costs, failures, led_by, lowest
from ngbench.report.views.conditions import what_ran
from ngbench.report.views.gan_summary import TITLES, GanArm, Shared, fid_records, shared_budget, summarise_gan
from ngbench.report.views.samples import samples
from ngbench.spelling import argument
from ngbench.units import DASH, format_number, format_seconds, format_share

_TURNS: tuple[Player, ...] = ("critic", "generator")
"""The players in the order of their turns."""


def view(document: Document, *, reference: str | None = None, target_loss: float | None = None) -> list[Block]:
    """What ran, each arm's scores and losses, what it cost by player and by phase, its images, and warnings.

    Raises:
        NotComparableError: the runs belong to different tasks.
        UnknownNameError: no arm has the reference's label.
    """
    arms = summarise_gan(document, reference=reference)
    if not arms:
        return [Notes(["no runs"])]
    return [*_blocks(document, arms, reference)]


def _blocks(document: Document, arms: Sequence[GanArm], reference: str | None) -> Iterator[Block]:
    yield from what_ran(document, more=_scoring(document))
    if told := [*_conclusions(document, arms), *caveats(document)]:
        yield Summary(told)
    yield Table("Scores and losses", scores(arms, document))
    yield from _score_charts(document, arms)
    losses = {"training_loss": "generator", "critic_loss": "critic", "gradient_penalty": "gradient penalty"}
    chart = curves_chart(
        document,
        [one.arm for one in arms],
        "losses",
        {key: f"{title} loss" if title != "gradient penalty" else title for key, title in losses.items()},
        losses,
        label="loss",
        shared_scale=False,
        paper_axes=["step"],
    )
    if chart is not None:
        yield chart
    yield Table("Cost", _cost(arms))
    if any(seconds is not None for one in arms for seconds in one.seconds.values()):
        yield _bars(document, arms)
    yield from breakdowns([one.arm for one in arms], "Cost of an iteration")
    yield from samples(document)
    yield Notes(_notes(arms, document))
    yield Warnings(_warnings(document, reference))


def _conclusions(document: Document, arms: Sequence[GanArm]) -> list[str]:
    """Whose images are nearest to real ones, where all were scored alike, and what that costs; of one arm nothing."""
    failed = failures([one.arm for one in arms])
    if len(arms) < 2:
        return failed
    ways, shared, found = fid_records(document), shared_budget(document), list[str]()
    if len(ways) == 1:
        score = _title(ways[0].metric)
        found += lowest("At the best epoch of each,", score, [(one.arm.label, one.best) for one in arms])
        seconds = None if shared is None else shared.seconds
        found += at_shared_time(seconds, score, [(one.arm.label, one.at_seconds) for one in arms])
    return [*found, *costs([one.arm for one in arms]), *failed]


def _title(metric: str) -> str:
    return TITLES.get(metric, metric)


def _score_charts(document: Document, arms: Sequence[GanArm]) -> Iterator[Chart]:
    for metric in dict.fromkeys(record.metric for record in fid_records(document)):
        title = _title(metric)
        remarks = [f"{title}: {record.network}" for record in fid_records(document) if record.metric == metric]
        key = f"metric.{metric}"
        chart = curves_chart(
            document, [one.arm for one in arms], metric, {key: title}, {key: ""}, label=title, remarks=remarks
        )
        if chart is not None:
            yield chart


def scores(arms: Sequence[GanArm], document: Document) -> list[Column]:
    """How far the arms got: scores at their best, in the end, and on equal terms; losses; status."""
    number = number_over_seeds([one.arm for one in arms])
    shared = shared_budget(document)
    score = " or ".join(_title(record.metric) for record in fid_records(document))
    columns = [
        Column("arm", [one.arm.label for one in arms], left=True),
        Column(f"best\n{score}", [number(one.best) for one in arms], key="fid.best"),
        Column(
            "at\nstep",
            [DASH if one.best_step is None else f"{one.best_step.value:.0f}" for one in arms],
            key="fid.best_step",
        ),
        Column(f"final\n{score}", [number(one.final) for one in arms], key="fid"),
    ]
    if shared is not None and len(arms) > 1:
        columns += _on_equal_terms(arms, shared, score, number)
    return [
        *columns,
        Column("generator\nloss", [number(one.generator_loss) for one in arms], key="training_loss"),
        Column("critic\nloss", [number(one.critic_loss) for one in arms], key="critic_loss"),
        Column("gradient\npenalty", [number(one.penalty) for one in arms], key="gradient_penalty"),
        Column("status", [status(one.arm) for one in arms], left=True, toned=True, key="status"),
    ]


def _on_equal_terms(
    arms: Sequence[GanArm], shared: Shared, score: str, number: Callable[[UncertainValue | None], str]
) -> list[Column]:
    return [
        Column(
            f"{score}\nat {format_seconds(shared.seconds)}",
            [number(one.at_seconds) for one in arms],
            key="fid.at_shared_time",
        ),
        Column(f"{score}\nat step {shared.step}", [number(one.at_step) for one in arms], key="fid.at_shared_step"),
    ]


def _cost(arms: Sequence[GanArm]) -> list[Column]:
    """What the arms cost: the columns of any comparison, and each player's part of an iteration."""
    label, *rest = cost([one.arm for one in arms])
    players = [
        Column(f"{player}\nper step", [format_seconds(one.seconds[player]) for one in arms], key=f"{player}_seconds")
        for player in _TURNS
    ]
    shares = [Column("critic's\nshare", [format_share(one.shares["critic"]) for one in arms], key="critic_share")]
    return [label, *players, *shares, *rest]


def _bars(document: Document, arms: Sequence[GanArm]) -> Bars:
    bars = []
    for one in arms:
        known = {player: seconds for player in _TURNS if (seconds := one.seconds[player]) is not None}
        parts = [
            BarPart(player, seconds, f"{format_seconds(seconds)} per iteration, {format_share(one.shares[player])}")
            for player, seconds in known.items()
        ]
        bars.append(Bar(one.arm.label, parts))
    caption = "Time of an iteration, amortised over plain and refresh steps, by player."
    return Bars("cost_by_player", caption, _TURNS, bars, per="iteration", about=about(document))


def _notes(arms: Sequence[GanArm], document: Document) -> list[str]:
    """What the numbers of the tables mean."""
    steps = sorted({run.adversarial.critic_steps for run in document.runs if run.adversarial is not None})
    found = [
        f"A step is an iteration: {' or '.join(map(str, steps))} of the critic and one of the generator. "
        "Losses are means over the last epoch; the critic's includes its weighted gradient penalty.",
    ]
    if len(arms) > 1 and shared_budget(document) is not None:
        found.append("Scores at equal time and steps are linear between the epochs that were scored.")
    # The first note of several seeds speaks of losses; scores are estimated alike.
    return found + notes([one.arm for one in arms])


def _scoring(document: Document) -> list[Fact]:
    return [
        Fact(
            _title(record.metric),
            f"{record.samples:,} generated against {record.real_samples:,} real images by {record.network}",
        )
        for record in fid_records(document)
    ]


def _warnings(document: Document, reference: str | None) -> list[str]:
    warnings = []
    for record in fid_records(document):
        if min(record.samples, record.real_samples) <= record.features:
            warnings.append(
                f"{record.features} features of {min(record.samples, record.real_samples)} images have no covariance "
                f"of full rank, so the score is biased. Score more images ({argument('fid_samples')})."
            )
    if len(fid_records(document)) > 1:
        warnings.append("The runs were scored by different networks, so their scores do not compare.")
    return warnings + find_warnings(document, reference=reference)


def headline(document: Document) -> str:
    """The arm with the lowest score, where all were scored alike, and those that failed."""
    arms, ways, best = summarise_gan(document), fid_records(document), ""
    ended = [(one.best.value, one.arm.label) for one in arms if one.best is not None]
    if ended and len(ways) == 1:
        value, label = min(ended)
        best = f"lowest {_title(ways[0].metric)} {format_number(value)} ({label})"
    return led_by(best, [one.arm for one in arms])
