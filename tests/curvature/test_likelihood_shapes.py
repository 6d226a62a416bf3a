"""What likelihoods make of outputs and targets: which dimension is which, which positions count, and how exactly."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from oracle import fisher_block, weight_gradients
from torch import Tensor, nn

from ngbench.curvature.capture import Capture
from ngbench.curvature.layers import find_layers
from ngbench.curvature.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood
from ngbench.running.players import Wasserstein

M, K = 5, 3
FORMS = {
    "one": (M, K),
    "as-many-positions-as-examples": (M, K, M),
    "as-many-positions-as-classes": (M, K, K),
    "image": (M, K, 2, 3),
}
CLOSE = {"rtol": 0.0, "atol": 1e-12}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def case(form: str, class_axis: int, ignore_index: int | None) -> tuple[Categorical, Tensor, Tensor]:
    """Outputs with the classes where they belong, and targets of which about a third is ignored."""
    shape = FORMS[form]
    z = torch.randn(shape, dtype=torch.float64, generator=generator(1))
    y = torch.randint(K, (M, *shape[2:]), generator=generator(2))
    if ignore_index is not None:
        y[torch.rand(y.shape, generator=generator(3)) < 0.35] = ignore_index
        assert 0 < int((y == ignore_index).sum()) < y.numel()
    likelihood = Categorical(ignore_index=ignore_index, class_axis=class_axis)  # type: ignore[arg-type]
    return likelihood, z.movedim(1, class_axis), y


CASES = pytest.mark.parametrize(
    ("form", "class_axis", "ignore_index"), list(itertools.product(FORMS, (1, -1), (None, -100, 1)))
)


@CASES
def test_the_loss_is_that_of_torch_and_the_mean_of_the_examples(
    form: str, class_axis: int, ignore_index: int | None
) -> None:
    likelihood, z, y = case(form, class_axis, ignore_index)
    expected = F.cross_entropy(z.movedim(class_axis, 1), y, ignore_index=-100 if ignore_index is None else ignore_index)
    torch.testing.assert_close(likelihood.loss(z, y), expected, **CLOSE)
    each = likelihood.per_example_loss(z, y)
    assert each.shape == (M,)
    torch.testing.assert_close(each.mean(), expected, **CLOSE)


@CASES
def test_derivatives_are_those_of_each_example(form: str, class_axis: int, ignore_index: int | None) -> None:
    likelihood, z, y = case(form, class_axis, ignore_index)
    leaf = z.clone().requires_grad_()
    each = likelihood.per_example_loss(leaf, y)
    derivative = likelihood.output_derivative(z, y)
    for b in range(M):
        (one,) = torch.autograd.grad(each[b], leaf, retain_graph=True)
        torch.testing.assert_close(derivative[b], one[b], **CLOSE)
        assert not one[torch.arange(M) != b].any()
    (whole,) = torch.autograd.grad(likelihood.loss(leaf, y), leaf)
    torch.testing.assert_close(derivative / M, whole, **CLOSE)


@CASES
def test_drawn_classes_have_their_derivative_where_positions_count(
    form: str, class_axis: int, ignore_index: int | None
) -> None:
    likelihood, z, y = case(form, class_axis, ignore_index)
    counted = torch.ones_like(y, dtype=torch.bool) if ignore_index is None else y != ignore_index
    with likelihood.given(y):
        found = likelihood.sampled_derivative(z, generator(4)).movedim(class_axis, 1)
    # Of p − e the drawn class is the entry below zero.
    drawn = found.argmin(1)
    p = torch.softmax(z.movedim(class_axis, 1), 1)
    expected = (p - F.one_hot(drawn, K).movedim(-1, 1)) * counted.unsqueeze(1) * (M / counted.sum().double())
    torch.testing.assert_close(found, expected, **CLOSE)


@CASES
def test_columns_sum_to_the_covariance_at_positions_that_count(
    form: str, class_axis: int, ignore_index: int | None
) -> None:
    likelihood, z, y = case(form, class_axis, ignore_index)
    counted = torch.ones_like(y, dtype=torch.bool) if ignore_index is None else y != ignore_index
    with likelihood.given(y):
        columns = likelihood.fisher_columns(z)
    assert columns.shape == (z[0].numel(), *z.shape)
    p = torch.softmax(z.movedim(class_axis, 1), 1).flatten(2) if z.ndim > 2 else torch.softmax(z, 1).unsqueeze(2)
    flat = columns.movedim(2 if class_axis == 1 else -1, 2).reshape(len(columns), M, K, -1)
    scale = M / int(counted.sum())
    for b in range(M):
        expected = torch.zeros(K, p.shape[2], K, p.shape[2], dtype=torch.float64)
        for t, counts in enumerate(counted[b].flatten().tolist()):
            for k in range(K if counts else 0):
                error = p[b, :, t] - torch.eye(K, dtype=torch.float64)[k]
                expected[:, t, :, t] += p[b, k, t] * torch.outer(error, error) * scale**2
        torch.testing.assert_close(torch.einsum("cjt,cku->jtku", flat[:, b], flat[:, b]), expected, **CLOSE)


def test_a_class_that_is_drawn_counts_though_its_index_marks_ignored_targets() -> None:
    likelihood = Categorical(ignore_index=0, class_axis=-1)
    z = torch.zeros(400, 7, 2, dtype=torch.float64)
    y = torch.ones(400, 7, dtype=torch.long)
    y[:, :3] = 0
    with likelihood.given(y):
        found = likelihood.sampled_derivative(z, generator())
    assert not found[:, :3].any()
    # Half of the classes is 0; each derivative is ±1/2 of a loss that is the mean over four positions.
    torch.testing.assert_close(found[:, 3:].abs(), torch.full((400, 4, 2), 1 / 8, dtype=torch.float64), **CLOSE)
    assert 0.4 < float((found[:, 3:, 0] > 0).double().mean()) < 0.6


def test_samples_are_ignored_where_the_targets_are() -> None:
    likelihood, z, y = case("image", 1, -100)
    with likelihood.given(y):
        assert torch.equal(likelihood.sample(z) == -100, y == -100)
    drawn = likelihood.sample(z)
    assert drawn.shape == y.shape
    assert int(drawn.min()) >= 0


class Tokens(nn.Module):
    """A class for each of the tokens of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Linear(4, 5)
        self.head = nn.Linear(5, K, bias=False)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("ignore_index", [None, -100, 1])
