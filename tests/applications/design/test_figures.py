"""The figure of a search: its legend covers no curve, and names only curves that are drawn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lowerbound.applications.design.figures import _best_so_far
from lowerbound.evaluation.report.figure_style import new_figure, style


@pytest.mark.parametrize("calls", [9, 40])
def test_the_legend_is_outside_and_names_drawn_curves(calls: int) -> None:
    result: Any = SimpleNamespace(called_scores=list(np.arange(float(calls))), best_known=3.0)
    drawing = new_figure(9.5, 4.2)
    axes = style(drawing.subplots(1, 2)[1], "Best so far", "calls", "score", True)
    _best_so_far(axes, result)
    drawing.draw_without_rendering()
    shown = axes.get_legend()
    assert shown is not None
    names = [text.get_text() for text in shown.get_texts()]
    mean = ["mean of the best 10"] if calls >= 10 else []
    assert names == ["best", *mean, "best in DATA"]
    label = axes.xaxis.label.get_window_extent()
    assert shown.get_window_extent().y1 <= label.y0 + 1  # below the label, and so the curves
    assert shown.get_window_extent().y0 >= 0  # inside the figure
