"""Which optimizer classes of other libraries train an epoch by their dotted names: the table of a documentation page.

``python -m tests.others`` writes it anew; the libraries are the extra ``others`` of ``pyproject.toml``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import nn

import ngbench
from ngbench.errors import NgbenchError, describe

PAGE = Path(__file__).parents[1] / "docs" / "other-libraries.md"
LIBRARIES = ("torch.optim", "heavyball", "pytorch_optimizer")
BEGIN, END = "<!-- What follows is written by python -m tests.others. -->\n", "<!-- So far. -->\n"
EXAMPLES, BATCH = 2048, 64
_SGD = "optimizer=torch.optim.SGD,optimizer_lr=0.1"
_SEARCH = "max_iter=2,line_search_fn=strong_wolfe"
_SHARP = "base_optimizer=torch.optim.SGD,lr=0.1,needs_closure=true"

GIVEN = {
    "heavyball.SAMWrapper": "wrapped_optimizer=heavyball.SFAdamW,needs_closure=true",
    "pytorch_optimizer.AdaHessian": "needs_graph=true",
    "pytorch_optimizer.AliG": "needs_closure=true",
    "pytorch_optimizer.BSAM": "num_data=1000000,weight_decay=0.1,rho=0.00001,needs_closure=true",
    "pytorch_optimizer.DAdaptAdam": "growth_rate=1.5",
    "pytorch_optimizer.DAdaptAdan": "growth_rate=1.5",
    "pytorch_optimizer.DAdaptSGD": "growth_rate=1.5",
    "pytorch_optimizer.FriendlySAM": _SHARP,
    "pytorch_optimizer.GSAM": _SHARP,
    "pytorch_optimizer.LBFGS": _SEARCH,
    "pytorch_optimizer.LookSAM": _SHARP,
    "pytorch_optimizer.Lookahead": _SGD,
    "pytorch_optimizer.Magma": _SGD,
    "pytorch_optimizer.OrthoGrad": _SGD,
    "pytorch_optimizer.PCGrad": _SGD,
    "pytorch_optimizer.Ranger21": f"num_iterations={EXAMPLES // BATCH}",
    "pytorch_optimizer.SAM": _SHARP,
    "pytorch_optimizer.SaRA": "threshold=0.1,lr=0.01",
    "pytorch_optimizer.SafeFP16Optimizer": _SGD,
    "pytorch_optimizer.ScheduleFreeWrapper": _SGD,
    "pytorch_optimizer.SophiaH": "needs_graph=true",
    "pytorch_optimizer.SpectralSphere": "others=torch.optim.AdamW",
    "pytorch_optimizer.TRAC": f"{_SGD},s_prev=0.1",
    "pytorch_optimizer.WSAM": _SHARP,
    "torch.optim.LBFGS": _SEARCH,
}
"""Hyper-parameters that a class cannot do without on a problem so small."""
WHY = {
    "heavyball.PSGDBase": "an abstract base of other classes",
    "heavyball.SOAPBase": "an abstract base of other classes",
    "heavyball.SplitOpt": "is made of parameters and classes; `others=...` divides the parameters of any class",
    "pytorch_optimizer.AdaLOMO": "has no `step()`: it updates during its own `fused_backward(loss, lr)`",
    "pytorch_optimizer.DeMo": "needs a process group of `torch.distributed`",
    "pytorch_optimizer.DistributedMuon": "needs a process group of `torch.distributed`; use `Muon`",
    "pytorch_optimizer.GSAM": "needs a schedule object, and a closure of another kind",
    "pytorch_optimizer.LOMO": "has no `step()`: it updates during its own `fused_backward(loss, lr)`",
    "pytorch_optimizer.SafeFP16Optimizer": "steps only after its own `backward(loss)`, which scales the loss",
}
"""Why a class does not train an epoch by its name."""
SPARSE = ("torch.optim.SparseAdam",)
"""Classes for models whose gradients are sparse, as those of a large embedding are."""


@dataclass(frozen=True)
class Outcome:
    """What an epoch with a class came to: how far the training loss fell, or why there is none."""

    name: str
    given: str
    fall: float | None
    reason: str = ""

    @property
    def trains(self) -> bool:
        # Not a fall of rounding.
        return self.fall is not None and self.fall > 1e-4


def classes(library: str) -> list[str]:
    """The dotted names of the optimizer classes that the library exports."""
    found = vars(importlib.import_module(library))
    base = torch.optim.Optimizer
    return sorted(
        f"{library}.{name}"
        for name, value in found.items()
        if isinstance(value, type) and issubclass(value, base) and value is not base
    )


def _dense() -> ngbench.Task:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(EXAMPLES, 8, generator=generator)
    labels = (inputs[:, 0] + inputs[:, 1] + torch.randn(EXAMPLES, generator=generator) > 0).long()
    return _task(lambda: nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2)), inputs, labels)


def _sparse() -> ngbench.Task:
    inputs = torch.randint(20, (EXAMPLES, 3), generator=torch.Generator().manual_seed(0))
    return _task(lambda: nn.EmbeddingBag(20, 2, sparse=True), inputs, (inputs[:, 0] > 9).long())


def _task(model: Callable[[], nn.Module], inputs: torch.Tensor, labels: torch.Tensor) -> ngbench.Task:
    """What is validated is what is trained on: the loss of all of it, before and after an epoch, is what counts."""
    data = ngbench.Data.from_tensors(inputs, labels, validation=(inputs, labels))
    return ngbench.Task(model, lambda directory: data, ngbench.Categorical(), batch_size=BATCH, epochs=1)


def _loss_after(task: Callable[[], ngbench.Task], optimizer: str) -> float | str:
    """The loss of all training examples after an epoch, or what went wrong."""
    noise = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
            warnings.simplefilter("ignore")
            document = ngbench.train({"small": task()}, optimizer, threads=1, own_processes=False)
    except NgbenchError as error:
        return describe(error)
    (run,) = document.runs
    (loss,) = run.history.validation_loss or (None,)
    return loss if loss is not None else run.message or run.status


@cache
def _loss_before(task: Callable[[], ngbench.Task]) -> float:
    loss = _loss_after(task, "torch.optim.SGD:lr=1e-30")
    assert isinstance(loss, float), loss
    return loss


def outcome(name: str) -> Outcome:
    """Train one epoch with the class."""
    given, task = GIVEN.get(name, ""), _sparse if name in SPARSE else _dense
    loss = _loss_after(task, f"{name}:{given}" if given else name)
    if isinstance(loss, str):
        return Outcome(name, given, None, loss)
    return Outcome(name, given, _loss_before(task) - loss, "the loss does not fall")


def table(library: str) -> str:
    """The section of the page about a library."""
    found = [outcome(name) for name in classes(library)]
    trained = [one for one in found if one.trains]
    distribution = library.partition(".")[0]
    title = f"### {library} {importlib.metadata.version(distribution).partition('+')[0]}"
    plain = ", ".join(_short(one) for one in trained if not one.given)
    parts = [title, f"{len(trained)} of {len(found)} classes train. By name alone:", textwrap.fill(f"{plain}.", 120)]
    if given := [one for one in trained if one.given]:
        rows = [f"| {_short(one)} | `{one.given}` |" for one in given]
        parts += ["With hyper-parameters that they need on so small a problem:", "| class | given |\n|---|---|", *rows]
    if failed := [one for one in found if not one.trains]:
        rows = [f"| {_short(one)} | {WHY.get(one.name, one.reason)} |" for one in failed]
        parts += ["These do not:", "| class | why |\n|---|---|", *rows]
    return _joined(parts)


def _short(one: Outcome) -> str:
    note = " (on a model with sparse gradients)" if one.name in SPARSE else ""
    return f"`{one.name.rpartition('.')[2]}`{note}"


def _joined(parts: Sequence[str]) -> str:
    """Paragraphs with an empty line between, but none within a table."""
    text = "\n\n".join(parts) + "\n"
    return re.sub(r"\|\n\n\|", "|\n|", text)


def written(text: str, sections: Sequence[str]) -> str:
    """The page with these sections in the place of those that it had."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + "\n" + "\n".join(sections) + "\n" + END + after


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), [table(library) for library in LIBRARIES]), "utf-8")
