"""Axes of columns with levels and of dates."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from lowerbound.evaluation.report.figure_style import distinct
from lowerbound.evaluation.report.figures import (
    correlations,
    decoded_features,
    reading_curves,
    scatter_reconstructions,
)
from lowerbound.evaluation.report.row_figures import (
    MOST_LEVELS,
    UPRIGHT_NAMES,
    frequent_levels,
    write_dates,
    write_numbers,
)
from lowerbound.evaluation.report.training_figures import marginals


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


def test_levels_that_begin_and_end_alike_keep_different_names() -> None:
    codes = np.arange(60.0)[:, None] % 7
    names = tuple(f"Landstraße {k} mit sehr langem Namen" for k in range(7))
    figure = marginals(codes, {"model": codes}, ["street"], {"street": names})
    (axes,) = [each for each in figure.axes if each.axison]
    shown = [each.get_text() for each in axes.get_xticklabels()]
    assert shown == [f"Land…{k} mit s" for k in range(7)]


@pytest.mark.parametrize("unit", [1e5, 123456.0, 25.0, 2.5e-4, 1e9])
def test_numbers_below_a_panel_do_not_overlap(unit: float) -> None:
    values = np.linspace(0.5, 5.0, 50)[:, None] * unit
    columns = np.repeat(values, 4, 1)
    figure = scatter_reconstructions(columns, columns, list("abcd"))
    figure.draw_without_rendering()
    labels = [each for each in figure.axes[0].get_xticklabels() if each.get_text()]
    boxes = [each.get_window_extent() for each in labels]
    view = figure.axes[0].get_window_extent()
    seen = sorted((b.x0, b.x1) for b in boxes if view.x0 <= (b.x0 + b.x1) / 2 <= view.x1)
    assert len(seen) >= 2
    assert all(left[1] < right[0] for left, right in itertools.pairwise(seen))


def test_dates_far_from_zero_are_not_rounded_to_equal_numbers() -> None:
    axes = Figure().subplots()
    axes.plot([1e9, 1e9 + 2e4], [0, 1])
    write_numbers(axes.xaxis)
    assert not isinstance(axes.xaxis.get_major_formatter(), EngFormatter)


@pytest.mark.parametrize(
    "names", [["abcdefgh 1", "abcdefgh 2", "abcdefgh 22"], ["abcdefg", "abcdefgh", "abcdefgi"]]
)
def test_shortened_names_differ(names: list[str]) -> None:
    shown = distinct(names, 6)
    assert len(set(shown)) == len(names)
    assert max(map(len, shown)) <= 6


@pytest.mark.parametrize("count", [3, UPRIGHT_NAMES, UPRIGHT_NAMES + 1])
def test_the_manifold_of_a_column_of_levels_has_their_names(count: int) -> None:
    names = tuple(f"city {k}" for k in range(count))
    ticks = np.stack([np.arange(5.0), np.arange(5.0)])
    values = np.arange(25.0).reshape(5, 5, 1) % count
    figure = decoded_features(values, ticks, ("z1", "z2"), ["city"], {"city": names})
    figure.draw_without_rendering()
    shown = [each.get_text() for each in figure.axes[1].get_yticklabels()]
    assert shown == list(names if count <= UPRIGHT_NAMES else (names[0], names[-1]))


def test_the_names_below_correlations_are_not_cut() -> None:
    values = np.random.default_rng(0).normal(size=(50, 11))
    names = [f"{k} housing median" for k in range(11)]
    figure = correlations(values, {"VAE": values, "PCA": values}, names)
    figure.draw_without_rendering()
    labels = [each for axes in figure.axes for each in axes.get_xticklabels() if each.get_text()]
    assert min(each.get_window_extent().y0 for each in labels) >= 0


def test_a_count_has_whole_numbers_on_its_axis() -> None:
    figure = reading_curves("Information", np.arange(5.0), {"active units": np.full(5, 6.0)})
    ticks = figure.axes[0].get_yticks()
    assert np.array_equal(ticks, np.round(ticks))


@pytest.mark.parametrize("count", [MOST_LEVELS + 1, MOST_LEVELS + 2, 300])
def test_levels_beyond_the_most_frequent_are_one(count: int) -> None:
    """Level k is there k + 1 times, so the last are the most frequent."""
    codes = np.repeat(np.arange(count), np.arange(count) + 1).astype(float)
    names = [f"city {k}" for k in range(count)]
    shown, (found, other) = frequent_levels(names, codes, np.array([0.0, count - 1.0]))
    if count == MOST_LEVELS + 1:
        assert (list(shown), found.tolist()) == (names, codes.tolist())
        return
    assert shown == [*names[-MOST_LEVELS:], f"{count - MOST_LEVELS} others"]
    kept = np.bincount(found.astype(int))
    assert kept[:-1].tolist() == list(range(count - MOST_LEVELS + 1, count + 1))
    assert kept.sum() == len(codes)
    assert other.tolist() == [MOST_LEVELS, MOST_LEVELS - 1]
    figure = marginals(codes[:, None], {"model": codes[:, None]}, ["city"], {"city": names})
    (axes,) = [each for each in figure.axes if each.axison]
    assert axes.get_xlabel() == f"the 20 most frequent levels, and {count - MOST_LEVELS} others"
    ticks = np.stack([np.arange(20.0), np.arange(20.0)])
    values = np.arange(400.0).reshape(20, 20, 1) % count
    drawn = decoded_features(values, ticks, ("z1", "z2"), ["city"], {"city": names})
    drawn.draw_without_rendering()
