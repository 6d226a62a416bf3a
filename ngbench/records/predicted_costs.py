"""What the phases of an update were predicted to cost, as the method declared it for each layer of a run.

A prediction counts a multiplication and its addition as two operations, as the measured ones do, so that their ratio is
1 where a method takes what its formula says, and less where symmetry saves half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ngbench.records.record import RunRecord

__all__ = ["PREDICTED_PHASES", "Prediction", "mean_iterations", "predict"]

#: The table's columns F̂, F̂⁻¹ and F̂⁻¹∇h, by the phase in which each is computed.
PREDICTED_PHASES = {"accumulate": "F̂", "refresh": "F̂⁻¹", "precondition": "F̂⁻¹∇h"}


@dataclass(frozen=True)
class Prediction:
    """What a phase of a run was to cost.

    Attributes:
        order: the formula, as the thesis' Table 3.1 writes it.
        operations: its value for a call, in floating-point operations.
    """

    order: str
    operations: float


def mean_iterations(run: RunRecord, layer: str) -> float:
    """Iterations of one estimate of a layer, over all its searches, averaged over the estimates of the run.

    >>> run = RunRecord.model_construct(diagnostics={"iterations/0/term_1": [[1, 6.0], [3, 4.0]],
    ...                                              "iterations/0/term_2": [[1, 9.0], [3, 3.0]]})
    >>> mean_iterations(run, "0")
    11.0
    """
    series = [run.diagnostic(name) for name in run.diagnostics if name.startswith(f"iterations/{layer}/")]
    return math.fsum(math.fsum(count for _, count in values) / len(values) for values in series if values)


def predict(run: RunRecord) -> dict[str, Prediction]:
    """What the run's method declares, by phase, over all layers; empty for a method that declares nothing.

    The numbers of iterations are those that the run measured.
    """
    phases = [phase for phase in PREDICTED_PHASES if run.layers and all(phase in one.predicted for one in run.layers)]
    return {
        phase: Prediction(
            run.layers[0].predicted[phase].order,
            math.fsum(
                layer.predicted[phase].operations
                + layer.predicted[phase].per_iteration * mean_iterations(run, layer.name)
                for layer in run.layers
            ),
        )
        for phase in phases
    }
