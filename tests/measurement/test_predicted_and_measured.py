"""Predicted and measured operations are in one unit."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from torch import nn

from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.layers import find_layers
from ngbench.curvature.likelihoods import Gaussian
from ngbench.measurement.operations import count_operations
from ngbench.records.predicted_costs import predict
from ngbench.records.record import LayerRecord, RunRecord


@pytest.mark.parametrize(("inputs", "outputs"), [(30, 20), (7, 50)])
def test_a_product_with_the_inverse_takes_what_the_table_says(inputs: int, outputs: int) -> None:
    model = nn.Linear(inputs, outputs, bias=False)
    layers = find_layers(model)
    (layer,) = layers.values()
    curvature = KroneckerCurvature(layers, kfac, damping=0.1)
    x = torch.randn(64, inputs)
    derivatives = Gaussian().sampled_derivative(model(x).detach())
    block = layer.block([layer.call(x, derivatives)])
    curvature.accumulate({layer: block})
    curvature.refresh()
    with count_operations() as counter:
        curvature.precondition({layer: torch.randn(outputs, inputs)})
    predicted = {phase: asdict(cost) for phase, cost in curvature.predicted(layer, block).items()}
    shape = LayerRecord.model_validate({"name": "", "d_in": inputs, "d_out": outputs, "predicted": predicted})
    run = RunRecord.model_construct(layers=[shape], diagnostics={})
    assert counter.mark().flops == predict(run)["precondition"].operations
