"""What an optimizer tells, and that what it does not tell is absent."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ngbench.errors import PluginError
from ngbench.measurement.phases import no_phase
from ngbench.plugins.protocol import measured
from ngbench.records.record import LayerRecord

SHAPE = {"name": "0", "d_in": 3, "d_out": 2, "positions": 16}


def _optimizer(**told: Any) -> Any:
    """A plain optimizer to which these attributes are added."""
    optimizer: Any = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    for name, value in told.items():
        setattr(optimizer, name, value)
    return optimizer


def test_a_plain_optimizer_tells_nothing_and_is_told_nothing() -> None:
    optimizer = _optimizer()
    before = set(vars(optimizer))
    told = measured(optimizer)
    told.report_to(no_phase)
    told.leave_gradients_unread()
    told.diagnose()
    assert (told.names_phases, told.parts) == (False, ())
    assert (told.refreshed, told.diagnostics(), told.layers()) == (False, {}, [])
    assert set(vars(optimizer)) == before


def test_what_it_has_is_set_and_read() -> None:
    optimizer = _optimizer(
        phase=None,
        refreshed=True,
        can_defer=True,
        defer_gradients=False,
        diagnose=False,
        diagnostics=lambda: {"gap": torch.tensor(0.5), "none": None, "far": float("inf")},
        layers=lambda: [SHAPE],
    )
    told = measured(optimizer)
    told.report_to(no_phase)
    told.leave_gradients_unread()
    told.diagnose()
    assert optimizer.phase is no_phase
    assert optimizer.defer_gradients is True
    assert optimizer.diagnose is True
    assert told.parts == ("refreshed", "diagnostics", "layers")
    assert told.refreshed is True
    assert told.diagnostics("critic/") == {"critic/gap": 0.5, "critic/none": None, "critic/far": None}
    assert told.layers() == [LayerRecord(name="0", d_in=3, d_out=2, positions=16)]


def test_an_optimizer_that_cannot_defer_is_not_told_to() -> None:
    optimizer = _optimizer(can_defer=False, defer_gradients=False)
    measured(optimizer).leave_gradients_unread()
    assert optimizer.defer_gradients is False


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"name": "0", "d_in": 3, "d_out": 2}, r"must be a mapping with the keys d_in, d_out, name, positions"),
        ({**SHAPE, "more": 1}, r"must be a mapping with the keys"),
        (("0", 3, 2, 16), r"must be a mapping with the keys"),
        ({**SHAPE, "positions": -1}, r"layers\(\) gives positions=-1: "),
        ({**SHAPE, "d_in": "three"}, r"layers\(\) gives d_in='three': "),
    ],
)
def test_layers_that_no_record_can_hold_are_named(shape: Any, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        measured(_optimizer(layers=lambda: [shape])).layers()


def test_refreshed_is_true_or_false() -> None:
    with pytest.raises(PluginError, match=r"refreshed is 'no', it must be True or False"):
        _ = measured(_optimizer(refreshed="no")).refreshed
