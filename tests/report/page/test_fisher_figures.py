from __future__ import annotations

import pytest

from ngbench.errors import OutputError
from ngbench.report.page import fisher_figures
from ngbench.report.page.extras import FisherError
from ngbench.report.page.fisher_figures import draw_fisher_error


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws a Fisher error and returns the figure that went into the file."""

    def drawn(error):
        figures = []
        new = fisher_figures.new_figure
        monkeypatch.setattr(fisher_figures, "new_figure", lambda *size: figures.append(new(*size)) or figures[0])
        path = draw_fisher_error(FisherError.model_validate(error), "layer 5", tmp_path / "new" / "error.png")
        assert path.read_bytes().startswith(b"\x89PNG")
        return figures[0]

    return drawn


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
        draw_fisher_error(FisherError.model_validate(fisher_error()), "", tmp_path / "file" / "error.png")
