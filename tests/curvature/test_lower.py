"""Symmetric products by blocks: what covers the lower triangle, and that it is multiplied right."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ngbench.curvature.blocks import linear
from ngbench.curvature.blocks.linear import LinearBlock
from ngbench.curvature.linalg.lower import diagonal_blocks, lower_blocks, mirror


@given(size=st.integers(1, 300), smallest=st.integers(1, 80))
def test_blocks_cover_the_lower_triangle_once_and_are_few(size, smallest):
    counts = torch.zeros(size, size, dtype=torch.int)
    blocks = lower_blocks(size, smallest)
    for batch in blocks:
        view = batch.of(counts)
        view += 1
        # What an in-place sum over a view with overlaps would count once.
        assert view.numel() == batch.count * batch.height * batch.width
    assert torch.equal(torch.tril(counts), torch.tril(torch.ones_like(counts)))
    assert counts.max() == 1
    halvings = max((size // smallest).bit_length() - 1, 0)
    assert len(blocks) <= halvings + 2
    # Half of the matrix, half of the blocks on the diagonal, and the rows left over.
    assert counts.sum() <= size**2 * (1 + 0.5**halvings) / 2 + size * 2**halvings


@pytest.mark.parametrize("transposed", [False, True])
@given(size=st.integers(1, 200), width=st.integers(1, 5))
def test_blocks_of_a_product_are_products_of_rows(transposed, size, width):
    # A view inside of larger storage: offset and strides count.
    storage = torch.arange(float((size + 2) * (width + 3)), dtype=torch.float64).view(size + 2, width + 3)
    x = storage[1:-1, 2:-1]
    if transposed:
        x = x.T.contiguous().T
    product = x @ x.T
    for batch in lower_blocks(size, 16):
        assert torch.equal(batch.products(x), batch.of(product))
        assert torch.equal(batch.of(product.T), batch.of(product))


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(("examples", "is_kept"), [(64, True), (129, True), (311, False)])
def test_a_gram_matrix_by_blocks_is_that_of_the_gradients(examples, is_kept, constant, monkeypatch):
    monkeypatch.setattr(linear, "_GRAM_BLOCK", 16)
    monkeypatch.setattr(linear, "_GRAM_EXAMPLES", 65)
    x = torch.randn(examples, 150, dtype=torch.float64)
    g = torch.randn(examples, 110, dtype=torch.float64)
    block = LinearBlock(x, g, constant=constant, scale=0.5)
    block.reused = True
    d = block.per_example_gradients().flatten(1)
    start = torch.randn(examples, examples, dtype=torch.float64)
    total = start.clone()
    block.add_gram(total)
    torch.testing.assert_close(torch.tril(total), torch.tril(start + d @ d.T))
    # Half of the matrix was not computed.
    upper = slice(0, examples // 2 - 4), slice(examples // 2 + 4, examples - 8)
    assert torch.equal(total[upper], start[upper]) == (examples > 64)
    kept = block._input_products
    assert (kept is not None) == is_kept
    if kept is not None:
        torch.testing.assert_close(kept, block.homogeneous @ block.homogeneous.T)


def test_a_narrow_layer_multiplies_its_whole_gram_matrix():
    x, g = torch.randn(530, 4, dtype=torch.float64), torch.randn(530, 3, dtype=torch.float64)
    block = LinearBlock(x, g, constant=True)
    total = torch.zeros(530, 530, dtype=torch.float64)
    block.add_gram(total)
    d = block.per_example_gradients().flatten(1)
    torch.testing.assert_close(total, d @ d.T)


@given(size=st.integers(1, 60), width=st.integers(1, 20))
def test_blocks_on_the_diagonal_cover_it_once(size, width):
    counts = torch.zeros(size, size, dtype=torch.int)
    for blocks in diagonal_blocks(size, width):
        blocks.of(counts).add_(1)
    block = torch.arange(size) // width
    assert torch.equal(counts, (block.unsqueeze(0) == block.unsqueeze(1)).int())


@pytest.mark.parametrize("size", [1, 128, 300])
def test_the_upper_half_becomes_the_mirror_of_the_lower_one(size):
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(0))
    mirrored = matrix.clone()
    mirror(mirrored)
    assert torch.equal(mirrored, torch.tril(matrix) + torch.tril(matrix, -1).T)
