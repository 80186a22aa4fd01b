r"""A series as overlapping windows, and scores of windows back as scores of points.

::

    series (time, columns)   x_0 x_1 x_2 x_3 x_4 ...
    windows                  [x_0 x_1 x_2]            row 0
                                 [x_1 x_2 x_3]        row 1
                                     [x_2 x_3 x_4]    row 2

A window is one row of a table, ``column@0, column@1, ...`` by time inside it, so every model of
tables is a model of series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import DataError, OptionError

Reduction = Literal["max", "mean"]


@dataclass(frozen=True)
class Windows:
    """How a series is cut.

    Attributes:
        length: points in a window.
        stride: points from the start of one window to that of the next; the last window ends with
            the series, so that every point is covered.

    Raises:
        OptionError: a number is not positive, or a stride leaves points between windows out.
    """

    length: int
    stride: int = 1

    def __post_init__(self) -> None:
        if self.length < 1 or not 1 <= self.stride <= self.length:
            raise OptionError(
                f"a window has at least 1 point and its stride is from 1 to its length, not "
                f"{self.length} and {self.stride}"
            )

    def starts(self, points: int) -> Array:
        """Where each window begins, (windows,).

        Raises:
            DataError: the series is shorter than a window.
        """
        if points < self.length:
            raise DataError(
                f"a series of {points:,} points has no window of {self.length}; take a shorter one"
            )
        last = points - self.length
        starts = np.arange(0, last + 1, self.stride)
        return starts if starts[-1] == last else np.append(starts, last)

    def cut(self, series: Array) -> Array:
        """The windows of a series (time, columns) or (time,), (windows, length, columns)."""
        values = series if series.ndim > 1 else series[:, None]
        return np.asarray(values[self.places(len(values))])

    def places(self, points: int) -> Array:
        """Which point of a series each cell of each window is, (windows, length)."""
        return np.asarray(self.starts(points)[:, None] + np.arange(self.length))

    def columns(self, name: str) -> tuple[str, ...]:
        """What a column of the series is called in a table of windows, by time."""
        return tuple(f"{name}@{offset}" for offset in range(self.length))

    def frame(self, frame: Any) -> Any:
        """The windows of a pandas frame of rows in time order, one window in each row."""
        import pandas as pd

        starts = self.starts(len(frame))
        columns = {
            column: frame[name].to_numpy()[starts + offset]
            for name in frame.columns
            for offset, column in enumerate(self.columns(str(name)))
        }
        return pd.DataFrame(columns)

    def before(self, window: int) -> int:
        """How many windows end before window number ``window`` begins."""
        # the last window may begin up to a stride early, to end with the series
        begins = (window - 1) * self.stride + 1
        return max((begins - self.length) // self.stride + 1, 0)

    def points(self, scores: Array, points: int, reduction: Reduction = "mean") -> Array:
        """Scores of windows, (windows,), as scores of the points that they cover, (points,).

        Args:
            scores: one per window, in the order of ``cut``.
            points: length of the series.
            reduction: "max" of the windows that cover a point, or their "mean", which points at
                the middle of what is odd.
        """
        places = self.places(points)
        if reduction == "mean":
            return self.averaged(np.broadcast_to(scores[:, None], places.shape), points)
        highest = np.full(points, -np.inf)
        for place in places.T:
            highest[place] = np.maximum(highest[place], scores)
        return highest

    def averaged(self, values: Array, points: int) -> Array:
        """Values of windows' cells, (windows, length), as the mean of each point, (points,)."""
        total, covered = np.zeros(points), np.zeros(points)
        for offset, place in enumerate(self.places(points).T):
            total[place] += values[:, offset]
            covered[place] += 1
        return np.asarray(total / covered)

    def central(self, values: Array, points: int) -> Array:
        """Values of windows' cells, (windows, length), of each point in the window that has it
        nearest to its middle, (points,)."""
        off_center = np.abs(np.arange(self.length) - (self.length - 1) / 2)
        chosen = np.empty(points, dtype=values.dtype)
        for offset in np.argsort(-off_center, kind="stable"):  # nearer ones overwrite
            chosen[self.starts(points) + offset] = values[:, offset]
        return chosen
