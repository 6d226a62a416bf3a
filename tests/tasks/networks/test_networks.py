"""The networks: parameter counts and names of the standard definitions, outputs, initial weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
import torch
import torch.nn.functional as F
from ngbench_tasks.networks.cuda_convnet import cuda_convnet
from ngbench_tasks.networks.perceptron import perceptron
from ngbench_tasks.networks.resnet import resnet18, resnet34, resnet50
from ngbench_tasks.networks.vgg import VGG11
from torch import Tensor, nn

State = Mapping[str, Tensor]


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("build", "parameters", "entries"),
    [
        (resnet18, 11_689_512, 122),
        (resnet34, 21_797_672, 218),
        (resnet50, 25_557_032, 320),
        (VGG11, 132_863_336, 22),
    ],
)
def test_parameters_of_the_standard_definitions(
    build: Callable[[int], nn.Module], parameters: int, entries: int
) -> None:
    with torch.device("meta"):
        model = build(1000)
    assert count(model) == parameters
    assert len(model.state_dict()) == entries


def test_names_and_shapes_are_those_of_the_usual_pretrained_weights() -> None:
    with torch.device("meta"):
        shapes = {
            f"{name}.{key}": tuple(value.shape)
            for name, model in (("18", resnet18(1000)), ("50", resnet50(1000)), ("vgg", VGG11(1000)))
            for key, value in model.state_dict().items()
        }
    expected = {
        "18.conv1.weight": (64, 3, 7, 7),
        "18.bn1.running_var": (64,),
        "18.layer1.1.bn2.num_batches_tracked": (),
        "18.layer2.0.conv1.weight": (128, 64, 3, 3),
        "18.layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "18.layer4.0.downsample.1.bias": (512,),
        "18.fc.weight": (1000, 512),
        "50.layer1.0.conv3.weight": (256, 64, 1, 1),
        "50.layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "50.layer3.5.conv2.weight": (256, 256, 3, 3),
        "50.layer4.2.bn3.running_mean": (2048,),
        "50.fc.bias": (1000,),
        "vgg.features.0.weight": (64, 3, 3, 3),
        "vgg.features.3.bias": (128,),
        "vgg.features.18.weight": (512, 512, 3, 3),
        "vgg.classifier.0.weight": (4096, 25088),
        "vgg.classifier.6.weight": (1000, 4096),
    }
    assert expected == {name: shapes.get(name) for name in expected}
    convolutions = [int(name.split(".")[2]) for name in shapes if name.startswith("vgg.features") and "bias" in name]
    assert convolutions == [0, 3, 6, 8, 11, 13, 16, 18]
    assert "18.layer1.0.downsample.0.weight" not in shapes


def _normalised(state: State, name: str, x: Tensor) -> Tensor:
    keys = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys))


def reference_resnet(state: State, x: Tensor) -> Tensor:
    """The forward pass of a residual network, from nothing but the names and shapes of its weights."""
    x = F.relu(_normalised(state, "bn1", F.conv2d(x, state["conv1.weight"], stride=2, padding=3)))
    x = F.max_pool2d(x, 3, 2, 1)
    blocks = sorted({tuple(key.split(".")[:2]) for key in state if key.startswith("layer")})
    for stage, index in blocks:
        block = f"{stage}.{index}"
        stride = 2 if index == "0" and stage != "layer1" else 1
        convolutions = [n for n in (1, 2, 3) if f"{block}.conv{n}.weight" in state]
        # The stride is that of the first 3 × 3 convolution.
        strided = 2 if len(convolutions) == 3 else 1
        y = x
        for n in convolutions:
            weight = state[f"{block}.conv{n}.weight"]
            y = F.conv2d(y, weight, stride=stride if n == strided else 1, padding=weight.shape[2] // 2)
            y = _normalised(state, f"{block}.bn{n}", y)
            y = F.relu(y) if n != convolutions[-1] else y
        if f"{block}.downsample.0.weight" in state:
            x = F.conv2d(x, state[f"{block}.downsample.0.weight"], stride=stride)
            x = _normalised(state, f"{block}.downsample.1", x)
        x = F.relu(x + y)
    return F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize("build", [resnet18, resnet50])
def test_outputs_of_residual_networks(build: Callable[[int], nn.Module]) -> None:
    torch.manual_seed(0)
    model = build(10)
    x = torch.randn(4, 3, 64, 64)
    model(x)  # moves the running moments away from 0 and 1
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x), reference_resnet(model.state_dict(), x), rtol=1e-3, atol=1e-3)


def test_outputs_of_vgg() -> None:
    torch.manual_seed(0)
    model = VGG11(10).eval()
    state, image = model.state_dict(), torch.randn(2, 3, 32, 32)
    x = image
    for index in (0, 3, 6, 8, 11, 13, 16, 18):
        x = F.relu(F.conv2d(x, state[f"features.{index}.weight"], state[f"features.{index}.bias"], padding=1))
        if index not in (6, 11, 16):
            x = F.max_pool2d(x, 2)
    # One position is left of 32 × 32, and each of the 7 × 7 sees it.
    x = x.expand(2, 512, 7, 7).flatten(1)
    for index in (0, 3, 6):
        x = F.linear(x, state[f"classifier.{index}.weight"], state[f"classifier.{index}.bias"])
        x = F.relu(x) if index < 6 else x
    with torch.no_grad():
        torch.testing.assert_close(model(image), x, rtol=1e-4, atol=1e-4)
    dropouts = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    assert [dropout.p for dropout in dropouts] == [0.5, 0.5]


def test_cuda_convnet() -> None:
    model = cuda_convnet(10)
    kinds = [type(module).__name__ for module in model]
    stage = ["Conv2d", "ReLU", "MaxPool2d", "BatchNorm2d"]
    assert kinds == [*stage, *stage, "Conv2d", "ReLU", "Flatten", "Linear"]
    # 3→32 k3, 32→32 k3, 32→64 k2, 64→10 with their biases, and two batch norms of 32.
    assert count(model) == (27 + 1) * 32 + (288 + 1) * 32 + (128 + 1) * 64 + 65 * 10 + 4 * 32
    assert model(torch.randn(5, 3, 32, 32)).shape == (5, 10)


@pytest.mark.parametrize("build", [cuda_convnet, resnet18])
def test_initial_weights_are_xavier_uniform_with_biases_of_0_01(build: Callable[[int], nn.Module]) -> None:
    torch.manual_seed(1)
    model = build(10)
    layers = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    for layer in layers:
        inputs, outputs = layer.weight[0].numel(), layer.weight.numel() // layer.weight.shape[1]
        bound = math.sqrt(6 / (inputs + outputs))
        assert 0.9 * bound < float(layer.weight.detach().abs().max()) <= bound
        assert layer.bias is None or (layer.bias == 0.01).all()
    torch.manual_seed(1)
    again = build(10)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_no_activation_overwrites_the_output_of_a_layer() -> None:
    """A curvature differentiates with respect to the outputs of layers: an activation in place would hide them."""
    for model in (cuda_convnet(10), resnet18(10)):
        assert not any(getattr(module, "inplace", False) for module in model.modules())
    with torch.device("meta"):
        assert not any(getattr(module, "inplace", False) for module in VGG11(10).modules())


def test_perceptron_puts_what_it_is_given_between_layers() -> None:
    model = perceptron((6, 4, 3), nn.BatchNorm1d)
    assert [type(module).__name__ for module in model] == ["Linear", "BatchNorm1d", "Linear"]
    assert model[1].num_features == 4


def test_a_narrow_residual_network_has_fewer_channels_in_every_stage() -> None:
    shapes = {name: tuple(value.shape) for name, value in resnet50(10, width=4).state_dict().items()}
    assert shapes["conv1.weight"] == (4, 3, 7, 7)
    assert [shapes[f"layer{stage}.0.conv2.weight"][0] for stage in (1, 2, 3, 4)] == [4, 8, 16, 32]
    assert shapes["fc.weight"] == (10, 128)
    assert resnet18(10, width=4)(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_a_narrow_vgg_has_fewer_channels_and_hidden_units() -> None:
    model = VGG11(10, width=2)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes["features.0.weight"] == (2, 3, 3, 3)
    assert shapes["classifier.0.weight"] == (128, 16 * 7 * 7)
    assert shapes["classifier.3.weight"] == (128, 128)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)
