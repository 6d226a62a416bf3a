from __future__ import annotations

import io
from functools import partial

import pytest
import torch
from dense import close, convolutions, flat, perceptron, problem
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from torch import nn

from ngbench.curvature.curvatures import coarse
from ngbench.curvature.curvatures.additive import AdditiveTwoLevelCurvature
from ngbench.curvature.curvatures.exact import ExactCurvature
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.curvatures.two_level import TwoLevelCurvature
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.likelihoods import Gaussian
from ngbench.measurement.operations import count_operations

DAMPING = 0.03
SPACES = [
    ("nicolaides", 1),
    ("spectral", 1),
    ("residual", 1),
    ("krylov-nicolaides", 1),
    ("krylov-residual", 1),
    ("taylor", 1),
    ("taylor", 3),
]
MODELS = {"linear": perceptron, "convolution": convolutions}

FINE = partial(KroneckerCurvature, approximation=kfac, damping=0.1, use_pi=True)


def _two_level(given, space="nicolaides", order=2, damping=DAMPING, fine=FINE, **options):
    return TwoLevelCurvature(
        given.layers, fine(given.layers), coarse_space=space, order=order, damping=damping, **options
    )


def _start(curvature, given):
    curvature.accumulate(given.blocks)
    curvature.refresh()


def _step(curvature, given):
    _start(curvature, given)
    return flat(curvature.precondition(given.gradients))


def _fine_inverse(curvature):
    """The dense inverse of the fine level."""
    return torch.block_diag(*(torch.kron(inverse.a, inverse.g) for inverse in curvature.fine.inverses.values()))


def _columns(given, inverse, space, order, residual, damped):
    """``R₀ᵀ`` of the definitions: each vector's part of every layer is a column of its own."""
    if space in ("nicolaides", "krylov-nicolaides"):
        vectors = [torch.ones(len(residual)).double()]
    elif space == "spectral":
        # The largest eigenvalue of the inverse.
        parts = [torch.linalg.eigh(inverse[rows, rows]).eigenvectors[:, -1] for rows in given.slices().values()]
        vectors = [torch.cat(parts)]
    else:
        vectors = [inverse @ residual]
    if space.startswith("krylov"):
        vectors.append(inverse @ vectors[0])
    while space == "taylor" and len(vectors) < order:
        vectors.append(inverse @ damped @ vectors[-1])
    columns = []
    for vector in vectors:
        for rows in given.slices().values():
            column = torch.zeros_like(vector)
            column[rows] = vector[rows]
            columns.append(column)
    return torch.stack(columns, 1)


def _dense_step(given, curvature, space, order):
    """ζ and 𝔈(β*) − 𝔈(0) by dense linear algebra."""
    inverse = _fine_inverse(curvature)
    damped = given.fisher + DAMPING * torch.eye(len(given.jacobian)).double()
    fine = inverse @ given.gradient
    r0t = _columns(given, inverse, space, order, given.gradient - damped @ fine, damped)
    beta = torch.linalg.lstsq(r0t.T @ damped @ r0t, r0t.T @ (given.gradient - damped @ fine), driver="gelsd").solution
    step = fine + r0t @ beta
    return step, _energy(given, step) - _energy(given, fine)


def _energy(given, step):
    """``‖ζ − F•⁻¹∇h‖²`` in the norm of F•."""
    error = step - given.solve(DAMPING)
    return error @ given.fisher @ error + DAMPING * error @ error


@pytest.mark.parametrize(("space", "order"), SPACES)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_each_space_corrects_as_dense_linear_algebra_does(space, order, model):
    given = problem(model=model())
    curvature = _two_level(given, space, order)
    step = _step(curvature, given)
    expected, gap = _dense_step(given, curvature, space, order)
    close(step, expected)
    assert curvature.diagnostics()["energy_gap"] == pytest.approx(gap.item(), rel=1e-8)
    assert gap < 0


@pytest.mark.parametrize("space", ["spectral", "krylov-residual"])
@pytest.mark.parametrize("fisher", ["empirical", "exact"])
def test_the_correction_sees_the_chosen_fisher_matrix(space, fisher):
    given = problem(fisher)
    curvature = _two_level(given, space)
    close(_step(curvature, given), _dense_step(given, curvature, space, 1)[0])


