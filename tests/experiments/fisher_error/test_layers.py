"""Which layer a word names, where names are numbers too."""

from __future__ import annotations

import pytest
from torch import nn

from ngbench.errors import ParameterError, UnknownNameError
from ngbench.experiments.fisher_error.run import choose_layers

MODEL = nn.Sequential(*(module for _ in range(4) for module in (nn.Linear(2, 2), nn.Tanh())))
"""Its layers are called 0, 2, 4 and 6."""


@pytest.mark.parametrize(
    ("which", "name"),
    [("6", "6"), ("0", "0"), ("1", "0"), ("3", "4"), ("number:2", "2"), ("name:2", "2"), ("number:4", "6")],
)
def test_a_name_comes_before_a_number(which: str, name: str) -> None:
    (layer,) = choose_layers(MODEL, which).values()
    assert layer.name == name


def test_a_number_that_names_one_layer_and_counts_another_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"^layer=2 is the name of one .* another, 'a': say name:2 or number:2$"):
        choose_layers(nn.ModuleDict({"2": nn.Linear(2, 2), "a": nn.Linear(2, 2)}), "2")
    assert [layer.name for layer in choose_layers(MODEL, "name:4").values()] == ["4"]
    with pytest.raises(ParameterError, match="'6'"):
        choose_layers(MODEL, "4")


def test_a_module_that_is_a_layer_itself_has_an_empty_name_and_one_called_all_takes_the_word() -> None:
    assert list(choose_layers(alone := nn.Linear(2, 2), "name:")) == [alone]
    both = nn.ModuleDict({"all": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    assert list(choose_layers(both, "name:all")) == [both["all"]]
    assert list(choose_layers(both, "all")) == [both["all"], both["b"]]


@pytest.mark.parametrize("which", ["9", "number:0", "number:9", "number:x", "number:٣"])
def test_there_are_not_so_many(which: str) -> None:
    with pytest.raises(ParameterError, match="must be between 1 and 4, a name or 'all'"):
        choose_layers(MODEL, which)


@pytest.mark.parametrize("which", ["name:1", "encoder", "nmae:2", "٣"])
def test_there_is_no_such_name(which: str) -> None:
    with pytest.raises(UnknownNameError, match="known: 0, 2, 4, 6"):
        choose_layers(MODEL, which)
