from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from dense import convolutions, perceptron
from torch import nn

from ngbench.curvature.capture import Capture
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.inverses.damping import Damping
from ngbench.curvature.kronecker.approximations import deflation, kfac, kfac_corrected, kpsvd, lanczos
from ngbench.curvature.kronecker.declaration import declares
from ngbench.curvature.kronecker.estimate import Estimate
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.layers import find_layers
from ngbench.curvature.likelihoods import Categorical

APPROXIMATIONS = {
    "kfac": kfac,
    "kpsvd": kpsvd,
    "deflation": deflation,
    "deflation-3": partial(deflation, rank=3),
    "lanczos": lanczos,
    "kfac-corrected": kfac_corrected,
}


class Run:
    """A model that is never updated, and batches of blocks and gradients from it."""

    def __init__(self, model: nn.Module, shape: tuple[int, ...]) -> None:
        self.model, self.shape = model, shape
        self.layers = find_layers(model)
        self.generator = torch.Generator().manual_seed(0)

    def batch(self):
        capture = Capture(self.model, self.layers, Categorical(), seed=3)
        capture.due = True
        inputs = torch.randn(12, *self.shape, dtype=torch.float64, generator=self.generator)
        self.model.zero_grad()
        Categorical().loss(self.model(inputs), torch.zeros(12, dtype=torch.long)).backward()
        blocks = capture.take()
        capture.remove()
        return blocks, {layer: layer.gradient() for layer in self.layers.values()}


def _perceptron():
    return Run(perceptron(), (5,))


def _convolutions():
    return Run(convolutions(), (2, 6, 6))


def _step(curvature, batch):
    blocks, gradients = batch
    curvature.accumulate(blocks)
    curvature.refresh()
    return curvature.precondition(gradients)


@pytest.mark.parametrize("approximation", APPROXIMATIONS.values(), ids=APPROXIMATIONS)
@pytest.mark.parametrize("make", [_perceptron, _convolutions])
def test_a_run_that_was_stored_goes_on_bit_for_bit(make, approximation, tmp_path):
    run = make()
    curvature = KroneckerCurvature(run.layers, approximation, damping=0.1)
    for _ in range(2):
        _step(curvature, run.batch())
    torch.save(curvature.state_dict(), tmp_path / "state")
    resumed = KroneckerCurvature(run.layers, approximation, damping=0.1)
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    _, gradients = batch = run.batch()
    # First with the stored inverses, then with new ones from stored averages and starts.
    for directions in (lambda c: c.precondition(gradients), lambda c: _step(c, batch)):
        expected, actual = directions(curvature), directions(resumed)
        assert all(torch.equal(actual[layer], expected[layer]) for layer in run.layers.values())
    assert resumed.diagnostics() == curvature.diagnostics()


def test_iterations_start_from_the_last_batch_and_not_from_the_average():
    run, seen = _perceptron(), []

    def remember(block, previous):
        found = deflation(block, previous)
        seen.append((previous, found))
        return found

    curvature = KroneckerCurvature({0: next(iter(run.layers.values()))}, remember, damping=0.1)
    for _ in range(3):
        blocks, _ = run.batch()
        curvature.accumulate({layer: block for layer, block in blocks.items() if layer.name == "0"})
    assert seen[0][0] is None
    assert seen[1][0] is seen[0][1].value
    assert seen[2][0] is seen[1][1].value
    assert curvature.starts["0"] is seen[2][1].value


def test_products_whose_signs_change_between_batches_are_averaged_with_one_sign():
    run, sign = _perceptron(), [1.0]

    def changing(block, previous):
        sign[0] = -sign[0]
        (first, (c, d)) = deflation(block).value.terms
        return Estimate(KroneckerSum((first, (c * sign[0], d * sign[0]))))

    curvature = KroneckerCurvature(run.layers, changing, damping=0.1)
    blocks, _ = run.batch()
    for _ in range(4):
        curvature.accumulate(blocks)
    for layer, block in blocks.items():
        expected = deflation(block).value.dense()
        assert (curvature.factors[layer.name].dense() - expected).norm() <= 1e-9 * expected.norm()