@settings(max_examples=40, deadline=None)
@drawn(
    space=st.sampled_from(SPACES),
    damping=st.floats(1e-6, 1e3),
    examples=st.integers(2, 30),
    seed=st.integers(0, 2**16),
)
def test_the_correction_never_leads_away_from_the_exact_step(space, damping, examples, seed):
    given = problem(examples=examples)
    torch.manual_seed(seed)
    given.gradients = {layer: torch.randn_like(gradient) for layer, gradient in given.gradients.items()}
    curvature = _two_level(given, *space, damping=damping)
    fine = FINE(given.layers)
    corrected, uncorrected, exact = _step(curvature, given), _step(fine, given), given.solve(damping)

    def energy(step):
        error = step - exact
        return (error @ given.fisher @ error + damping * error @ error).item()

    gap = curvature.diagnostics()["energy_gap"]
    assert gap <= 0
    assert energy(corrected) <= energy(uncorrected) * (1 + 1e-9)
    assert energy(corrected) - energy(uncorrected) == pytest.approx(gap, rel=1e-5, abs=1e-9 * energy(uncorrected))


@pytest.mark.parametrize(("space", "order"), SPACES)
def test_the_correction_is_zero_where_kfac_is_exact(space, order):
    torch.manual_seed(0)
    # The derivatives of a squared error have the same covariance for every input: the block is A ⊗ G.
    given = problem("exact", model=nn.Sequential(nn.Linear(5, 3)).double(), likelihood=Gaussian())
    fine = partial(KroneckerCurvature, approximation=kfac, damping=DAMPING, damping_kind="normal")
    curvature = _two_level(given, space, order, fine=fine)
    close(_step(curvature, given), given.solve(DAMPING))
    assert curvature.diagnostics()["energy_gap"] > -1e-12 * _energy(given, torch.zeros_like(given.gradient))


def test_the_taylor_space_of_order_one_is_the_residual_space():
    given = problem()
    assert torch.equal(_step(_two_level(given, "taylor", 1), given), _step(_two_level(given, "residual"), given))
    assert not torch.allclose(_step(_two_level(given, "taylor", 2), given), _step(_two_level(given, "residual"), given))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_space_of_full_dimension_gives_the_exact_step(model, monkeypatch):
    given = problem(model=model())

    def unit_vectors(context):
        size = max(block.d_in * block.d_out for block in context.batch.blocks.values())
        columns = []
        for k in range(size):
            column = {}
            for layer, block in context.batch.blocks.items():
                matrix = torch.zeros(block.d_out, block.d_in).double()
                if k < matrix.numel():
                    matrix.view(-1)[k] = 1
                    column[layer] = coarse.DenseVector(matrix)
            columns.append(column)
        return columns

    monkeypatch.setitem(coarse.FIXED_SPACES, "nicolaides", unit_vectors)
    curvature = _two_level(given)
    close(_step(curvature, given), given.solve(DAMPING))
    assert curvature.diagnostics()["coarse_dimension"] == len(given.jacobian)


@pytest.mark.parametrize(("space", "order"), SPACES)
def test_between_refreshes_the_gradient_is_new_and_the_curvature_is_kept(space, order):
    given = problem()
    curvature = _two_level(given, space, order)
    _step(curvature, given)
    torch.manual_seed(8)
    given.gradients = {layer: torch.randn_like(gradient) for layer, gradient in given.gradients.items()}
    close(flat(curvature.precondition(given.gradients)), _dense_step(given, curvature, space, order)[0])
    # A batch that waits for its refresh changes nothing yet.
    other = problem(examples=12, model=given.model)
    curvature.accumulate(dict(zip(given.blocks, other.blocks.values(), strict=True)))
    close(flat(curvature.precondition(given.gradients)), _dense_step(given, curvature, space, order)[0])


