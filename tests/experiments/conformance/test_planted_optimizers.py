"""Optimizers with one fault each: the check of that name fails, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from textwrap import dedent, indent

import pytest
from torch.nn.modules import module

from ngbench.records.experiments import PluginRecord

SOUND = '''
import weakref
import torch
from ngbench import Range
from typing import Annotated

class Planted(torch.optim.Optimizer):
    def __init__(self, model, lr, decay):
        super().__init__(model.parameters(), dict(lr=lr, decay=decay))
        self.prepare(model)

    def prepare(self, model):
        pass

    def buffer(self, p):
        if "buffer" not in self.state[p]:
            self.state[p]["buffer"] = torch.zeros_like(p)
        return self.state[p]["buffer"]

    def update(self, p, group):
        if p.grad is not None:
            buffer = self.buffer(p)
            buffer.mul_(0.9).add_(p.grad)
            p.sub_(buffer, alpha=group["lr"])

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                self.update(p, group)

def planted(model, task, *, lr: Annotated[float, Range(above=0)] = 0.01, decay: float = 0.0) -> torch.optim.Optimizer:
    """Momentum.

    Args:
        lr: learning rate.
        decay: of the weights.
    """
    return {name}(model, lr, decay)
'''

FAULTS = {
    "a hook stays on the model": (
        {"hooks"},
        """
        def prepare(self, model):
            model.register_forward_hook(lambda module, inputs, outputs: None)
        """,
    ),
    "a hook stays on a parameter": (
        {"hooks"},
        """
        def prepare(self, model):
            list(model.parameters())[-2].register_hook(lambda gradient: None)
        """,
    ),
    "a global hook stays": (
        {"hooks"},
        """
        def prepare(self, model):
            torch.nn.modules.module.register_module_forward_pre_hook(lambda module, inputs: None)
        """,
    ),
    "the model keeps the optimizer alive": (
        {"hooks"},
        """
        def prepare(self, model):
            model.owner = self
        """,
    ),
    "the learning rate of a group is ignored": (
        {"parameter-groups"},
        """
        def prepare(self, model):
            self.lr = self.defaults["lr"]

        def update(self, p, group):
            super().update(p, {"lr": self.lr})
        """,
    ),
    "all but the first group are ignored": (
        {"parameter-groups"},
        """
        @torch.no_grad()
        def step(self, closure=None):
            for p in self.param_groups[-1]["params"]:
                self.update(p, self.param_groups[-1])
        """,
    ),
    "biases are left out": (
        {"parameter-groups"},
        """
        def prepare(self, model):
            self.param_groups[0]["params"] = [p for p in self.param_groups[0]["params"] if p.ndim > 1]
        """,
    ),
    "momentum is lost on reload": (
        {"state-dict"},
        """
        def prepare(self, model):
            self.buffers = {p: torch.zeros_like(p) for p in model.parameters()}

        def buffer(self, p):
            return self.buffers[p]
        """,
    ),
    "the state is an object that a checkpoint does not hold": (
        {"resumption"},
        """
        def prepare(self, model):
            self.buffers = dict(enumerate(torch.zeros_like(p) for p in model.parameters()))
            self.places = {p: at for at, p in enumerate(model.parameters())}

        def buffer(self, p):
            return self.buffers[self.places[p]].to(p)

        def update(self, p, group):
            if p.grad is not None:
                new = self.buffer(p) * 0.9 + p.grad
                self.buffers[self.places[p]] = new
                p.sub_(new, alpha=group["lr"])

        def state_dict(self):
            return {**super().state_dict(), "own": Box(self.buffers)}

        def load_state_dict(self, state):
            self.buffers = state.pop("own").content
            super().load_state_dict(state)
        """,
    ),
    "noise follows from no seed": (
        {"determinism"},
        """
        def update(self, p, group):
            super().update(p, group)
            if p.grad is not None:
                generator = torch.Generator()
                generator.seed()
                p.sub_(self.buffer(p) * torch.rand(p.shape, generator=generator), alpha=1e-5 * group["lr"])
        """,
    ),
    "frozen parameters decay": (
        {"frozen-parameters"},
        """
        def update(self, p, group):
            super().update(p, group)
            if not p.requires_grad:
                p.mul_(0.9)
        """,
    ),
    "a parameter without gradient raises": (
        {"unused-parameters"},
        """
        def update(self, p, group):
            if p.requires_grad:
                p.grad.norm()
                super().update(p, group)
        """,
    ),
    "a parameter without gradient decays": (
        {"unused-parameters"},
        """
        def update(self, p, group):
            super().update(p, group)
            if p.requires_grad and p.grad is None:
                p.mul_(0.9)
        """,
    ),
    "buffers of float64 parameters are float32": (
        {"dtype"},
        """
        def buffer(self, p):
            if "buffer" not in self.state[p]:
                self.state[p]["buffer"] = torch.zeros_like(p, dtype=torch.float32)
            return self.state[p]["buffer"]
        """,
    ),
    "bfloat16 stands still": (
        {"dtype"},
        """
        def update(self, p, group):
            if p.element_size() > 2:
                super().update(p, group)
        """,
    ),
    "bfloat16 moves where no vector is full": (
        {"dtype"},
        """
        def update(self, p, group):
            before = p.clone()
            super().update(p, group)
            if p.element_size() == 2:
                whole = p.numel() // 16 * 16
                p.view(-1)[:whole] = before.view(-1)[:whole]
        """,
    ),
    "biases of bfloat16 stand still": (
        {"dtype"},
        """
        def update(self, p, group):
            if p.element_size() > 2 or p.ndim > 1:
                super().update(p, group)
        """,
    ),
    "bfloat16 stands still after the first step": (
        {"dtype"},
        """
        def update(self, p, group):
            if p.element_size() > 2 or "buffer" not in self.state[p]:
                super().update(p, group)
        """,
    ),
    "bfloat16 takes every other step back": (
        {"dtype"},
        """
        def prepare(self, model):
            self.taken = 0

        @torch.no_grad()
        def step(self, closure=None):
            self.taken += 1
            super().step()

        def update(self, p, group):
            back = p.element_size() == 2 and self.taken % 2 == 0
            super().update(p, {"lr": -group["lr"]} if back else group)
        """,
    ),
    "a loaded state stays in its own type": (
        {"dtype-move"},
        """
        def buffer(self, p):
            return self.own.setdefault(next(k for k, q in enumerate(self.all) if q is p), torch.zeros_like(p))

        def prepare(self, model):
            self.own, self.all = {}, list(model.parameters())

        def update(self, p, group):
            if p.grad is not None:
                buffer = self.buffer(p)
                torch.add(0.9 * buffer, p.grad, out=buffer)
                p.sub_(buffer, alpha=group["lr"])

        def state_dict(self):
            return {**super().state_dict(), "own": self.own}

        def load_state_dict(self, state):
            self.own = {k: v.clone() for k, v in state.pop("own").items()}
            super().load_state_dict(state)
        """,
    ),
    "accumulated gradients are averaged again": (
        {"gradient-accumulation"},
        """
        def prepare(self, model):
            self.passes = 0
            this = weakref.ref(self)
            count = lambda *seen: setattr(this(), "passes", this().passes + torch.is_grad_enabled())
            weakref.finalize(self, model.register_forward_hook(count).remove)

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    self.update(p, {"lr": group["lr"] / max(self.passes, 1)})
            self.passes = 0
        """,
    ),
    "NaN in a gradient is taken for zero": (
        {"nan-gradient"},
        """
        def update(self, p, group):
            if p.grad is not None:
                p.grad.nan_to_num_(0.0)
            super().update(p, group)
        """,
    ),
    "a skipped NaN stays in the momentum": (
        {"nan-gradient"},
        """
        @torch.no_grad()
        def step(self, closure=None):
            skip = not all(p.grad.isfinite().all() for p in self.param_groups[0]["params"] if p.grad is not None)
            for group in self.param_groups:
                for p in group["params"]:
                    self.update(p, {"lr": 0.0 if skip else group["lr"]} if not skip else None)

        def update(self, p, group):
            if group is not None:
                super().update(p, group)
            elif p.grad is not None:
                self.buffer(p).mul_(0.9).add_(p.grad)
        """,
    ),
    "NaN in a gradient is refused too late": (
        {"nan-gradient"},
        """
        @torch.no_grad()
        def step(self, closure=None):
            super().step()
            if not all(p.isfinite().all() for p in self.param_groups[0]["params"]):
                raise FloatingPointError("NaN")
        """,
    ),
    "it climbs": (
        {"convergence-regression", "convergence-classification", "convergence-autoencoding"},
        """
        def update(self, p, group):
            super().update(p, {"lr": -group["lr"]})
        """,
    ),
    "every gradient is kept": (
        {"memory"},
        """
        def prepare(self, model):
            self.seen = []

        def update(self, p, group):
            super().update(p, group)
            if p.grad is not None:
                self.seen.append(p.grad.clone())
        """,
    ),
    "a phase has a name of its own": (
        {"phases"},
        """
        def phase(self, name):
            raise NotImplementedError

        @torch.no_grad()
        def step(self, closure=None):
            with self.phase("thinking") if "phase" in vars(self) else torch.no_grad():
                super().step()
        """,
    ),
    "a step is refreshed often": (
        {"measured"},
        """
        refreshed = "often"
        """,
    ),
    "a diagnostic is a text": (
        {"measured"},
        """
        def diagnostics(self):
            return {"progress": "good"}
        """,
    ),
    "a layer has no positions": (
        {"measured"},
        """
        def layers(self):
            return [{"name": "0", "d_in": 1, "d_out": 1}]
        """,
    ),
    "a layer is not in the model": (
        {"measured"},
        """
        def layers(self):
            return [{"name": "elsewhere", "d_in": 1, "d_out": 1, "positions": 1}]
        """,
    ),
    "nothing moves": (
        {"step"},
        """
        def update(self, p, group):
            pass
        """,
    ),
}
FUNCTIONS = {
    "a hyper-parameter is not described": ("        decay: of the weights.\n", ""),
    "a hyper-parameter has no type": ("decay: float = 0.0", "decay=0.0"),
    "a default is outside its type": ("decay: float = 0.0", "decay: Annotated[float, Range(minimum=1)] = 0.0"),
    "a hyper-parameter has no default": ("decay: float = 0.0", "decay: float"),
    "any keyword is taken": ("decay: float = 0.0)", "decay: float = 0.0, **more)"),
}

Examine = Callable[..., PluginRecord]


BOX = """
class Box:
    def __init__(self, content):
        self.content = content
