from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.likelihoods import Categorical
from ngbench.optimizers.natural_gradient import NaturalGradient

WORKERS = 2


def _train(model: nn.Module, called: nn.Module, rows: slice) -> dict[str, torch.Tensor]:
    likelihood = Categorical()
    curvature = partial(KroneckerCurvature, approximation=kfac, damping=0.1)
    optimizer = NaturalGradient(model, likelihood, curvature, lr=0.5, fisher="exact", kl_clip=1e-2)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        inputs = torch.randn(8, 4, dtype=torch.float64, generator=generator)[rows]
        targets = torch.randint(3, (8,), generator=generator)[rows]
        optimizer.zero_grad()
        likelihood.loss(called(inputs), targets).backward()
        optimizer.step()
    return model.state_dict()


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def _work(rank: int, directory: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{directory}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=WORKERS)
    model = _model()
    state = _train(model, DistributedDataParallel(model), slice(rank * 4, rank * 4 + 4))
    torch.save(state, Path(directory) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")
def test_data_parallel_workers_step_as_one_process_on_the_whole_batch(tmp_path):
    model = _model()
    expected = _train(model, model, slice(0, 8))
    multiprocessing.spawn(_work, args=(str(tmp_path),), nprocs=WORKERS)
    for rank in range(WORKERS):
        actual = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name in expected:
            torch.testing.assert_close(actual[name], expected[name])