def test_a_coarse_operator_is_averaged_over_refreshes():
    given, other = problem(), problem(examples=12)
    other_blocks = dict(zip(given.blocks, other.blocks.values(), strict=True))
    curvature = _two_level(given, decay=0.6)
    damped = [p.fisher + DAMPING * torch.eye(len(p.jacobian)).double() for p in (given, other)]
    average = None
    r0t = _columns(given, None, "nicolaides", 1, given.gradient, None)
    for k, (blocks, matrix) in enumerate(
        [(given.blocks, damped[0]), (other_blocks, damped[1]), (given.blocks, damped[0])]
    ):
        curvature.accumulate(blocks)
        curvature.refresh()
        step = flat(curvature.precondition(given.gradients))
        rho = min(1 - 1 / (k + 1), 0.6)
        now = r0t.T @ matrix @ r0t
        average = now if k == 0 else rho * average + (1 - rho) * now
        fine = _fine_inverse(curvature) @ given.gradient
        beta = torch.linalg.solve(average, r0t.T @ (given.gradient - matrix @ fine))
        close(step, fine + r0t @ beta)
        # The gap is the batch's, whatever operator the correction came from.
        gap = beta @ now @ beta - 2 * beta @ r0t.T @ (given.gradient - matrix @ fine)
        assert curvature.diagnostics()["energy_gap"] == pytest.approx(gap.item())