@pytest.mark.parametrize("fisher", ["exact", "sampled", "empirical"])
def test_blocks_are_those_of_the_positions_that_count(fisher: str, ignore_index: int | None) -> None:
    likelihood, _, y = case("as-many-positions-as-classes", -1, ignore_index)
    x = torch.randn(M, K, 4, dtype=torch.float64, generator=generator(5))
    model = Tokens()
    layers = find_layers(model)
    capture = Capture(model, layers, likelihood, fisher=fisher, seed=7)  # type: ignore[arg-type]
    capture.due = True
    with likelihood.given(y):
        z = model(x)
    likelihood.loss(z, y).backward()  # type: ignore[no-untyped-call]
    blocks = {layer.name: block for layer, block in capture.take().items()}
    capture.remove()
    for name, expected in _dense_blocks(model, likelihood, fisher, x, y).items():
        found = torch.cat(list(blocks[name].gradient_chunks()))
        torch.testing.assert_close(fisher_block(found) * len(found) / M, expected, **CLOSE)


def _dense_blocks(model: nn.Module, likelihood: Categorical, fisher: str, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """``(1/m) Σ_b E[vec D_b vec D_bᵀ]`` of each layer, by autograd of one position at a time."""
    counted = torch.ones_like(y, dtype=torch.bool) if likelihood.ignore_index is None else y != likelihood.ignore_index
    z = model(x)
    p = torch.softmax(z.detach(), -1)
    scale = M / int(counted.sum())
    with likelihood.given(y):
        drawn = likelihood.sampled_derivative(z.detach(), generator(7)).argmin(-1)
    parameters = dict(model.named_parameters())
    gradients = {
        (b, t, k): dict(
            zip(
                parameters,
                torch.autograd.grad(z[b, t, k], list(parameters.values()), retain_graph=True, allow_unused=True),
                strict=True,
            )
        )
        for b in range(M)
        for t in range(K)
        for k in range(K)
    }

    def weighted(error: Tensor, b: int, t: int, layer: str) -> Tensor:
        """The gradient of a layer for ``error`` ``(K,)`` at the output of one position, as a matrix."""
        summed = {
            name: sum(error[k] * gradients[b, t, k][name] for k in range(K))[None]  # type: ignore[index]
            for name in parameters
        }
        return weight_gradients(summed, layer)[0]

    eye = torch.eye(K, dtype=torch.float64)
    result = {}
    for layer in ("body", "head"):
        rows = []
        for b in range(M):
            positions = [t for t in range(K) if counted[b, t]]
            if fisher == "exact":
                rows += [
                    weighted((p[b, t] - eye[k]) * p[b, t, k].sqrt() * scale, b, t, layer)
                    for t in positions
                    for k in range(K)
                ]
            else:
                classes = y if fisher == "empirical" else drawn
                one = [weighted((p[b, t] - eye[classes[b, t]]) * scale, b, t, layer) for t in positions]
                if one:
                    rows.append(torch.stack(one).sum(0))
        result[layer] = fisher_block(torch.stack(rows)) * len(rows) / M
    return result


@pytest.mark.parametrize("method", ["sampled_derivative", "fisher_columns"])
def test_without_targets_it_is_not_known_which_positions_count(method: str) -> None:
    likelihood, z, y = case("image", 1, -100)
    with pytest.raises(ValueError, match=r"ignore_index=-100.*\(5, 3, 2, 3\).*likelihood.given\(targets\)"):
        getattr(likelihood, method)(z)
    with likelihood.given(y[:2]), pytest.raises(ValueError, match=r"\(2, 2, 3\).*\(5, 3, 2, 3\)"):
        getattr(likelihood, method)(z)


def test_given_targets_are_forgotten_after_an_error() -> None:
    likelihood, z, y = case("image", 1, -100)
    with pytest.raises(ZeroDivisionError), likelihood.given(y):
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="known from the targets alone"):
        likelihood.fisher_columns(z)


