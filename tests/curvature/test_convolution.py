from __future__ import annotations

import pytest
import torch
from oracle import fisher_block, unvec, vec
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from ngbench.curvature.blocks import block, correlation, pairs, patch_moments, positions
from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.blocks.pairs import PositionPairs
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.layers import Call, find_layers
from ngbench.curvature.linalg import lower

GEOMETRIES = {
    "plain": {"kernel_size": 3},
    "padding": {"kernel_size": 3, "padding": 1},
    "rectangular": {"kernel_size": (2, 3), "padding": (1, 0), "stride": (1, 2)},
    "stride": {"kernel_size": 3, "padding": 1, "stride": 2},
    "stride-remainder": {"kernel_size": 2, "stride": 3},
    "dilation": {"kernel_size": 2, "dilation": 2, "padding": 1},
    "same-even": {"kernel_size": (4, 3), "padding": "same"},
    "same-dilated": {"kernel_size": 3, "padding": "same", "dilation": 2},
    "valid": {"kernel_size": 2, "padding": "valid"},
    "one-by-one": {"kernel_size": 1},
    "one-by-one-stride": {"kernel_size": 1, "stride": 2},
    "whole-image": {"kernel_size": (6, 5)},
    "padding-beyond-kernel": {"kernel_size": 2, "padding": 3},
    "groups": {"kernel_size": 3, "padding": 1, "groups": 2},
    "groups-stride-dilation": {"kernel_size": 2, "stride": 2, "dilation": 2, "groups": 2},
    "depthwise": {"kernel_size": 3, "groups": 4},
    "reflect": {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    "replicate": {"kernel_size": 3, "padding": (2, 1), "padding_mode": "replicate", "stride": 2},
    "circular-groups": {"kernel_size": 3, "padding": 1, "padding_mode": "circular", "groups": 2},
}
SIZE = (6, 5)


def _close(actual, expected, tolerance=1e-10):
    assert actual.shape == expected.shape
    assert (actual - expected).norm() <= tolerance * expected.norm()


class Case:
    """A convolution, what it saw in one call or several, and its per-example gradients by autograd."""

    def __init__(self, options, *, bias=True, examples=5, columns=1, sizes=(SIZE,)):
        torch.manual_seed(0)
        outputs = 8 if options.get("groups") == 4 else 6
        self.module = nn.Conv2d(4, outputs, bias=bias, **options).double()
        self.examples, self.columns = examples, columns
        self.inputs = [torch.randn(examples, 4, *size, dtype=torch.float64) for size in sizes]
        with torch.no_grad():
            self.derivatives = [
                torch.randn(columns * examples, *self.module(x).shape[1:], dtype=torch.float64) for x in self.inputs
            ]
        (self.layer,) = find_layers(self.module).values()
        calls = [Call(x, g) for x, g in zip(self.inputs, self.derivatives, strict=True)]
        self.block = self.layer.block(calls)
        self.d = self.gradients(self.derivatives)

    def gradients(self, derivatives):
        """``(c · m, d_out, d_in)`` for derivatives of each call, the bias as last column."""
        parameters = {name: p.detach() for name, p in self.module.named_parameters()}

        def loss(values, *pairs):
            half = len(pairs) // 2
            return sum(
                torch.sum(functional_call(self.module, values, (x.unsqueeze(0),)) * g)
                for x, g in zip(pairs[:half], pairs[half:], strict=True)
            )

        inputs = [x.repeat(self.columns, 1, 1, 1) for x in self.inputs]
        found = vmap(grad(loss), in_dims=(None, *[0] * (2 * len(inputs))))(parameters, *inputs, *derivatives)
        d = found["weight"].flatten(2)
        return torch.cat([d, found["bias"].unsqueeze(2)], 2) if "bias" in found else d

    def position_gradients(self):
        """``{(t, example): D of the position t alone}`` with t = (row, column), over all calls: ``[(t, (m, ...))]``."""
        found = []
        for i, g in enumerate(self.derivatives):
            for row in range(g.shape[2]):
                for column in range(g.shape[3]):
                    alone = [torch.zeros_like(other) for other in self.derivatives]
                    alone[i][:, :, row, column] = g[:, :, row, column]
                    found.append(((row, column), self.gradients(alone)))
        return found

    def fisher(self, radius):
        """``F`` with the explicit double sum over positions up to a distance, for any bias, stride or groups."""
        found = self.position_gradients()
        total = 0
        for (row, column), d in found:
            for (other_row, other_column), other in found:
                if max(abs(row - other_row), abs(column - other_column)) <= radius:
                    total = total + vec(d).T @ vec(other)
        return total / self.examples


def _rearranged(f, d_out, d_in):
    """``Z(F)``: ``(d_in², d_out²)`` from the blocks of F; row (j, k) is the block at (j, k), vec by columns."""
    return f.reshape(d_in, d_out, d_in, d_out).permute(0, 2, 1, 3).reshape(d_in**2, d_out**2)


def _symmetric(n):
    matrix = torch.randn(n, n, dtype=torch.float64)
    return matrix + matrix.T


def _check_products(block, f):
    d_in, d_out = block.d_in, block.d_out
    z = _rearranged(f, d_out, d_in)
    any_v = torch.randn(d_out, d_out, dtype=torch.float64)
    any_u = torch.randn(d_in, d_in, dtype=torch.float64)
    w = torch.randn(d_out, d_in, dtype=torch.float64)
    _close(block.dense(), f)
    _close(block.times(w), unvec(f @ vec(w), d_out))
    for v, u in ((any_v, any_u), (any_v + any_v.T, any_u + any_u.T)):
        image, back = (z @ v.flatten()).reshape(d_in, d_in), (z.T @ u.flatten()).reshape(d_out, d_out)
        _close(block.rearranged_times(v), (image + image.T) / 2)
        _close(block.rearranged_transpose_times(u), (back + back.T) / 2)
    terms = KroneckerSum(tuple((_symmetric(d_in), _symmetric(d_out)) for _ in range(2)))
    _close(terms.inner_product_with(block), torch.sum(f * terms.dense()))
    _close(block.norm_squared(), f.square().sum())


def _check_jacobian(block, d, examples):
    j = vec(d).T
    w = torch.randn(block.d_out, block.d_in, dtype=torch.float64)
    weights = torch.randn(len(d), dtype=torch.float64)
    left, right = torch.randn(block.d_out, dtype=torch.float64), torch.randn(block.d_in, dtype=torch.float64)
    _close(block.per_example_gradients(), d)
    _close(block.gram(), j.T @ j)
    _close(block.transpose_times(w), j.T @ vec(w))
    _close(block.rank_one_products(left, right), j.T @ vec(torch.outer(left, right)))
    _close(block.weighted_sum(weights), unvec(j @ weights, block.d_out))
    _check_products(block, fisher_block(d) * len(d) / examples)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("options", GEOMETRIES.values(), ids=GEOMETRIES)
def test_the_products_of_a_convolution_are_those_of_per_example_autograd(options, bias):
    case = Case(options, bias=bias)
    _check_jacobian(case.block, case.d, case.examples)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("options", GEOMETRIES.values(), ids=GEOMETRIES)
def test_the_factors_of_a_convolution_are_the_second_moments_over_positions_and_groups(options, bias):
    case = Case(options, bias=bias)
    groups, o = case.module.groups, case.block.d_out // case.module.groups
    a_expected, g_expected, count = 0, 0, 0
    for (row, column), d in case.position_gradients():
        count += 1
        # With derivatives g at one position alone, row k of D is g_k ā of its group.
        for group in range(groups):
            g = torch.zeros_like(case.derivatives[0][:, :, row, column])
            part = slice(group * o, (group + 1) * o)
            g[:, part] = case.derivatives[0][:, part, row, column]
            patches = d[:, part.start] / g[:, part.start, None]
            a_expected = a_expected + patches.T @ patches
            g_expected = g_expected + g.T @ g
    a, g = case.block.kfac_factors()
    _close(a, a_expected / case.examples, 1e-9)
    _close(g, g_expected / (case.examples * count * groups))
    assert case.block.positions == count


@pytest.mark.parametrize("radius", [0, 1, 2, 6])
@pytest.mark.parametrize("name", ["padding", "stride", "groups", "rectangular"])
def test_the_truncated_block_is_the_explicit_double_sum_over_near_positions(name, radius):
    case = Case(GEOMETRIES[name], examples=2, columns=2)
    _check_products(case.block.truncated(radius), case.fisher(radius))


@pytest.mark.parametrize("options", GEOMETRIES.values(), ids=GEOMETRIES)
def test_a_radius_of_the_grid_keeps_all_pairs_and_a_smaller_one_does_not(options):
    case = Case(options)
    v = torch.randn(case.block.d_out, case.block.d_out, dtype=torch.float64)
    u = torch.randn(case.block.d_in, case.block.d_in, dtype=torch.float64)
    grid = max(case.block.grids[0])
    whole = case.block.truncated(grid)
    _close(whole.rearranged_times(v), case.block.rearranged_times(v))
    _close(whole.rearranged_transpose_times(u), case.block.rearranged_transpose_times(u))
    if grid > 1:
        part = case.block.truncated(grid - 2).rearranged_times(v)
        assert (part - case.block.rearranged_times(v)).norm() > 1e-4 * part.norm()


def test_calls_of_different_sizes_add_their_gradients_and_share_their_grid():
    case = Case(GEOMETRIES["groups"], examples=3, columns=2, sizes=((3, 4), (5, 3)))
    _check_jacobian(case.block, case.d, case.examples)
    assert case.block.positions == 3 * 4 + 5 * 3
    for radius in (1, 5):
        _check_products(case.block.truncated(radius), case.fisher(radius))
    _, g = case.block.kfac_factors()
    derivatives = torch.cat([g.flatten(2) for g in case.derivatives], 2)
    trace = torch.einsum("bit,bit->", derivatives, derivatives) / (3 * 27 * 2)
    _close(g.trace(), trace)


@pytest.mark.parametrize(("kernel", "radius"), [(1, 1), (2, 2), (3, 3), ((1, 3), 3), ((2, 1), 2)])
def test_the_radius_of_a_filter_is_its_own_size(kernel, radius):
    case = Case({"kernel_size": kernel, "padding": 1}, examples=2, columns=2)
    near = case.block.truncated("filter")
    _check_products(near, case.fisher(radius))
    assert float((near.dense() - case.fisher(radius - 1)).norm()) > 1e-3


@pytest.mark.parametrize("radius", [-1, "most"])
def test_what_is_no_radius_is_refused(radius):
    with pytest.raises(ValueError, match=rf"positions={radius} is not allowed: an int >= 0 or 'all' or 'filter'"):
        Case(GEOMETRIES["plain"]).block.truncated(radius)


def test_a_truncated_block_has_no_jacobian():
    block = Case(GEOMETRIES["plain"]).block.truncated(1)
    for call in (block.gram, block.per_example_gradients, lambda: block.weighted_sum(torch.ones(5))):
        with pytest.raises(TypeError, match="truncated to near positions"):
            call()


def _small_pieces(monkeypatch, numbers):
    for module, bound in (
        (block, "_CHUNK_NUMBERS"),
        (positions, "_PATCH_NUMBERS"),
        (patch_moments, "_UNFOLD_NUMBERS"),
        (correlation, "_PIECE_NUMBERS"),
        (pairs, "_PIECE_NUMBERS"),
    ):
        monkeypatch.setattr(module, bound, numbers)
    monkeypatch.setattr(positions, "_KEPT_NUMBERS", 0)


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("name", ["padding", "groups", "stride", "depthwise"])
def test_everything_is_the_same_in_small_pieces(name, columns, monkeypatch):
    case = Case(GEOMETRIES[name], columns=columns)
    other = KroneckerSum(((_symmetric(case.block.d_in), _symmetric(case.block.d_out)),))

    names = ("rearranged_times", "rearranged_transpose_times", "inner_product")

    def results(block):
        near = block.truncated(1)
        u, v = other.terms[0]
        given = (v, u, other.terms)
        by_gradients = zip((getattr(FisherBlock, name) for name in names), given, strict=True)
        by_positions = zip((getattr(PositionPairs, name) for name in names), given, strict=True)
        return [
            *block.kfac_factors(),
            block._gram_by_positions(),
            block._gram_by_gradients(),
            *(call(block, x) for call, x in by_gradients),
            *(call(block._all_pairs, x) for call, x in by_positions),
            near.rearranged_times(v),
            other.inner_product_with(near),
        ]

    whole = results(case.block)
    # The two routes agree.
    for by_gradients, by_positions in zip([whole[2], *whole[4:7]], [whole[3], *whole[7:10]], strict=True):
        _close(by_gradients, by_positions)
    _small_pieces(monkeypatch, 400)
    monkeypatch.setattr(lower, "_BLOCK", 5)
    fresh = case.layer.block([Call(case.inputs[0], case.derivatives[0])])
    for piecewise, at_once in zip(results(fresh), whole, strict=True):
        _close(piecewise, at_once)


def test_a_channels_last_batch_gives_the_same_block():
    case = Case(GEOMETRIES["groups"])
    call = Call(*(t.to(memory_format=torch.channels_last) for t in (case.inputs[0], case.derivatives[0])))
    block = case.layer.block([call])
    _check_jacobian(block, case.d, case.examples)
    for actual, expected in zip(block.kfac_factors(), case.block.kfac_factors(), strict=True):
        _close(actual, expected)


def test_sums_across_layers_count_every_position_and_group():
    case = Case(GEOMETRIES["groups"], columns=2)
    inputs, derivatives = case.block.cross_layer_sums()
    patches = case.block.patches(0, 5)
    _close(inputs, patches.sum((1, 2, 3)) / (30 * 2) ** 0.5)
    _close(derivatives, case.derivatives[0].sum((1, 2, 3)) / (30 * 2))


def test_input_that_is_no_batch_of_images_is_refused():
    layer = Case(GEOMETRIES["plain"]).layer
    with pytest.raises(ValueError, match="3-dimensional input"):
        layer.block([Call(torch.randn(4, 6, 5), torch.randn(6, 4, 3))])


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("shapes", [[(7,)], [(), (3,)], [(2, 3)]], ids=["positions", "two-calls", "grid"])
@pytest.mark.parametrize("columns", [1, 2])
def test_the_products_of_a_linear_layer_over_positions_are_those_of_the_dense_block(shapes, bias, columns):
    torch.manual_seed(0)
    module = nn.Linear(4, 3, bias=bias).double()
    (layer,) = find_layers(module).values()
    inputs = [torch.randn(5, *shape, 4, dtype=torch.float64) for shape in shapes]
    derivatives = [torch.randn(columns * 5, *shape, 3, dtype=torch.float64) for shape in shapes]
    d = 0
    for x, g in zip(inputs, derivatives, strict=True):
        a = torch.cat([x, torch.ones(*x.shape[:-1], 1)], -1) if bias else x
        d = d + torch.einsum(
            "bto,bti->boi", g.reshape(columns * 5, -1, 3), a.reshape(5, -1, 4 + bias).repeat(columns, 1, 1)
        )
    block = layer.block([Call(x, g) for x, g in zip(inputs, derivatives, strict=True)])
    _check_jacobian(block, d, 5)
    assert block.truncated(0) is block


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("columns", [1, 2])
def test_the_products_of_a_linear_layer_are_those_of_the_dense_block(bias, columns):
    torch.manual_seed(0)
    module = nn.Linear(4, 3, bias=bias).double()
    (layer,) = find_layers(module).values()
    x, g = torch.randn(5, 4, dtype=torch.float64), torch.randn(columns * 5, 3, dtype=torch.float64)
    a = torch.cat([x, torch.ones(5, 1)], 1) if bias else x
    block = layer.block([Call(x, g)])
    _check_jacobian(block, g.unsqueeze(2) * a.repeat(columns, 1).unsqueeze(1), 5)
    assert block.truncated(0) is block


class _Largest(TorchDispatchMode):
    """The largest storage that any operation returned, in numbers of float64."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.untyped_storage().nbytes() // 8)
        return result


PIECEWISE = {
    "correlated-factors": ({"padding": 2}, lambda block: block.kfac_factors()),
    "unfolded-factors": ({"padding": 2, "stride": 2}, lambda block: block.kfac_factors()),
    "gram-by-positions": ({"stride": 3}, lambda block: block._gram_by_positions()),
    "gram-by-gradients": ({"stride": 2}, lambda block: block._gram_by_gradients()),
    "rearranged-by-gradients": (
        {"stride": 2},
        lambda block: FisherBlock.rearranged_times(block, torch.eye(16, dtype=torch.float64)),
    ),
    "rearranged-by-positions": (
        {"stride": 2},
        lambda block: block._all_pairs.rearranged_transpose_times(torch.eye(101, dtype=torch.float64)),
    ),
    "truncated": (
        {"stride": 2},
        lambda block: block.truncated(1).rearranged_times(torch.eye(16, dtype=torch.float64)),
    ),
}


@pytest.mark.parametrize(("options", "compute"), PIECEWISE.values(), ids=PIECEWISE)
def test_neither_the_unfolded_batch_nor_all_gradients_are_ever_held(options, compute, monkeypatch):
    torch.manual_seed(0)
    module = nn.Conv2d(4, 16, 5, **options).double()
    inputs = torch.randn(64, 4, 16, 16, dtype=torch.float64)
    derivatives = torch.randn_like(module(inputs).detach())
    (layer,) = find_layers(module).values()
    block = layer.block([Call(inputs, derivatives)])
    expected = compute(block)
    _small_pieces(monkeypatch, 2**14)
    with _Largest() as largest:
        actual = compute(layer.block([Call(inputs, derivatives)]))
    pieces, whole = (actual, expected) if isinstance(actual, tuple) else ((actual,), (expected,))
    for piecewise, at_once in zip(pieces, whole, strict=True):
        _close(piecewise, at_once)
    unfolded, gradients = 64 * 101 * block.positions, 64 * 16 * 101
    # The gradients of a batch of large images are smaller than the images.
    unwanted = unfolded if options.get("padding") else min(unfolded, gradients)
    # What the layer recorded is larger than a piece, and may be copied in another order.
    held = max(inputs.numel(), derivatives.numel())
    assert largest.numbers <= max(held, 2**15) < unwanted
