"""One iteration of Algorithm 4 against its formula, and what the curvature of either player sees of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adversarial import ADAM, BATCH, KFAC, STILL, Iteration, small_task
from torch import Tensor, nn

from ngbench.adversarial_task import Player
from ngbench.errors import NgbenchError
from ngbench.plugins import registry
from ngbench.running.adversarial_config import PlayerConfig
from ngbench.running.adversarial_step import gradient_penalty

PLAIN = PlayerConfig("sgd", {"lr": 1.0, "momentum": 0.0})


def copies(module: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def moved(module: nn.Module, before: list[Tensor]) -> list[Tensor]:
    """The gradient that plain descent with learning rate 1 followed."""
    return [old - new.detach() for old, new in zip(before, module.parameters(), strict=True)]


def test_critic_descends_the_loss_of_algorithm_4() -> None:
    ours, theirs = Iteration(STILL, PLAIN), Iteration(STILL, PLAIN)
    before = copies(ours.players.critic)
    losses = ours.run()

    critic, draws = theirs.players.critic, theirs.draws
    with torch.no_grad():
        generated = theirs.players.generator(draws.critic_noise[0])
    real, mix = draws.real[0], draws.mix[0].view(-1, 1, 1, 1)
    between = (mix * real + (1 - mix) * generated).requires_grad_()
    wasserstein = critic(generated).mean() - critic(real).mean()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = (slope.flatten(1).square().sum(1).sqrt() - 1).square().mean()
    loss = wasserstein + 10 * penalty
    expected = torch.autograd.grad(loss, list(critic.parameters()), allow_unused=True)

    for got, gradient, parameter in zip(moved(ours.players.critic, before), expected, critic.parameters(), strict=True):
        wanted = torch.zeros_like(parameter) if gradient is None else gradient
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(losses.critic, loss.detach())
    torch.testing.assert_close(losses.penalty, penalty.detach())


def test_generator_descends_minus_the_mean_score_of_its_images() -> None:
    ours, theirs = Iteration(PLAIN, STILL), Iteration(PLAIN, STILL)
    before = copies(ours.players.generator)
    loss = ours.run().generator

    generator, critic = theirs.players.generator, theirs.players.critic
    expected = -critic(generator(theirs.draws.generator_noise)).mean()
    gradients = torch.autograd.grad(expected, list(generator.parameters()))
    torch.testing.assert_close(loss, expected.detach())
    for got, gradient in zip(moved(ours.players.generator, before), gradients, strict=True):
        torch.testing.assert_close(got, gradient, rtol=1e-9, atol=1e-12)


def test_the_generator_s_step_leaves_the_critic_s_gradient_alone() -> None:
    iteration = Iteration(STILL, STILL)
    critic = iteration.players.critic
    gradients: list[Tensor] = []
    step = iteration.optimizers["critic"].step

    def remember(*args: Any) -> Any:
        gradients.extend(parameter.grad.clone() for parameter in critic.parameters() if parameter.grad is not None)
        return step(*args)

    iteration.optimizers["critic"].step = remember  # type: ignore[method-assign]
    iteration.run()
    after = [parameter.grad for parameter in critic.parameters() if parameter.grad is not None]
    assert after
    assert all(torch.equal(left, right) for left, right in zip(gradients, after, strict=True))


@pytest.mark.parametrize("fisher", ["empirical", "sampled", "exact"])
@pytest.mark.parametrize("player", ["critic", "generator"])
def test_the_penalty_does_not_leak_into_the_curvature(player: Player, fisher: str) -> None:
    curved = PlayerConfig("kfac", {**KFAC.hyperparameters, "lr": 1e-30, "fisher": fisher})
    players = {"generator": STILL, "critic": STILL} | {player: curved}
    factors = []
    for penalty in (0.0, 10.0):
        iteration = Iteration(**players, penalty=penalty)
        iteration.run()
        factors.append(iteration.optimizers[player].curvature.factors)
    without, with_penalty = factors
    assert len(without) >= 2
    for name, value in without.items():
        for ours, theirs in zip(value.terms[0], with_penalty[name].terms[0], strict=True):
            assert torch.equal(ours, theirs)
            assert ours.abs().max() > 0


def test_critic_statistics_are_those_of_the_pairs_of_its_loss() -> None:
    iteration = Iteration(STILL, KFAC)
    draws = iteration.draws
    reference = Iteration(STILL, KFAC).players
    with torch.no_grad():
        generated = reference.generator(draws.critic_noise[0])
    inputs, derivatives = [], []
    for images, sign in ((draws.real[0], -1.0), (generated, 1.0)):
        hidden = reference.critic[:4](images).detach()
        inputs.append(torch.cat([hidden, torch.ones(BATCH, 1, dtype=hidden.dtype)], 1))
        derivatives.append(torch.full((BATCH, 1), sign, dtype=hidden.dtype))
    iteration.run()
    a, g = iteration.optimizers["critic"].curvature.factors["critic.4"].terms[0]  # type: ignore[attr-defined]
    # Two calls of a layer for each pair are two terms of D_b, as positions of a convolution are (3.29).
    torch.testing.assert_close(a, sum(x.T @ x for x in inputs) / BATCH)
    torch.testing.assert_close(g, sum(x.T @ x for x in derivatives) / (2 * BATCH))


@pytest.mark.parametrize("fisher", ["empirical", "exact"])
def test_generator_statistics_are_derivatives_through_the_critic(fisher: str) -> None:
    curved = PlayerConfig("kfac", {**KFAC.hyperparameters, "lr": 1e-30, "fisher": fisher})
    iteration, reference = Iteration(curved, STILL), Iteration(STILL, STILL)
    iteration.run()
    generator, critic = reference.players.generator, reference.players.critic
    assert isinstance(generator, nn.Sequential)
    flat = generator[:4](iteration.draws.generator_noise).detach().requires_grad_()
    (derivative,) = torch.autograd.grad(-critic(generator[4:](flat)).sum(), flat)
    _, g = iteration.optimizers["generator"].curvature.factors["generator.3"].terms[0]  # type: ignore[attr-defined]
    torch.testing.assert_close(g, derivative.T @ derivative / BATCH)


class Watching(torch.optim.SGD):
    """An optimizer with hooks of its own on every module of its model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model.parameters(), lr=1e-3)
        self.calls: list[str] = []
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.register_forward_hook(lambda *_, name=name: self.calls.append(name))
                module.register_full_backward_hook(lambda *_, name=name: self.calls.append(f"{name} backward"))