def test_where_all_is_ignored_the_loss_is_that_of_torch() -> None:
    likelihood = Categorical(ignore_index=-100)
    z, y = torch.randn(4, 3), torch.full((4,), -100)
    assert math.isnan(likelihood.loss(z, y))
    assert likelihood.per_example_loss(z, y).isnan().all()


def test_bytes_are_classes_too() -> None:
    likelihood, z, y = case("image", 1, None)
    for method in (likelihood.loss, likelihood.per_example_loss, likelihood.output_derivative):
        torch.testing.assert_close(method(z, y.byte()), method(z, y), **CLOSE)


LIKELIHOODS: dict[str, Likelihood] = {
    "bernoulli-mean": Bernoulli("mean"),
    "bernoulli-sum": Bernoulli("sum"),
    "gaussian-mean": Gaussian("mean"),
    "gaussian-sum": Gaussian("sum"),
}
WITH_TARGETS = pytest.mark.parametrize("method", ["loss", "per_example_loss", "output_derivative"])
WITHOUT = pytest.mark.parametrize("method", ["sample", "sampled_derivative", "fisher_columns"])


@WITH_TARGETS
@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize(
    ("outputs", "targets"),
    [((5, 1), (5,)), ((5,), (5, 1)), ((5, 3), (3,)), ((5, 3), (5, 1)), ((5, 3), (1, 3)), ((5, 2, 2), (5, 4)),
     ((5, 3), ()), ((5, 5), (5,)), ((5, 3), (4, 3)), ((), ())],
)  # fmt: skip
def test_nothing_is_broadcast(method: str, name: str, outputs: tuple[int, ...], targets: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape") as caught:
        getattr(LIKELIHOODS[name], method)(torch.zeros(outputs), torch.zeros(targets))
    assert str(outputs) in str(caught.value)
    assert str(targets) in str(caught.value)


@WITHOUT
@pytest.mark.parametrize("likelihood", [*LIKELIHOODS.values(), Categorical(), Categorical(class_axis=-1)])
@pytest.mark.parametrize("shape", [(), (5, 0)])
def test_outputs_without_an_output_are_refused(method: str, likelihood: Likelihood, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="outputs of shape") as caught:
        getattr(likelihood, method)(torch.zeros(shape))
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_one_output_an_example_needs_no_dimension(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    z, y = torch.randn(5, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    for method in (likelihood.per_example_loss, likelihood.output_derivative):
        torch.testing.assert_close(method(z, y), method(z[:, None], y[:, None]).flatten())
    torch.testing.assert_close(likelihood.loss(z, y), likelihood.loss(z[:, None], y[:, None]))
    assert likelihood.sample(z).shape == likelihood.sampled_derivative(z).shape == (5,)
    torch.testing.assert_close(likelihood.fisher_columns(z), likelihood.fisher_columns(z[:, None])[..., 0])


@WITH_TARGETS
@pytest.mark.parametrize(
    ("class_axis", "outputs", "targets"),
    [(1, (4, 6, 5), (4, 6)), (-1, (4, 5, 6), (4, 6)), (1, (4, 3), (3,)), (1, (4, 3), (4, 1)), (1, (4, 3, 2), (4,)),
     (1, (4,), (4,)), (-1, (4,), (4,)), (1, (4, 3), ()), (1, (4, 3, 4), (3, 4))],
)  # fmt: skip
def test_classes_that_do_not_fit_are_refused(
    method: str, class_axis: int, outputs: tuple[int, ...], targets: tuple[int, ...]
) -> None:
    likelihood = Categorical(class_axis=class_axis)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shape") as caught:
        getattr(likelihood, method)(torch.zeros(outputs), torch.zeros(targets, dtype=torch.long))
    assert str(outputs) in str(caught.value)
    assert len(outputs) == 1 or str(targets) in str(caught.value)


@WITH_TARGETS
def test_probabilities_are_no_classes(method: str) -> None:
    z = torch.randn(5, 3)
    for targets in (torch.softmax(z, 1), torch.zeros(5), torch.zeros(5, dtype=torch.int32)):
        with pytest.raises(TypeError, match="class probabilities are not taken") as caught:
            getattr(Categorical(), method)(z, targets)
        assert str(tuple(targets.shape)) in str(caught.value)
        assert "(5, 3)" in str(caught.value)


@WITH_TARGETS
@pytest.mark.parametrize("value", [-100, -1, 3, 255])
@pytest.mark.parametrize("ignore_index", [None, -7])
def test_a_target_that_is_no_class_is_named(method: str, value: int, ignore_index: int | None) -> None:
    likelihood = Categorical(ignore_index=ignore_index)
    with pytest.raises(ValueError, match=rf"target {value} is no class of 0 to 2.*ignore_index"):
        getattr(likelihood, method)(torch.randn(3, 3), torch.tensor([0, value, 1]))


@pytest.mark.parametrize(("name", "value"), [("class_axis", 0), ("class_axis", 2), ("ignore_index", 0.5)])
def test_arguments_of_a_categorical_are_checked(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}={value} is not allowed"):
        Categorical(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["loss", "per_example_loss", "output_derivative"])
def test_directions_of_scores_are_those_of_each_or_of_all(method: str) -> None:
    call = getattr(Wasserstein(), method)
    z, signs = torch.randn(2, 2), torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(call(z, signs), call(z, signs.expand(2, 2)))
    for outputs, targets in (((4, 2), (4,)), ((4, 2), (4, 1)), ((4,), (4,)), ((4, 2), ())):
        with pytest.raises(ValueError, match="shape") as caught:
            call(torch.zeros(outputs), torch.zeros(targets))
        assert str(outputs) in str(caught.value)
        assert str(targets) in str(caught.value)


def test_a_sampled_derivative_of_a_bernoulli_is_that_at_sampled_targets() -> None:
    outputs = torch.randn(50, 4, dtype=torch.float64)
    outputs[0], outputs[1] = 0.0, -0.0
    bernoulli = Bernoulli()
    expected = bernoulli.output_derivative(outputs, bernoulli.sample(outputs, generator(3)))
    torch.testing.assert_close(bernoulli.sampled_derivative(outputs, generator(3)), expected, **CLOSE)


@pytest.mark.parametrize(
    ("dtype", "value"), [(torch.float32, 1e8), (torch.float32, 1e7), (torch.bfloat16, 300.0), (torch.float16, 3e4)]
)
@pytest.mark.parametrize("shape", [(4000, 5), (20_000,)])
def test_drawn_errors_of_a_gaussian_do_not_drown(dtype: torch.dtype, value: float, shape: tuple[int, ...]) -> None:
    drawn = Gaussian("sum").sampled_derivative(torch.full(shape, value, dtype=dtype), generator()).double() / 2
    assert float(drawn.var()) == pytest.approx(1.0, abs=0.06)
    assert len(drawn.unique()) > 100


@pytest.mark.parametrize("logit", [-30.0, -18.0, 18.0, 30.0])
def test_a_nearly_certain_target_has_a_derivative(logit: float) -> None:
    z = torch.full((6, 2), logit)
    q = float(torch.sigmoid(torch.tensor(-abs(logit)).double()))
    drawn = Bernoulli("sum").sampled_derivative(z, generator())
    assert drawn.flatten().tolist() == pytest.approx([-math.copysign(q, logit)] * 12, rel=1e-5)
    columns = Bernoulli("sum").fisher_columns(z)
    assert columns.square().sum(0).flatten().tolist() == pytest.approx([q * (1 - q)] * 12, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_derivatives_of_a_nearly_certain_class_are_those_of_float64(dtype: torch.dtype) -> None:
    z = torch.tensor([[9.0, 0.0, 1.0], [1.0, 0.0, 9.0], [0.5, -0.25, 0.0]]).to(dtype)
    y = torch.tensor([0, 2, 1])
    tolerance = {"rtol": 4 * torch.finfo(dtype).eps, "atol": 1e-7 if dtype == torch.float16 else 0.0}
    for target in (y, y.roll(1)):
        found = Categorical().output_derivative(z, target)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), Categorical().output_derivative(z.double(), target), **tolerance)
    columns = Categorical().fisher_columns(z)
    assert columns.dtype == dtype
    torch.testing.assert_close(columns.double(), Categorical().fisher_columns(z.double()), **tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_classes_are_drawn_with_their_probabilities(dtype: torch.dtype) -> None:
    z = torch.zeros(100_000, 4, dtype=dtype)
    counts = torch.bincount(Categorical().sample(z, generator()), minlength=4).double()
    assert ((counts / len(z) - 0.25).abs() < 5 * math.sqrt(0.25 * 0.75 / len(z))).all()
