"""What "exact" means where examples meet: behind batch normalisation in training mode."""

from __future__ import annotations

import pytest
import torch
from oracle import fisher_block, weight_gradients
from torch import Tensor, nn

from ngbench.curvature.capture import Capture
from ngbench.curvature.layers import find_layers
from ngbench.curvature.likelihoods import Categorical

M = 16


def network(norm: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    between = [nn.BatchNorm1d(8)] if norm else []
    return nn.Sequential(nn.Linear(5, 8), *between, nn.ReLU(), nn.Linear(8, 3)).double()


def blocks(model: nn.Module, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Captured ``D_b`` of each layer, and the gradients of each example's own loss, ``(m, d_out, d_in)``."""
    layers = find_layers(model)
    capture = Capture(model, layers, Categorical(), fisher="empirical")
    capture.due = True
    Categorical().loss(model(x), y).backward()  # type: ignore[no-untyped-call]
    captured = {layer.name: torch.cat(list(block.gradient_chunks())) for layer, block in capture.take().items()}
    capture.remove()
    each = Categorical().per_example_loss(model(x), y)
    parameters = dict(model.named_parameters())
    rows = [torch.autograd.grad(loss, list(parameters.values()), retain_graph=True) for loss in each]
    gradients = {name: torch.stack([row[i] for row in rows]) for i, name in enumerate(parameters)}
    return captured, {name: weight_gradients(gradients, name) for name in captured}


def apart(found: Tensor, right: Tensor) -> float:
    found, right = fisher_block(found), fisher_block(right)
    return float((found - right).norm() / right.norm())


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(M, 5, dtype=torch.float64, generator=generator), torch.randint(3, (M,), generator=generator)


@pytest.mark.parametrize("kind", ["none", "fixed statistics"])
def test_blocks_are_exact_where_no_example_sees_another(kind: str) -> None:
    model = network(norm=kind != "none")
    for module in model:
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    captured, each = blocks(model, *batch())
    for name, gradients in each.items():
        assert apart(captured[name], gradients) < 1e-12


def test_before_batch_norm_in_training_mode_they_are_those_of_the_sum_of_all_losses() -> None:
    model = network()
    x, y = batch()
    captured, each = blocks(model, x, y)
    assert apart(captured["3"], each["3"]) < 1e-12
    assert apart(captured["0"], each["0"]) > 0.1
    # What an example's row of the output owes to all losses, times what the layer saw of it; the sum is the gradient.
    hidden = model[0](x).detach().requires_grad_()
    (derivatives,) = torch.autograd.grad(Categorical().per_example_loss(model[1:](hidden), y).sum(), hidden)
    rows = derivatives.unsqueeze(2) * torch.cat([x, torch.ones(M, 1)], 1).unsqueeze(1)
    torch.testing.assert_close(captured["0"], rows)
    torch.testing.assert_close(captured["0"].sum(0), each["0"].sum(0))