@declares(damping_by_positions=False)
def _damped_alike(block, previous):
    return kpsvd(block, previous)


@pytest.mark.parametrize("kind", ["factored", "normal"])
@pytest.mark.parametrize(("approximation", "divisors"), [(kpsvd, (36, 4, 1)), (_damped_alike, (1, 1, 1))])
def test_the_damping_of_a_convolution_is_divided_by_its_positions_unless_declared(kind, approximation, divisors):
    run = _convolutions()
    curvature = KroneckerCurvature(run.layers, approximation, damping=0.6, damping_kind=kind, use_pi=False)
    blocks, gradients = batch = run.batch()
    directions = _step(curvature, batch)
    assert [block.positions for block in blocks.values()] == [36, 4, 1]
    for layer, positions in zip(blocks, divisors, strict=True):
        damping = Damping(0.6 / positions, kind, use_pi=False)
        expected = curvature.factors[layer.name].inverse(damping).times(gradients[layer])
        torch.testing.assert_close(directions[layer], expected)


@pytest.mark.parametrize(
    ("approximation", "searches", "products"),
    [
        (kpsvd, ["term_1"], ["term_1"]),
        (deflation, ["term_1", "term_2"], ["term_1", "term_2"]),
        (lanczos, ["krylov"], ["term_1", "term_2"]),
        (kfac_corrected, ["term_2"], ["term_2"]),
    ],
)
def test_iterations_and_residuals_of_the_last_step_are_reported(approximation, searches, products):
    run = _perceptron()
    curvature = KroneckerCurvature(run.layers, approximation, damping=0.1)
    blocks, gradients = batch = run.batch()
    _step(curvature, batch)
    numbers = curvature.diagnostics()
    names = [layer.name for layer in run.layers.values()]
    assert {key for key in numbers if key.startswith("iterations")} == {
        f"iterations/{name}/{search}" for name in names for search in searches
    }
    assert {key for key in numbers if key.startswith("residual")} == {
        f"residual/{name}/{product}" for name in names for product in products
    }
    for layer, block in blocks.items():
        found = approximation(block)
        for search, iterations in found.iterations.items():
            assert numbers[f"iterations/{layer.name}/{search}"] == iterations > 0
    assert numbers["unconverged"] == 0
    clamped = {key for key in numbers if key.startswith("clamped")}
    assert clamped == (set() if approximation is kpsvd else {f"clamped/{name}" for name in names})
    # The next step estimates and inverts nothing.
    curvature.precondition(gradients)
    assert curvature.diagnostics() == {}


def test_an_estimate_that_missed_its_precision_is_reported():
    run = _perceptron()
    curvature = KroneckerCurvature(run.layers, partial(kpsvd, max_iterations=1), damping=0.1)
    _step(curvature, run.batch())
    assert curvature.diagnostics()["unconverged"] == 3


def test_solutions_by_iteration_are_reported_at_every_step():
    run = _perceptron()
    curvature = KroneckerCurvature(run.layers, partial(deflation, rank=3), damping=0.1)
    _, gradients = batch = run.batch()
    _step(curvature, batch)
    curvature.precondition(gradients)
    numbers = curvature.diagnostics()
    assert set(numbers) == {
        f"{key}/{name}"
        for key in ("solve_iterations", "solve_residual", "negative_curvature")
        for name in ("0", "2", "4")
    }


@pytest.mark.parametrize("second_term", ["clamp", "absolute"])
def test_options_of_the_second_product_reach_the_inverse(second_term):
    run = _perceptron()
    blocks, gradients = batch = run.batch()
    curvature = KroneckerCurvature(run.layers, deflation, damping=1e-3, second_term=second_term, floor=0.4)
    directions = _step(curvature, batch)
    damping = Damping(1e-3, second_term=second_term, floor=0.4)
    for layer in blocks:
        expected = curvature.factors[layer.name].inverse(damping).times(gradients[layer])
        torch.testing.assert_close(directions[layer], expected)