@pytest.mark.filterwarnings("ignore:Full backward hook")
def test_hooks_of_any_optimizer_see_the_loss_of_their_player_alone(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(registry, "build_optimizer", lambda plugin, model, task, hyperparameters: Watching(model))
    iteration = Iteration(STILL, STILL, critic_steps=3)
    iteration.run()
    critic, generator = iteration.optimizers["critic"], iteration.optimizers["generator"]
    assert isinstance(critic, Watching)
    assert isinstance(generator, Watching)
    # Three critic steps see a real and a generated batch each; the generator sees its own batch once.
    for name in ("critic.0", "critic.4"):
        assert critic.calls.count(name) == 6
        assert critic.calls.count(f"{name} backward") == 6
    for name in ("generator.0", "generator.3"):
        assert generator.calls.count(name) == 1
        assert generator.calls.count(f"{name} backward") == 1


def test_phases_are_named_after_the_player() -> None:
    iteration = Iteration(ADAM, KFAC, critic_steps=2)
    iteration.run()
    collected = iteration.recorder.collect(lambda start, end: 0.0)
    assert collected.kinds == ["refresh"]
    calls = {name: total.calls for name, total in collected.phases["refresh"].items()}
    assert calls == {
        "critic/generate": 2,
        "critic/forward": 2,
        "critic/backward": 2,
        "critic/penalty": 2,
        "critic/accumulate": 1,
        # Inversions are due every 100 steps, estimates every 2.
        "critic/refresh": 1,
        "critic/precondition": 2,
        "critic/update": 2,
        "generator/forward": 1,
        "generator/backward": 1,
        "generator/step": 1,
    }


def test_without_penalty_there_is_no_penalty_pass() -> None:
    iteration = Iteration(STILL, STILL, penalty=0.0)
    losses = iteration.run()
    phases = iteration.recorder.collect(lambda start, end: 0.0).phases["plain"]
    assert "critic/penalty" not in phases
    assert losses.penalty == 0


def test_gradient_penalty_of_a_flat_critic_has_a_finite_derivative() -> None:
    weight = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    images = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    penalty = gradient_penalty(images @ weight, images)
    (derivative,) = torch.autograd.grad(penalty, weight)
    assert penalty == 1
    assert torch.isfinite(derivative).all()


def test_gradient_penalty_is_the_mean_squared_distance_of_slopes_from_one() -> None:
    images = torch.ones(2, 1, 1, 2, requires_grad=True)
    scores = (images.flatten(1) * torch.tensor([[3.0, 4.0], [0.0, 1.0]])).sum(1)
    assert gradient_penalty(scores, images) == pytest.approx((4**2 + 0) / 2)


def test_a_critic_with_several_scores_an_image_is_refused() -> None:
    task = small_task(critic=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 2)))
    with pytest.raises(ValueError, match="one score for each image"):
        Iteration(STILL, STILL, task=task).run()


def test_a_player_that_is_no_module_is_the_task_s_fault() -> None:
    with pytest.raises(NgbenchError, match=r"its critic is int, not a torch\.nn\.Module"):
        Iteration(STILL, STILL, task=small_task(critic=lambda: 3))
