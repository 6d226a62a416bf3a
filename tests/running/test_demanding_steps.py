"""Steps that evaluate the loss again, differentiate the gradient, or train on other weights than they are judged by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ngbench.records.record import RunRecord
from ngbench.running.config import Budget, RunConfig

Configure = Callable[..., RunConfig]
RunToEnd = Callable[..., RunRecord]


@pytest.fixture
def run(configure: Configure, run_to_end: RunToEnd, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunRecord]:
    def of(kind: type[torch.optim.Optimizer], **hyperparameters: Any) -> RunRecord:
        monkeypatch.setattr(torch.optim, kind.__name__, kind, raising=False)
        config = configure(
            optimizer=f"torch.optim.{kind.__name__}", hyperparameters=hyperparameters, budget=Budget(epochs=1)
        )
        return run_to_end(config)

    return of


class Alone(torch.optim.SGD):
    """Makes three evaluations in each step, none of which was made for it."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        if not hasattr(self, "begun"):
            assert all(p.grad is None for p in self.param_groups[0]["params"])
        self.begun = True
        for _ in range(2):
            closure()
        return super().step(closure)


class Again(Alone):
    """Uses the gradient that is there, then makes another evaluation."""

    def step(self, closure: Any = None) -> Any:
        first = [p.grad.clone() for p in self.param_groups[0]["params"]]
        with torch.no_grad():
            for p in self.param_groups[0]["params"]:
                p.add_(0.01)
        closure()
        assert not any(torch.equal(p.grad, g) for p, g in zip(self.param_groups[0]["params"], first, strict=True))
        with torch.no_grad():
            for p in self.param_groups[0]["params"]:
                p.sub_(0.01)
        return torch.optim.SGD.step(self)


@pytest.mark.parametrize(("kind", "given", "evaluations"), [(Alone, {}, 3), (Again, {"needs_closure": True}, 2)])
def test_each_evaluation_of_a_step_is_counted_and_the_first_loss_recorded(
    run: Callable[..., RunRecord], kind: type[torch.optim.Optimizer], given: dict[str, Any], evaluations: int
) -> None:
    plain, record = run(torch.optim.SGD, lr=0.1), run(kind, **given)
    calls = {name: phase.calls for name, phase in record.phases.items()}
    steps = len(plain.steps.seconds)
    assert (calls["forward"], calls["backward"]) == (evaluations * steps, evaluations * steps)
    losses = record.history.train_loss[0], plain.history.train_loss[0]
    assert losses[0] == pytest.approx(losses[1], rel=0.5)


def test_a_step_that_makes_no_evaluation_is_one_sentence(run: Callable[..., RunRecord]) -> None:
    class Idle(Alone):
        def step(self, closure: Any) -> Any:
            return None

    with pytest.raises(Exception, match=r"Idle.step\(\) did not call its closure"):
        run(Idle)


def test_the_gradient_keeps_its_graph_where_a_step_differentiates_it(run: Callable[..., RunRecord]) -> None:
    kept = []

    class Curved(torch.optim.SGD):
        def __init__(self, params: Any, lr: float = 0.1) -> None:
            super().__init__(params, lr)

        def step(self, closure: Any = None) -> Any:
            kept.append(self.param_groups[0]["params"][0].grad.requires_grad)
            return super().step(closure)

    run(Curved, needs_graph=True)
    run(Curved)
    half = len(kept) // 2
    assert kept == [True] * half + [False] * half


def test_what_is_judged_are_the_weights_of_eval(run: Callable[..., RunRecord]) -> None:
    class Averaging(torch.optim.SGD):
        """Has other weights to judge by: none at all."""

        def __init__(self, params: Any, lr: float = 0.1) -> None:
            super().__init__(params, lr)
            self.training: bool | None = None
            self.told: list[bool] = []

        def train(self) -> None:
            if self.training is False:
                self._exchange()
            self.training = True

        def eval(self) -> None:
            self._exchange()
            self.training = False

        @torch.no_grad()
        def _exchange(self) -> None:
            for p in self.param_groups[0]["params"]:
                kept = self.state[p].get("kept", torch.zeros_like(p))
                self.state[p]["kept"] = p.clone()
                p.copy_(kept)

        def step(self, closure: Any = None) -> Any:
            assert self.training, "in no mode to train"
            return super().step(closure)

    record, plain = run(Averaging), run(torch.optim.SGD, lr=0.1)
    assert record.history.train_loss == plain.history.train_loss
    assert record.history.metrics["largest"] == [0.0]
    assert plain.history.metrics["largest"] != [0.0]
