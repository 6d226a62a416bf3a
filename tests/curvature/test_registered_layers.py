from __future__ import annotations

from functools import partial

import pytest
import torch
from embedding import EmbeddingLayer, Vocabulary
from torch import nn

from ngbench.curvature.curvatures.exact import BlockDiagonalCurvature, ExactCurvature
from ngbench.curvature.curvatures.kronecker import KroneckerCurvature
from ngbench.curvature.curvatures.two_level import TwoLevelCurvature
from ngbench.curvature.kronecker.approximations import deflation, kfac, kpsvd
from ngbench.curvature.layers import Layer, find_layers
from ngbench.curvature.likelihoods import Categorical
from ngbench.optimizers.natural_gradient import NaturalGradient

TOKENS, TARGETS = torch.arange(20).reshape(10, 2) * 3 % 7, torch.arange(10) % 3


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setattr(Layer, "kinds", dict(Layer.kinds))
    Layer.register(Vocabulary)(EmbeddingLayer)


class _OneHot(nn.Linear):
    def __init__(self, weight):
        super().__init__(*weight.shape, bias=False, dtype=weight.dtype)
        self.weight.data = weight.detach().T.clone()


def _two_level(layers):
    return TwoLevelCurvature(layers, KroneckerCurvature(layers, kfac, damping=0.1), coarse_space="nicolaides")


CURVATURES = {
    "kfac": partial(KroneckerCurvature, approximation=kfac, damping=0.1),
    "kpsvd": partial(KroneckerCurvature, approximation=kpsvd, damping=0.1),
    "deflation": partial(KroneckerCurvature, approximation=deflation, damping=0.1),
    "exact": partial(ExactCurvature, damping=0.1),
    "block-diagonal": partial(BlockDiagonalCurvature, damping=0.1),
    "two-level": _two_level,
}


@pytest.mark.parametrize("fisher", ["sampled", "empirical", "exact"])
@pytest.mark.parametrize("curvature", CURVATURES.values(), ids=CURVATURES.keys())
def test_a_registered_embedding_steps_as_the_linear_layer_of_one_hot_inputs(curvature, fisher):
    torch.manual_seed(0)
    model = nn.Sequential(Vocabulary(7, 4), nn.Flatten(), nn.Linear(8, 3)).double()
    twin = nn.Sequential(_OneHot(model[0].weight), nn.Flatten(), nn.Linear(8, 3).double())
    twin[2].load_state_dict(model[2].state_dict())
    for one, inputs in ((model, TOKENS), (twin, nn.functional.one_hot(TOKENS, 7).double())):
        optimizer = NaturalGradient(one, Categorical(), curvature, lr=0.1, fisher=fisher, seed=0)
        assert len(optimizer.covered_layers) == 2
        for _ in range(3):
            optimizer.zero_grad()
            Categorical().loss(one(inputs), TARGETS).backward()
            optimizer.step()
    torch.testing.assert_close(model[0].weight, twin[0].weight.T, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(model[2].weight, twin[2].weight, rtol=1e-6, atol=1e-8)


def test_tokens_stay_integers():
    seen = []

    class Watching(EmbeddingLayer):
        def block(self, calls):
            seen.extend(call.inputs.dtype for call in calls)
            return super().block(calls)

    class Own(nn.Embedding):
        pass

    Layer.register(Own)(Watching)
    torch.manual_seed(0)
    model = nn.Sequential(Own(7, 4), nn.Flatten(), nn.Linear(8, 3)).to(torch.bfloat16)
    optimizer = NaturalGradient(model, Categorical(), CURVATURES["exact"], fisher="empirical")
    Categorical().loss(model(TOKENS), TARGETS).backward()
    optimizer.step()
    assert set(seen) == {torch.int64}


def test_the_nearest_registered_type_counts():
    class Special(nn.Linear):
        pass

    class SpecialLayer(type(next(iter(find_layers(nn.Linear(2, 2)).values())))):
        pass

    Layer.register(Special)(SpecialLayer)
    assert [type(layer) for layer in find_layers(nn.Sequential(nn.Linear(2, 2), Special(2, 2))).values()] == [
        SpecialLayer.__mro__[1],
        SpecialLayer,
    ]