"""


@pytest.fixture(autouse=True)
def _no_global_hooks() -> Iterator[None]:
    yield
    module._global_forward_pre_hooks.clear()


def faulty(body: str) -> str:
    return f"{SOUND}{BOX}\nclass Faulty(Planted):{indent(dedent(body), '    ')}\n".replace("{name}", "Faulty")


def failures(report: PluginRecord) -> dict[str, str]:
    return {row.name: row.message for row in report.checks if row.status == "failed"}


def test_without_a_fault_everything_passes(examine: Examine) -> None:
    report = examine("optimizer", SOUND.replace("{name}", "Planted"))
    assert failures(report) == {}
    assert {row.name for row in report.checks if row.status == "not applicable"} <= {"device-move", "phases"}
    assert report.distribution == "dist-planted"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_its_name_alone(examine: Examine, fault: str) -> None:
    expected, body = FAULTS[fault]
    assert set(failures(examine("optimizer", faulty(body)))) == expected


@pytest.mark.parametrize("fault", FUNCTIONS)
def test_a_signature_that_says_too_little_is_caught(examine: Examine, fault: str) -> None:
    old, new = FUNCTIONS[fault]
    source = SOUND.replace("{name}", "Planted")
    assert old in source
    report = examine("optimizer", source.replace(old, new))
    assert set(failures(report)) == {"signature"}


def test_messages_say_what_is_wrong_and_what_to_do(examine: Examine) -> None:
    message = failures(examine("optimizer", faulty(FAULTS["a hook stays on a parameter"][1])))["hooks"]
    assert message.startswith("1 hook stays on the parameter '7.weight' after the optimizer was deleted: keep the ")
