from __future__ import annotations

import math

import pytest
import torch
from dense import flat, problem

from ngbench.curvature.curvatures.step_distance import compare_steps, compare_with_exact


def test_angle_and_distance_are_those_to_the_dense_solution():
    given = problem()
    step = {layer: torch.sin(gradient) for layer, gradient in given.gradients.items()}
    exact, ours = given.solve(0.03), flat(step)
    comparison = compare_with_exact(given.blocks, given.gradients, step, 0.03)
    assert comparison.angle == pytest.approx(math.acos(exact @ ours / (exact.norm() * ours.norm())), rel=1e-8)
    assert comparison.distance == pytest.approx(((exact - ours).norm() / exact.norm()).item(), rel=1e-8)


@pytest.mark.parametrize("angle", [1e-9, 1e-3, 2.0, math.pi])
def test_angles_keep_their_digits_however_small(angle):
    key = object()
    reference = {key: torch.tensor([[3.0, 0.0]], dtype=torch.float64)}
    step = {key: torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)}
    assert compare_steps(step, reference).angle == pytest.approx(angle, rel=1e-9)


def test_the_step_that_is_the_reference_is_at_no_distance():
    given = problem()
    assert compare_steps(given.gradients, given.gradients).distance == 0
    assert compare_steps(given.gradients, given.gradients).angle == 0


def test_a_zero_step_has_no_angle():
    given = problem()
    zero = {layer: torch.zeros_like(gradient) for layer, gradient in given.gradients.items()}
    comparison = compare_steps(zero, given.gradients)
    assert math.isnan(comparison.angle)
    assert comparison.distance == 1
