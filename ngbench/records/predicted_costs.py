"""The thesis' Table 3.1: the orders of what an update costs each method, with the sizes and iterations of a run.

The table is written for ℓ layers of equal width d. Here a layer has its own ``d_in`` and ``d_out``, and T positions if
it is a convolution, so that ``2ℓmd²`` becomes ``Σ mT(d_in² + d_out²)`` and ``2ℓd³`` becomes ``Σ (d_in³ + d_out³)`` for
inverses, ``Σ (d_out²d_in + d_out d_in²)`` for products. The constants ``c₁`` and ``c₂`` of the two-term solution are
implementation constants: taken as 2, they show in the ratio of what was measured to what is predicted.

The table counts a multiplication and its addition as one operation. A prediction counts them as two, as the measured
operations do, so that their ratio is 1 where a method takes what the table says, and less where symmetry saves half.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ngbench.records.record import LayerRecord, RunRecord

__all__ = ["PREDICTED_PHASES", "Prediction", "mean_iterations", "predict"]

#: The table's columns F̂, F̂⁻¹ and F̂⁻¹∇h, by the phase in which each is computed.
PREDICTED_PHASES = {"accumulate": "F̂", "refresh": "F̂⁻¹", "precondition": "F̂⁻¹∇h"}

_EXAMPLES = "curvature_fraction"

# Of a multiplication and its addition, as :mod:`ngbench.measurement.operations` counts.
_OPERATIONS = 2


@dataclass(frozen=True)
class Prediction:
    """One entry of Table 3.1.

    Attributes:
        order: as the table writes it.
        operations: its value for a run, in floating-point operations: twice the order.
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
    """The row of Table 3.1 for the run's method, by phase; empty for a method that is not in the table.

    The iteration numbers k₁ and k₂ are those that the run measured. They count every search, so that the two searches
    of Deflation are one sum.
    """
    row = _ROWS.get(run.optimizer.name)
    if row is None or not run.layers:
        return {}
    hyperparameters = run.optimizer.hyperparameters
    fraction, dimension = hyperparameters.get(_EXAMPLES, 1.0), hyperparameters.get("krylov_dimension", 0)
    if not isinstance(fraction, int | float) or not isinstance(dimension, int):
        return {}
    examples = max(1, math.ceil(fraction * run.batch_size - 1e-9))
    estimate = sum(row.estimate(layer, examples, mean_iterations(run, layer.name), dimension) for layer in run.layers)
    return {
        "accumulate": Prediction(row.order, _OPERATIONS * estimate),
        "refresh": Prediction(row.inverse, _OPERATIONS * sum(layer.d_in**3 + layer.d_out**3 for layer in run.layers)),
        "precondition": Prediction(
            row.product,
            _OPERATIONS * sum(layer.d_out**2 * layer.d_in + layer.d_out * layer.d_in**2 for layer in run.layers),
        ),
    }


@dataclass(frozen=True)
class _Row:
    order: str
    inverse: str
    product: str
    estimate: Callable[[LayerRecord, int, float, int], float]


def _moments(layer: LayerRecord, examples: int) -> float:
    return float(examples * layer.positions * (layer.d_in**2 + layer.d_out**2))


_ROWS = {
    "kfac": _Row("2ℓmd²", "2ℓd³", "2ℓd³", lambda layer, m, k, _: _moments(layer, m)),
    "kpsvd": _Row("4k₁ℓmd²", "2ℓd³", "2ℓd³", lambda layer, m, k, _: 2 * k * _moments(layer, m)),
    "deflation": _Row("4k₁ℓmd² + 4k₁ℓmd²", "c₁ℓd³", "c₂ℓd³", lambda layer, m, k, _: 2 * k * _moments(layer, m)),
    "lanczos": _Row(
        "4k₂ℓmd² + ℓK³ + 2ℓKd²",
        "c₁ℓd³",
        "c₂ℓd³",
        lambda layer, m, k, dimension: (
            2 * k * _moments(layer, m) + dimension**3 + dimension * (layer.d_in**2 + layer.d_out**2)
        ),
    ),
    "kfac-corrected": _Row(
        "2ℓmd² + 4k₁ℓmd²", "c₁ℓd³", "c₂ℓd³", lambda layer, m, k, _: (1 + 2 * k) * _moments(layer, m)
    ),
}
