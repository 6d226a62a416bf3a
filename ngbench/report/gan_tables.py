"""The tables of ``ngbench gan``: on the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.text import Text

from ngbench.escaping import markdown, markdown_code, terminal
from ngbench.records.record import Document
from ngbench.records.statistics import Estimate
from ngbench.report.advice import find_warnings
from ngbench.report.columns import (
    Column,
    format_breakdown,
    format_cost,
    format_hyperparameters,
    format_notes,
    format_status,
)
from ngbench.report.exports import format_table
from ngbench.report.gan_summary import TITLES, GanArm, Shared, fid_records, shared_budget, summarise_gan
from ngbench.report.heading import arm_descriptions, data_descriptions, describe_conditions
from ngbench.report.tables import format_heading, print_columns
from ngbench.units import DASH, format_estimate, format_number, format_seconds, format_share

__all__ = ["format_gan_cost", "format_gan_markdown", "format_gan_notes", "format_scores", "print_gan"]


_Format = Callable[[Estimate | None], str]


def print_gan(document: Document, *, reference: str | None = None, console: Console) -> None:
    """Print what ran, each arm's scores and losses, what it cost by player and by phase, and warnings."""
    arms = summarise_gan(document, reference=reference)
    if not arms:
        console.print("no runs")
        return
    console.print(format_heading(document))
    for line in _scoring(document):
        console.print(Text(terminal(line)))
    console.print()
    print_columns("Scores and losses", format_scores(arms, document), console)
    print_columns("Cost", format_gan_cost(arms), console)
    for one in arms:
        if one.arm.phases:
            print_columns(f"Cost of an iteration: {one.arm.label}", format_breakdown(one.arm), console)
    for note in format_gan_notes(arms, document):
        console.print(Text(terminal(note), style="dim"))
    for warning in _warnings(document, reference):
        console.print(Text.assemble(("Warning: ", "yellow"), terminal(warning)))


def format_gan_markdown(document: Document, *, reference: str | None = None) -> str:
    """What :func:`print_gan` prints, as Markdown with GitHub tables."""
    arms = summarise_gan(document, reference=reference)
    if not arms:
        return "No runs.\n"
    first = document.runs[0]
    facts = [f"- Data: {markdown(described)}" for _, described in data_descriptions(document)]
    facts.append(f"- {markdown(describe_conditions(document))}")
    facts += [f"- {markdown(line)}" for line in _scoring(document)]
    facts += [f"- {markdown_code(label)}: {markdown(described)}" for label, described in arm_descriptions(document)]
    parts = [f"## {markdown(' '.join([first.task, format_hyperparameters(first.task_options)]))}", "\n".join(facts)]
    parts += ["### Scores and losses", format_table(format_scores(arms, document))]
    parts += ["### Cost", format_table(format_gan_cost(arms))]
    for one in arms:
        if one.arm.phases:
            parts += [f"### Cost of an iteration: {markdown(one.arm.label)}", format_table(format_breakdown(one.arm))]
    remarks = [f"- {markdown(note)}" for note in format_gan_notes(arms, document)]
    remarks += [f"- **Warning:** {markdown(warning)}" for warning in _warnings(document, reference)]
    return "\n\n".join([*parts, "\n".join(remarks)]) + "\n"


def format_scores(arms: Sequence[GanArm], document: Document) -> list[Column]:
    """How far the arms got: scores at their best, in the end, and on equal terms; losses; status."""
    several = any(len(one.arm.runs) > 1 for one in arms)
    shared = shared_budget(document)
    score = " or ".join(TITLES.get(record.metric, record.metric) for record in fid_records(document))

    def number(estimate: Estimate | None) -> str:
        if estimate is None:
            return DASH
        return format_estimate(estimate.value, estimate.error) if several else format_number(estimate.value)

    columns = [
        Column("arm", [one.arm.label for one in arms], left=True),
        Column(f"best\n{score}", [number(one.best) for one in arms]),
        Column("at\nstep", [DASH if one.best_step is None else f"{one.best_step.value:.0f}" for one in arms]),
        Column(f"final\n{score}", [number(one.final) for one in arms]),
    ]
    if shared is not None and len(arms) > 1:
        columns += _on_equal_terms(arms, shared, score, number)
    columns += [
        Column("generator\nloss", [number(one.generator_loss) for one in arms]),
        Column("critic\nloss", [number(one.critic_loss) for one in arms]),
        Column("gradient\npenalty", [number(one.penalty) for one in arms]),
        Column("status", [format_status(one.arm) for one in arms], left=True),
    ]
    return columns


def _on_equal_terms(arms: Sequence[GanArm], shared: Shared, score: str, number: _Format) -> list[Column]:
    return [
        Column(f"{score}\nat {format_seconds(shared.seconds)}", [number(one.at_seconds) for one in arms]),
        Column(f"{score}\nat step {shared.step}", [number(one.at_step) for one in arms]),
    ]


def format_gan_cost(arms: Sequence[GanArm]) -> list[Column]:
    """What the arms cost: the columns of any comparison, and each player's part of an iteration."""
    label, *rest = format_cost([one.arm for one in arms])
    players = [
        Column(f"{player}\nper step", [format_seconds(one.seconds[player]) for one in arms])
        for player in ("critic", "generator")
    ]
    shares = [Column("critic's\nshare", [format_share(one.shares["critic"]) for one in arms])]
    return [label, *players, *shares, *rest]


def format_gan_notes(arms: Sequence[GanArm], document: Document) -> list[str]:
    """What the numbers of the tables mean."""
    steps = sorted({run.adversarial.critic_steps for run in document.runs if run.adversarial is not None})
    notes = [
        f"A step is an iteration: {' or '.join(map(str, steps))} of the critic and one of the generator. "
        "Losses are means over the last epoch; the critic's includes its weighted gradient penalty.",
    ]
    if len(arms) > 1 and shared_budget(document) is not None:
        notes.append("Scores at equal time and steps are linear between the epochs that were scored.")
    # The first note of several seeds speaks of losses; scores are estimated alike.
    return notes + format_notes([one.arm for one in arms])


def _scoring(document: Document) -> list[str]:
    return [
        f"{TITLES.get(record.metric, record.metric)}: {record.samples:,} generated against "
        f"{record.real_samples:,} real images by {record.network}"
        for record in fid_records(document)
    ]


def _warnings(document: Document, reference: str | None) -> list[str]:
    warnings = []
    for record in fid_records(document):
        if min(record.samples, record.real_samples) <= record.features:
            warnings.append(
                f"{record.features} features of {min(record.samples, record.real_samples)} images have no covariance "
                "of full rank, so the score is biased. Score more images (--fid-samples)."
            )
    if len(fid_records(document)) > 1:
        warnings.append("The runs were scored by different networks, so their scores do not compare.")
    return warnings + find_warnings(document, reference=reference)
