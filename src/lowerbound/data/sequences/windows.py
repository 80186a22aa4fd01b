r"""Overlapping windows of a series, and conversion of window scores to point scores.

::

    series (time, columns)   x_0 x_1 x_2 x_3 x_4 ...
    windows                  [x_0 x_1 x_2]            row 0
                                 [x_1 x_2 x_3]        row 1
                                     [x_2 x_3 x_4]    row 2

A window is one row of a table with columns ``column@0, column@1, ...``, one for each time inside
it. Therefore every model of tables is also a model of series.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lowerbound import untrusted
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError, OptionError

Reduction = Literal["max", "mean"]

GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it, without their whole part, spread evenly


@dataclass(frozen=True)
class Windows:
    r"""Length and stride of the windows of a series.

    .. math::
        b_i = i \cdot \text{stride} + \lfloor r (i g \bmod 1) \rfloor, \qquad
        r = \min(\text{stride}, \text{length} - \text{stride} + 1)

    is the start of window i if starts vary, with g the golden ratio. In a series with a period,
    windows that start every stride points may all start at a few places of the period, and windows
    that start elsewhere would be new to a model of them. The shift is less than r, so that every
    point stays covered.

    Attributes:
        length: points in a window.
        stride: points between the starts of two windows; the last window ends with the series, so
            that every point is covered.
        varied: whether starts vary.

    Raises:
        OptionError: a number is not positive, or the stride is longer than a window.
    """

    length: int
    stride: int = 1
    varied: bool = False

    def __post_init__(self) -> None:
        if self.length < 1 or not 1 <= self.stride <= self.length:
            raise OptionError(
                f"a window needs at least 1 point and a stride from 1 to its length, not "
                f"{self.length} and {self.stride}"
            )

    def starts(self, points: int) -> Array:
        """The first point of each window, (windows,).

        Raises:
            DataError: the series is shorter than a window.
        """
        if points < self.length:
            raise DataError(
                f"a series of {points:,} points has no window of {self.length}: give a longer "
                "series, or take shorter windows"
            )
        last = points - self.length
        starts = self._begins(last // self.stride + 1)
        starts = starts[starts <= last]
        return starts if starts[-1] == last else np.append(starts, last)

    def cells(self, points: int) -> int:
        """An upper limit of the number of points in all windows of a series."""
        return max(0, (points - self.length) // self.stride + 2) * self.length

    def spans(self, windows: int) -> tuple[str, ...]:
        """The first and last point of each window in words, such as "12-35".

        If windows start every few points, the series need not end with the last regular one, so
        the last span is "the last points".
        """
        begins = self._begins(windows).tolist()
        found = [f"{begin}-{begin + self.length - 1}" for begin in begins]
        return (*found[:-1], found[-1] if self.stride == 1 else "the last points")

    def covered(self, windows: int) -> int:
        """The least number of points of a series that has so many windows or more."""
        return int(self._begins(windows)[-1]) + self.length

    @property
    def anywhere(self) -> bool:
        """Whether windows start at every remainder of the stride."""
        return self.stride == 1 or (self.varied and self._reach == self.stride)

    @property
    def _reach(self) -> int:
        """The number of places at which a window may start."""
        return min(self.stride, self.length - self.stride + 1)

    def _begins(self, windows: int) -> Array:
        """The first points of the first windows of a long series."""
        number = np.arange(windows)
        begins = number * self.stride
        if self.varied:
            begins = begins + np.floor(self._reach * (number * GOLDEN % 1)).astype(np.int64)
        return begins

    def cut(self, series: Array) -> Array:
        """Cut a series (time, columns) or (time,) into windows, (windows, length, columns)."""
        values = series if series.ndim > 1 else series[:, None]
        needed = float(values[:1].nbytes) * self.cells(len(values))
        untrusted.check_memory(needed, "windows of the series", DataError)
        return np.asarray(values[self.places(len(values))])

    def places(self, points: int) -> Array:
        """The index of the point in each cell of each window, (windows, length).

        Raises:
            DataError: the series is shorter than a window, or the indices need more memory than
                the limit.
        """
        untrusted.check_memory(8.0 * self.cells(points), "places of windows", DataError)
        return np.asarray(self.starts(points)[:, None] + np.arange(self.length))

    def columns(self, name: str) -> tuple[str, ...]:
        """The names of a series' column in a table of windows, by time."""
        return tuple(f"{name}@{offset}" for offset in range(self.length))

    @staticmethod
    def names(columns: Iterable[str]) -> list[str]:
        """The series' columns of the columns of a table of windows; the inverse of ``columns``."""
        first = "@0"
        return [name.removesuffix(first) for name in columns if name.endswith(first)]

    def frame(self, frame: Any) -> Any:
        """Cut a pandas frame of rows in time order into windows, one per row."""
        import pandas as pd

        needed = 8.0 * self.cells(len(frame)) * len(frame.columns)
        untrusted.check_memory(needed, "windows of the series", DataError)
        starts = self.starts(len(frame))
        columns = {
            column: frame[name].to_numpy()[starts + offset]
            for name in frame.columns
            for offset, column in enumerate(self.columns(str(name)))
        }
        return pd.DataFrame(columns)

    def before(self, window: int) -> int:
        """The number of windows that end before window ``window`` begins."""
        if window < 1:
            return 0
        begins = self._begins(window)
        # the last window may begin early, to end with the series
        earliest = int(begins[-1]) + 1
        return int(np.searchsorted(begins, earliest - self.length, side="right"))

    def points(self, scores: Array, points: int, reduction: Reduction = "mean") -> Array:
        """Convert scores of windows, (windows,), to scores of the points that they cover.

        Args:
            scores: one per window, in the order of ``cut``; fewer are those of the last windows.
            points: length of the series.
            reduction: "max" or "mean" over the windows that cover a point; the mean is highest in
                the middle of an anomaly.
        """
        places = self.places(points)[-len(scores) :]
        places, points = places - places[0, 0], points - int(places[0, 0])
        if reduction == "mean":
            return _averaged(np.broadcast_to(scores[:, None], places.shape), places, points)
        highest = np.full(points, -np.inf)
        for place in places.T:
            highest[place] = np.maximum(highest[place], scores)
        return highest

    def averaged(self, values: Array, points: int) -> Array:
        """The mean of each point, (points,), over the windows' cells, (windows, length)."""
        return _averaged(values, self.places(points), points)

    def central(self, values: Array, points: int) -> Array:
        """The value of each point, (points,), in the window whose middle is nearest to it, from
        the windows' cells, (windows, length)."""
        off_center = np.abs(np.arange(self.length) - (self.length - 1) / 2)
        chosen = np.empty(points, dtype=values.dtype)
        for offset in np.argsort(-off_center, kind="stable"):  # nearer windows overwrite others
            chosen[self.starts(points) + offset] = values[:, offset]
        return chosen


def _averaged(values: Array, places: Array, points: int) -> Array:
    """The mean of each point, (points,), over cells at these ``places``, (windows, length)."""
    total, covered = np.zeros(points), np.zeros(points)
    for cells, place in zip(values.T, places.T, strict=True):
        total[place] += cells
        covered[place] += 1
    return np.asarray(total / covered)
