from __future__ import annotations

import pytest
import torch
from oracle import derivative_covariance

from ngbench.curvature.likelihoods import Bernoulli, Categorical, Gaussian

LIKELIHOODS = [Bernoulli("mean"), Bernoulli("sum"), Gaussian("mean"), Gaussian("sum"), Categorical()]
IDS = ["bernoulli-mean", "bernoulli-sum", "gaussian-mean", "gaussian-sum", "categorical"]


def _outputs_and_targets(likelihood):
    generator = torch.Generator().manual_seed(1)
    outputs = torch.randn(5, 4, dtype=torch.float64, generator=generator)
    return outputs, likelihood.sample(outputs, generator)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=IDS)
def test_loss_is_the_mean_of_the_per_example_losses(likelihood):
    outputs, targets = _outputs_and_targets(likelihood)
    torch.testing.assert_close(likelihood.loss(outputs, targets), likelihood.per_example_loss(outputs, targets).mean())


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=IDS)
def test_output_derivative_equals_autograd(likelihood):
    outputs, targets = _outputs_and_targets(likelihood)
    leaf = outputs.clone().requires_grad_()
    (expected,) = torch.autograd.grad(likelihood.per_example_loss(leaf, targets).sum(), leaf)
    torch.testing.assert_close(likelihood.output_derivative(outputs, targets), expected)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=IDS)
def test_fisher_columns_sum_to_the_covariance_of_the_output_derivative(likelihood):
    outputs, _ = _outputs_and_targets(likelihood)
    columns = likelihood.fisher_columns(outputs)
    assert columns.shape == (4, 5, 4)
    for b, z in enumerate(outputs):
        torch.testing.assert_close(columns[:, b].T @ columns[:, b], derivative_covariance(likelihood, z))


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=IDS)
def test_samples_have_the_covariance_that_fisher_columns_state(likelihood):
    generator = torch.Generator().manual_seed(0)
    z = torch.tensor([0.3, -1.0, 0.8], dtype=torch.float64).expand(200_000, 3)
    derivative = likelihood.output_derivative(z, likelihood.sample(z, generator))
    exact = derivative_covariance(likelihood, z[0])
    torch.testing.assert_close(derivative.T @ derivative / len(z), exact, rtol=0.05, atol=0.02 * float(exact.max()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_bernoulli_targets_have_their_probabilities_and_are_independent(dtype):
    # Five a row: those that share a random draw are now in one row, now in two.
    p = torch.tensor([0.01, 0.25, 0.5, 0.9, 0.999], dtype=torch.float64)
    z = torch.logit(p).to(dtype).expand(100_001, 5)
    targets = Bernoulli().sample(z, torch.Generator().manual_seed(0))
    assert targets.dtype == dtype
    # Not torch.sigmoid(z): in bfloat16 that is 1 for 0.999.
    actual = torch.sigmoid(z[0].double())
    scores = (targets.double() - actual) / (actual * (1 - actual)).sqrt()
    assert (scores.mean(0) * len(z) ** 0.5).abs().max() < 4
    flat = scores.flatten()
    for lag in (1, 2, 5, 10):
        assert abs(float((flat[lag:] * flat[:-lag]).mean())) * len(flat) ** 0.5 < 4


def test_probabilities_finer_than_a_draw_are_met_over_many_draws():
    z = torch.logit(torch.tensor([2**-18, 1 - 2**-18])).expand(50_000, 2)
    generator = torch.Generator().manual_seed(0)
    rare = torch.zeros(2)
    for _ in range(2000):
        targets = Bernoulli().sample(z, generator).sum(0)
        rare += torch.stack([targets[0], len(z) - targets[1]])
    # 381 are expected; four times the deviation of a sum of which a quarter of the draws have all.
    assert (rare - 381).abs().max() < 4 * 25


def test_what_is_certain_always_comes():
    z = torch.tensor([-200.0, 200.0]).expand(200_000, 2)
    assert torch.equal(Bernoulli().sample(z, torch.Generator().manual_seed(0)), (z > 0).float())


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian()], ids=["bernoulli", "gaussian"])
def test_outputs_may_be_images(likelihood):
    outputs = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    targets = likelihood.sample(outputs, torch.Generator().manual_seed(0))
    flat = likelihood.loss(outputs.flatten(1), targets.flatten(1))
    torch.testing.assert_close(likelihood.loss(outputs, targets), flat)
    columns = likelihood.fisher_columns(outputs)
    torch.testing.assert_close(columns.flatten(2), likelihood.fisher_columns(outputs.flatten(1)))


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction='total' is not allowed, it must be 'mean' or 'sum'"):
        Bernoulli("total")


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    ("kind", "best"), [(Bernoulli, torch.special.logit), (Gaussian, lambda mean: mean)], ids=["bernoulli", "gaussian"]
)
def test_the_best_constant_is_the_mean_of_the_targets(kind, best, reduction):
    # More than are taken at once.
    targets = torch.rand(700, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    likelihood = kind(reduction=reduction)
    constant = best(targets.mean(0)).expand_as(targets)
    assert likelihood.constant_loss(targets) == pytest.approx(likelihood.loss(constant, targets).item())
    assert likelihood.constant_loss(targets) < likelihood.loss(constant + 0.01, targets).item()


def test_the_best_constant_of_classes_is_their_frequencies():
    targets = torch.tensor([0, 0, 2, 2, 2, 1, -100, 0])
    counted = Categorical(ignore_index=-100)
    frequencies = torch.tensor([3, 1, 3], dtype=torch.float64) / 7
    loss = counted.loss(frequencies.log().expand(8, 3), targets).item()
    assert counted.constant_loss(targets) == pytest.approx(loss)
    assert Categorical().constant_loss(torch.arange(10)) == pytest.approx(torch.tensor(10.0).log().item())


def test_pixels_that_are_never_set_cost_a_constant_nothing():
    targets = torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    assert Bernoulli().constant_loss(targets) == pytest.approx(torch.tensor(2.0).log().item() / 3)
