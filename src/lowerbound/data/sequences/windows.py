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

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import DataError, OptionError

Reduction = Literal["max", "mean"]


@dataclass(frozen=True)
class Windows:
    """Length and stride of the windows of a series.

    Attributes:
        length: points in a window.
        stride: points between the starts of two windows; the last window ends with the series, so
            that every point is covered.

    Raises:
        OptionError: a number is not positive, or the stride is longer than a window.
    """

    length: int
    stride: int = 1

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
                f"a series of {points:,} points has no window of {self.length}; use a shorter one"
            )
        last = points - self.length
        starts = np.arange(0, last + 1, self.stride)
        return starts if starts[-1] == last else np.append(starts, last)

    def covered(self, windows: int) -> int:
        """The number of points of so many windows, each a stride after the one before."""
        return (windows - 1) * self.stride + self.length

    def cut(self, series: Array) -> Array:
        """Cut a series (time, columns) or (time,) into windows, (windows, length, columns)."""
        values = series if series.ndim > 1 else series[:, None]
        return np.asarray(values[self.places(len(values))])

    def places(self, points: int) -> Array:
        """The index of the point in each cell of each window, (windows, length)."""
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

        starts = self.starts(len(frame))
        columns = {
            column: frame[name].to_numpy()[starts + offset]
            for name in frame.columns
            for offset, column in enumerate(self.columns(str(name)))
        }
        return pd.DataFrame(columns)

    def before(self, window: int) -> int:
        """The number of windows that end before window ``window`` begins."""
        # the last window may begin up to a stride early, to end with the series
        begins = (window - 1) * self.stride + 1
        return max((begins - self.length) // self.stride + 1, 0)

    def points(self, scores: Array, points: int, reduction: Reduction = "mean") -> Array:
        """Convert scores of windows, (windows,), to scores of points, (points,).

        Args:
            scores: one per window, in the order of ``cut``.
            points: length of the series.
            reduction: "max" or "mean" over the windows that cover a point; the mean is highest in
                the middle of an anomaly.
        """
        places = self.places(points)
        if reduction == "mean":
            return self.averaged(np.broadcast_to(scores[:, None], places.shape), points)
        highest = np.full(points, -np.inf)
        for place in places.T:
            highest[place] = np.maximum(highest[place], scores)
        return highest

    def averaged(self, values: Array, points: int) -> Array:
        """The mean of each point, (points,), over the windows' cells, (windows, length)."""
        total, covered = np.zeros(points), np.zeros(points)
        for offset, place in enumerate(self.places(points).T):
            total[place] += values[:, offset]
            covered[place] += 1
        return np.asarray(total / covered)

    def central(self, values: Array, points: int) -> Array:
        """The value of each point, (points,), in the window whose middle is nearest to it, from
        the windows' cells, (windows, length)."""
        off_center = np.abs(np.arange(self.length) - (self.length - 1) / 2)
        chosen = np.empty(points, dtype=values.dtype)
        for offset in np.argsort(-off_center, kind="stable"):  # nearer windows overwrite others
            chosen[self.starts(points) + offset] = values[:, offset]
        return chosen
