"""Table 3.1 as a measurement: what F̂, F̂⁻¹ and F̂⁻¹∇h took, beside the orders that the thesis predicts."""

from __future__ import annotations

from collections.abc import Sequence

from ngbench.records.predicted_costs import PREDICTED_PHASES, Prediction, mean_iterations, predict
from ngbench.report.blocks import Column
from ngbench.report.summary import Arm, PhaseSummary
from ngbench.units import DASH, format_count, format_number, format_seconds

__all__ = ["update_costs"]


def update_costs(arms: Sequence[Arm]) -> list[Column]:
    """One row for each arm and each of the three quantities; no columns where no arm has a curvature.

    A prediction is that of the arm's first seed, whose iterations it uses.
    """
    rows = [
        (arm, phase, predict(arm.runs[0]).get(phase.name))
        for arm in arms
        for name in PREDICTED_PHASES
        for phase in arm.phases
        if phase.name == name
    ]
    if not rows:
        return []
    columns = [
        Column("arm", [arm.label for arm, _, _ in rows], left=True),
        Column("quantity", [PREDICTED_PHASES[phase.name] for _, phase, _ in rows], left=True),
        Column(
            "time\nper call", [format_seconds(phase.seconds_per_call) for _, phase, _ in rows], key="phase.*.seconds"
        ),
        Column("operations\nmeasured", [_measured(phase) for _, phase, _ in rows], key="phase.*.flops"),
        Column(
            "operations\npredicted",
            [DASH if p is None else format_count(p.operations) for _, _, p in rows],
            key="phase.*.predicted",
        ),
        Column(
            "measured /\npredicted",
            [_ratio(phase, prediction) for _, phase, prediction in rows],
            key="phase.*.flops_to_predicted",
        ),
        Column(
            "order\n(Table 3.1)", [DASH if p is None else p.order for _, _, p in rows], left=True, key="phase.*.order"
        ),
        Column("iterations\nper layer", [_iterations(arm, phase) for arm, phase, _ in rows], key="iterations"),
    ]
    return [column for column in columns if not column.empty]


def _measured(phase: PhaseSummary) -> str:
    shown = format_count(phase.flops)
    return shown if phase.all_known or shown == DASH else f"≥ {shown}"


def _ratio(phase: PhaseSummary, prediction: Prediction | None) -> str:
    if prediction is None or phase.flops is None or not prediction.operations:
        return DASH
    return format_number(phase.flops / prediction.operations, 3)


def _iterations(arm: Arm, phase: PhaseSummary) -> str:
    layers = arm.runs[0].layers
    if phase.name != "accumulate" or not layers:
        return DASH
    mean = sum(mean_iterations(arm.runs[0], layer.name) for layer in layers) / len(layers)
    return format_number(mean, 3) if mean else DASH
