"""Axes of columns with levels and of dates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lowerbound.evaluation.report.figures.axis_values import UPRIGHT_NAMES, write_dates
from lowerbound.evaluation.report.figures.tables import marginals


@pytest.mark.parametrize("count", [2, 6, UPRIGHT_NAMES, UPRIGHT_NAMES + 1])
def test_levels_have_their_names_or_their_number(count: int) -> None:
    codes = np.arange(60.0)[:, None] % count
    names = tuple(f"city {k}" for k in range(count))
    figure = marginals(codes, {"model": codes}, ["city"], {"city": names})
    (axes,) = [each for each in figure.axes if each.axison]
    shown = [each.get_text() for each in axes.get_xticklabels()]
    if count <= UPRIGHT_NAMES:
        assert shown == list(names)
    else:
        assert (shown, axes.get_xlabel()) == ([], f"city 0 to city 12, {count} levels")


@pytest.mark.parametrize(
    ("start", "end", "format"),
    [
        ("1999-01-01", "2026-01-01", "%Y"),
        ("2024-01-15", "2024-12-20", "%Y-%m"),
        ("2024-03-01", "2024-03-20", "%Y-%m-%d"),
        ("2024-03-01 08:00", "2024-03-01 20:00", "%Y-%m-%d %H:%M"),
    ],
)
def test_seconds_are_written_as_dates(start: str, end: str, format: str) -> None:
    ends = [pd.Timestamp(each).timestamp() for each in (start, end)]
    axes = Figure().subplots()
    axes.plot(ends, [0, 1])
    write_dates(axes.xaxis)
    ticks = axes.get_xticks()
    write = axes.xaxis.get_major_formatter()
    assert len(ticks) <= 5
    assert [write(tick) for tick in ticks] == [
        pd.Timestamp(round(tick), unit="s").strftime(format) for tick in ticks
    ]