def test_a_curvature_that_is_not_finite_is_an_error_that_names_the_layer():
    run = _perceptron()
    for approximation in (kpsvd, deflation, lanczos, kfac_corrected):
        blocks, _ = run.batch()
        curvature = KroneckerCurvature(run.layers, approximation, damping=0.1)
        next(block for layer, block in blocks.items() if layer.name == "2").inputs[0, 0] = torch.nan
        with pytest.raises(FloatingPointError, match="layer '2' contains NaN or infinite values"):
            curvature.accumulate(blocks)
        assert not curvature.factors
        assert not curvature.starts


def _opposite_signs(rank: int, directory: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{directory}/store", rank=rank, world_size=2)
    sign = 1 - 2 * rank

    def approximation(block, previous):
        (first, (c, d)) = deflation(block).value.terms
        return Estimate(KroneckerSum((first, (c * sign, d * sign))))

    run = _perceptron()
    curvature = KroneckerCurvature(run.layers, approximation, damping=0.1)
    blocks, _ = run.batch()
    curvature.accumulate(blocks)
    expected = deflation(next(iter(blocks.values()))).value.dense()
    torch.save((curvature.factors["0"].dense(), expected), Path(directory) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")
def test_workers_whose_products_differ_in_sign_average_them_with_one_sign(tmp_path):
    multiprocessing.spawn(_opposite_signs, args=(str(tmp_path),), nprocs=2)
    for rank in range(2):
        actual, expected = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert (actual - expected).norm() <= 1e-9 * expected.norm()


@pytest.mark.parametrize("errors", [3, 30, 300])
def test_damping_is_raised_as_far_as_rounding_made_a_factor_indefinite_and_no_farther(errors):
    layers = find_layers(nn.Linear(8, 8, bias=False))
    (layer,) = layers.values()
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64)).Q
    below = errors * torch.finfo(torch.float32).eps
    a = (basis * torch.tensor([1, -below] + 6 * [0.0], dtype=torch.float64)) @ basis.T
    curvature = KroneckerCurvature(layers, kfac, damping=1e-20, use_pi=False)
    curvature.factors[layer.name] = KroneckerSum([(a.float(), torch.eye(8))])
    curvature.positions[layer.name] = 1
    curvature.refresh()
    inverse = curvature.inverses[layer.name]
    assert not inverse.info
    # Of the direction with the smallest eigenvalue: 1 / (shift - below).
    shift = 1 / float(torch.linalg.eigvalsh(inverse.a.double())[-1]) + below
    assert below < shift < 5 * below
    curvature.precondition({layer: torch.ones(8, 8)})
    assert curvature.diagnostics()[f"raised_damping/{layer.name}"] == 1


def test_a_factor_that_is_far_from_semi_definite_is_refused():
    layers = find_layers(nn.Linear(2, 2, bias=False))
    (layer,) = layers.values()
    curvature = KroneckerCurvature(layers, kfac, damping=1e-20)
    curvature.factors[layer.name] = KroneckerSum([(torch.diag(torch.tensor([1.0, -0.1])), torch.eye(2))])
    curvature.positions[layer.name] = 1
    with pytest.raises(ArithmeticError, match="layer '' is not positive definite in its precision with damping 1e-20"):
        curvature.refresh()


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.95])
def test_an_average_weighs_every_factor_of_both_sums_and_shares_no_memory_with_them(rank, weight):
    torch.manual_seed(0)
    old, new = (
        KroneckerSum(tuple((torch.rand(4, 4).double(), torch.rand(3, 3).double()) for _ in range(rank)))
        for _ in range(2)
    )
    average = old.averaged(new, weight)
    for term, before, batch in zip(average.terms, old.terms, new.terms, strict=True):
        for factor, mine, theirs in zip(term, before, batch, strict=True):
            torch.testing.assert_close(factor, weight * mine + (1 - weight) * theirs)
            assert factor.data_ptr() not in (mine.data_ptr(), theirs.data_ptr())
