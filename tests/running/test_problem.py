from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from ngbench.running.initial import initial_model, initial_optimizer
from ngbench.running.problem import Problem

COMPILED = '''
    import torch

    def backend(graph, inputs):
        raise AssertionError("compiled")

    def compiled(model, task) -> torch.optim.Optimizer:
        """Insists on a compiler."""
        torch.compile(lambda x: x + 1, fullgraph=True, backend=backend)(torch.ones(1))
        return torch.optim.SGD(model.parameters(), lr=0.1)
'''


@pytest.fixture
def build(distribute: Callable[..., None], problem: Problem) -> Iterator[Callable[[], torch.optim.Optimizer]]:
    distribute("dist-compiled", {"compiled_bench": COMPILED}, optimizers={"compiled": "compiled_bench:compiled"})
    model = initial_model(problem, 0, torch.device("cpu"), torch.float32)
    yield lambda: initial_optimizer(problem.task, model, "compiled", {})
    torch.compiler.set_stance("default")


def test_the_switch_of_torch_compile_makes_optimizers_eager(
    build: Callable[[], torch.optim.Optimizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Exception, match="compiled"):
        build()
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")
    assert isinstance(build(), torch.optim.SGD)
