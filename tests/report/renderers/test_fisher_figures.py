from __future__ import annotations

import pytest

from ngbench.errors import OutputError
from ngbench.records.record import FisherErrorRecord
from ngbench.report.blocks import Chart
from ngbench.report.renderers.figures import draw, figure_of_chart
from ngbench.report.views.fisher_error import layer_blocks


def chart(error):
    blocks = layer_blocks([FisherErrorRecord.model_validate(error)], "layer 5", "error", about=["layer 5"])
    return next(block for block in blocks if isinstance(block, Chart))


@pytest.fixture
def drawn():
    """The figure of a Fisher error."""
    return lambda error: figure_of_chart(chart(error), "step")


def test_both_errors_are_drawn_by_update_on_a_logarithmic_scale(drawn, fisher_error):
    figure = drawn(fisher_error())
    first, second = figure.axes
    assert [axes.get_yscale() for axes in (first, second)] == ["log", "log"]
    assert [list(line.get_xdata()) for line in first.lines] == [[0, 10, 20]] * 2
    assert list(second.lines[1].get_ydata()) == [0.2, 0.15, 0.1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["kfac", "deflation"]
    assert "0.2" in [text.get_text() for text in first.get_yticklabels()]


def test_errors_of_zero_stay_linear(drawn, fisher_error):
    error = fisher_error()
    for curve in error["approximations"].values():
        curve.update(error_1=[0.0, 0.0, 0.0])
    assert [axes.get_yscale() for axes in drawn(error).axes] == ["linear", "log"]


def test_a_file_that_cannot_be_written_is_one_sentence(fisher_error, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot make the directory"):
        draw([chart(fisher_error())], tmp_path / "file")
