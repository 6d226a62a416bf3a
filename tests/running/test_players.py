"""The Wasserstein likelihood and the players' models."""

from __future__ import annotations

import torch
from torch import nn

from ngbench.running.players import GeneratorModel, Wasserstein, twin

scores = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_loss_is_the_product_with_the_directions_and_its_derivative_they_are() -> None:
    likelihood = Wasserstein()
    signs = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    z = scores.clone().requires_grad_()
    loss = likelihood.loss(z, signs)
    assert torch.allclose(loss, (z[:, 1] - z[:, 0]).mean())
    (gradient,) = torch.autograd.grad(loss, z)
    torch.testing.assert_close(likelihood.output_derivative(scores, signs) / len(scores), gradient)


def test_columns_sum_to_the_identity_and_samples_have_it_as_second_moment() -> None:
    likelihood = Wasserstein()
    columns = likelihood.fisher_columns(scores)
    assert columns.shape == (2, 7, 2)
    torch.testing.assert_close(torch.einsum("cbi,cbj->bij", columns, columns), torch.eye(2).double().expand(7, 2, 2))
    many = scores[:1].expand(200_000, 2)
    drawn = likelihood.sample(many, torch.Generator().manual_seed(1))
    derivative = likelihood.output_derivative(many, drawn)
    torch.testing.assert_close(
        derivative.T @ derivative / len(many), torch.eye(2, dtype=torch.float64), atol=0.02, rtol=0
    )


def test_samples_repeat_with_their_generator() -> None:
    first, second = (Wasserstein().sample(scores, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)


def test_twin_has_the_same_weights_and_statistics_and_no_hooks_of_later() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    other = twin(network)
    seen: list[nn.Module] = []
    network[0].register_forward_hook(lambda module, *_: seen.append(module))
    other(torch.randn(5, 3))
    assert not seen
    assert other[0].weight is network[0].weight  # type: ignore[index]
    assert network[1].num_batches_tracked == 1
    network.load_state_dict({name: torch.zeros_like(value) for name, value in network.state_dict().items()})
    assert other[1].num_batches_tracked == 0  # type: ignore[index]


def test_generator_model_has_no_parameters_of_the_critic() -> None:
    generator, critic = nn.Linear(3, 4), nn.Linear(4, 1)
    model = GeneratorModel(generator, critic)
    assert set(model.parameters()) == set(generator.parameters())
    assert model(torch.zeros(2, 3)).shape == (2, 1)
