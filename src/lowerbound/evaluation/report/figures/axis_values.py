"""Axes of columns: the names of levels, dates instead of seconds, and large numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.report.figures.style import distinct

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

MOST_LEVELS = 20  # that a figure shows; the others are one
LEVEL_NAMES, UPRIGHT_NAMES = 5, 12  # levels that are named across, or else upright
ACROSS, UPRIGHT = 8, 12  # characters of a name
DATES, NUMBERS = 3, 4  # steps between ticks
LARGE = 10_000.0  # span of an axis whose numbers are written with k, M, G
DAY = 86_400.0  # seconds
PARTS = ((3 * 365 * DAY, "Y"), (90 * DAY, "M"), (3 * DAY, "D"), (0.0, "m"))
"""Span of an axis in seconds, and the smallest part of a date that its ticks have."""


def frequent_levels(
    levels: Sequence[str], codes: Array, *others: Array
) -> tuple[Sequence[str], list[Array]]:
    """The levels that a figure shows, and the codes of them: of many levels the most frequent ones
    in their order, and all others as one.

    Args:
        levels: names by code.
        codes: by which levels are frequent, without NaN.
        others: further ones, as the figure shows.
    """
    if len(levels) <= MOST_LEVELS + 1:
        return levels, [codes, *others]
    whole = [np.rint(each).astype(np.int64).clip(0, len(levels) - 1) for each in (codes, *others)]
    counts = np.bincount(whole[0].ravel(), minlength=len(levels))
    kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_LEVELS])
    place = np.full(len(levels), MOST_LEVELS)
    place[kept] = np.arange(MOST_LEVELS)
    names = [*(levels[code] for code in kept), f"{len(levels) - MOST_LEVELS} others"]
    return names, [place[each].astype(np.float64) for each in whole]


def name_levels(axes: Axes, levels: Sequence[str], total: int = 0) -> None:
    """Name each code on the x-axis; of many levels, the first and the last.

    Args:
        axes: of the levels.
        levels: their names; of ``frequent_levels``, the last is all others.
        total: number of all levels; 0: those.
    """
    axes.tick_params(axis="x", labelsize=6, length=0)
    if len(levels) <= UPRIGHT_NAMES:
        upright = len(levels) > LEVEL_NAMES
        shown = distinct(levels, UPRIGHT if upright else ACROSS)
        axes.set_xticks(range(len(levels)), shown, rotation=90 if upright else 0)
        return
    axes.set_xticks([])
    first, last = distinct([levels[0], levels[-1]])
    words = f"{first} to {last}, {len(levels)} levels"
    if total > len(levels):
        words = f"the {MOST_LEVELS} most frequent levels, and {levels[-1]}"
    axes.set_xlabel(words, fontsize=6)


def write_numbers(axis: Axis) -> None:
    """Few ticks; numbers over a span of ``LARGE`` or more are written as 100k, 2M."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(MaxNLocator(NUMBERS, steps=[1, 2, 2.5, 5, 10]))
    if high - low >= max(LARGE, 0.01 * max(abs(low), abs(high))):
        axis.set_major_formatter(EngFormatter(sep=""))


def write_dates(axis: Axis) -> None:
    """Write seconds since 1970 as dates."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    low, high = axis.get_view_interval()
    part = next(part for span, part in PARTS if high - low >= span)

    def written(value: float, _: object) -> str:
        date = np.datetime64(round(value), "s")
        text = np.datetime_as_string(date, unit=part)  # type: ignore[call-overload]
        return str(text).replace("T", " ")

    axis.set_major_locator(MaxNLocator(DATES))
    axis.set_major_formatter(FuncFormatter(written))