def test_a_running_average_of_columns_that_follow_the_gradient_is_refused():
    given = problem()
    with pytest.raises(ValueError, match=r"decay=0.5 is not allowed with coarse_space='residual'"):
        _two_level(given, "residual", decay=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "fine"}, "coarse_space='fine' is not allowed, it must be one of nicolaides, spectral"),
        ({"space": "taylor", "order": 0}, "order=0 is not allowed"),
        ({"decay": 1.0}, "decay=1.0 is not allowed"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        _two_level(problem(), **options)


def test_collinear_columns_are_left_out_counted_and_reported(monkeypatch):
    given = problem()
    monkeypatch.setitem(coarse.FIXED_SPACES, "nicolaides", lambda context: coarse.nicolaides(context) * 2)
    doubled = _two_level(given)
    step = _step(doubled, given)
    numbers = doubled.diagnostics()
    assert (numbers["coarse_dimension"], numbers["coarse_dropped"]) == (6.0, 3.0)
    monkeypatch.undo()
    plain = _two_level(given)
    close(step, _step(plain, given))
    assert (plain.diagnostics()["coarse_dimension"], plain.diagnostics()["coarse_dropped"]) == (3.0, 0.0)


def test_columns_of_zeros_do_no_harm():
    given = problem()
    curvature = _two_level(given, "krylov-residual")
    _start(curvature, given)
    zero = {layer: torch.zeros_like(gradient) for layer, gradient in given.gradients.items()}
    assert flat(curvature.precondition(zero)).abs().max() == 0
    assert curvature.diagnostics()["coarse_dropped"] == 6.0


def test_infinite_gradients_are_not_hidden():
    given = problem()
    curvature = _two_level(given, "residual")
    _start(curvature, given)
    next(iter(given.gradients.values()))[0, 0] = torch.inf
    with pytest.raises(FloatingPointError, match="coarse operator contains NaN or infinite"):
        curvature.precondition(given.gradients)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("use_pi", [True, False])
def test_the_additive_correction_is_that_of_the_kronecker_operator(model, use_pi):
    given = problem(model=model())
    fine = partial(KroneckerCurvature, approximation=kfac, damping=0.1, use_pi=use_pi)
    curvature = AdditiveTwoLevelCurvature(given.layers, fine(given.layers), damping=DAMPING)
    curvature.diagnose = True
    step = _step(curvature, given)
    r0t = _columns(given, None, "nicolaides", 1, given.gradient, None)
    sums = [_sums_over_positions(block) for block in given.blocks.values()]
    operator = torch.zeros(len(sums), len(sums)).double()
    inverse = _fine_inverse(curvature)
    for i, rows in enumerate(given.slices().values()):
        for j in range(len(sums)):
            operator[i, j] = (sums[i][0] @ sums[j][0] / given.examples) * (sums[i][1] @ sums[j][1] / given.examples)
        operator[i, i] = torch.linalg.inv(inverse[rows, rows]).sum()
    beta = torch.linalg.solve(operator, r0t.T @ given.gradient)
    fine_step = inverse @ given.gradient
    close(step, fine_step + r0t @ beta)
    gap = _energy(given, step) - _energy(given, fine_step)
    assert curvature.diagnostics()["energy_gap"] == pytest.approx(gap.item(), rel=1e-8)


def _sums_over_positions(block):
    """``(1/√T) Σ_t 1ᵀā`` and ``(1/T) Σ_t 1ᵀg`` from what the layer recorded."""
    (call,) = block.calls
    if call.inputs.ndim == 2:
        return call.inputs.sum(1) + block.d_in - call.inputs.shape[1], call.derivatives.sum(1)
    positions = call.derivatives[0, 0].numel()
    kernel, padding = (3, 1) if block.d_out == 3 else (2, 0)
    patches = nn.functional.unfold(call.inputs, kernel, padding=padding)
    constant = block.d_in - patches.shape[1]
    return (patches.sum((1, 2)) + constant * positions) / positions**0.5, call.derivatives.sum((1, 2, 3)) / positions


def test_the_additive_correction_measures_its_gap_only_when_asked():
    given = problem()
    curvature = AdditiveTwoLevelCurvature(given.layers, FINE(given.layers), damping=DAMPING)
    _step(curvature, given)
    assert set(curvature.diagnostics()) == {"coarse_dimension", "coarse_dropped"}


def test_the_additive_correction_needs_kronecker_factors():
    given = problem()
    with pytest.raises(TypeError, match="coarse_space='previous' needs Kronecker factors"):
        AdditiveTwoLevelCurvature(given.layers, ExactCurvature(given.layers, damping=DAMPING), damping=DAMPING)


def _makes():
    for space, order in SPACES:
        yield pytest.param(lambda given, s=space, o=order: _two_level(given, s, o), id=f"{space}-{order}")
    yield pytest.param(lambda given: _two_level(given, decay=0.5), id="averaged")
    yield pytest.param(
        lambda given: AdditiveTwoLevelCurvature(given.layers, FINE(given.layers), damping=DAMPING), id="previous"
    )
    yield pytest.param(_measured, id="previous-measured")


def _measured(given):
    curvature = AdditiveTwoLevelCurvature(given.layers, FINE(given.layers), damping=DAMPING)
    curvature.diagnose = True
    return curvature


def test_an_operator_with_images_is_resumed_with_them():
    given = problem(examples=120)
    curvature, resumed, without = (_two_level(given, lifetime=lifetime) for lifetime in (100, 100, 1))
    _start(curvature, given)
    _start(without, given)
    resumed.load_state_dict(curvature.state_dict())
    operations = []
    for each in (curvature, resumed, without):
        with count_operations() as counter:
            directions = each.precondition(given.gradients)
        operations.append((flat(directions), counter.mark().flops))
    (expected, images), (again, resumed_images), (same, products) = operations
    assert torch.equal(again, expected)
    close(same, expected, 1e-11)
    assert resumed_images == images < products


@pytest.mark.parametrize("make", list(_makes()))
@pytest.mark.parametrize("refreshed", [True, False])
def test_a_saved_state_continues_bit_for_bit(make, refreshed):
    given, other = problem(), problem(examples=12)
    curvature, resumed = make(given), make(given)
    _start(curvature, given)
    curvature.accumulate(dict(zip(given.blocks, other.blocks.values(), strict=True)))
    if refreshed:
        curvature.refresh()
    buffer = io.BytesIO()
    torch.save(curvature.state_dict(), buffer)
    buffer.seek(0)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    for _ in range(2):
        expected, actual = curvature.precondition(given.gradients), resumed.precondition(given.gradients)
        assert all(torch.equal(actual[layer], expected[layer]) for layer in given.gradients)
        assert curvature.diagnostics().get("energy_gap") == resumed.diagnostics().get("energy_gap")
        curvature.refresh()
        resumed.refresh()
