"""Imputation of series: answers for cells of overlapping windows as answers for points."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.series import cut
from lowerbound.data.sequences.windows import Windows
from lowerbound.data.tables.completion import IncompleteColumns, hidden_cells


class Series:
    """A series that was cut into windows; each window is a row of a table.

    Args:
        schema: of the windows.
        windows: how the series was cut.
        points: its length.
    """

    def __init__(self, schema: Schema, windows: Windows, points: int) -> None:
        self.windows, self.points = windows, points
        place = {column.name: i for i, column in enumerate(schema.columns)}
        names = windows.names(place)
        cells = {name: [place.get(at, -1) for at in windows.columns(name)] for name in names}
        # a column that was left out at some of its times stays unchanged
        self.cells = {name: found for name, found in cells.items() if -1 not in found}
        self.times = [[schema.columns[i] for i in found] for found in self.cells.values()]
        own = (_joined(name, times) for name, times in zip(self.cells, self.times, strict=True))
        self.schema = replace(schema, columns=tuple(own), windows=None)

    def hidden(self, cells: Array) -> Array:
        """The points that no window observes, (points, columns), from the hidden cells."""
        seen = [self.windows.averaged(~cells[:, i], self.points) for i in self.cells.values()]
        unseen: Array = np.stack(seen, 1) == 0
        return unseen

    def answers(self, cells: Array, exact: bool) -> Array:
        """Convert answers of cells, (windows, cells), to answers of points, (points, columns).

        Columns with levels have codes. Ordered values are averaged over all windows that contain
        the point. If ``exact``, or if the values have no order, the answer is that of the window
        whose middle is nearest to the point, because it has the most context on both sides.
        """
        found = []
        for own, times, places in zip(
            self.schema.columns, self.times, self.cells.values(), strict=True
        ):
            averages = own.rules.ordered and not exact
            pool = self.windows.averaged if averages else self.windows.central
            found.append(pool(_in_codes_of(own, times, cells[:, places]), self.points))
        return np.stack(found, 1)


@dataclass(frozen=True, eq=False)
class IncompleteSeries(IncompleteColumns):
    """A frame of points in time, whose windows are the rows of the data set."""

    @cached_property
    def series(self) -> Series:
        """The points of the windows."""
        schema = self.dataset.schema
        assert schema.windows is not None
        return Series(schema, schema.windows, len(self.given))

    @property
    def schema(self) -> Schema:
        """The schema of the points."""
        return self.series.schema

    @cached_property
    def hidden(self) -> Array:
        """Mask of the missing cells, (points, columns)."""
        windows = cut(self.given, self.series.windows)
        return self.series.hidden(hidden_cells(windows, self.dataset))

    def filled(self, answers: Array, exact: bool) -> Any:
        """The given points, hidden cells filled from the ``answers`` of the windows."""
        return super().filled(self.series.answers(answers, exact), exact)

    def widths(self, low: Array, high: Array) -> dict[str, float]:
        """Mean interval width over the missing points, by column, from the windows' cells."""
        return super().widths(*(self.series.answers(end, exact=False) for end in (low, high)))


def _joined(name: str, times: list[Column]) -> Column:
    """Merge the columns of all times into one, with the union of their levels."""
    levels = dict.fromkeys(level for column in times for level in column.levels)
    return replace(times[0], name=name, levels=tuple(levels))


def _in_codes_of(own: Column, times: list[Column], answers: Array) -> Array:
    """Convert the codes of each time, (windows, length), to codes in the levels of ``own``."""
    if all(column.levels == own.levels for column in times):
        return answers
    codes = [np.array([own.levels.index(level) for level in column.levels]) for column in times]
    each = [c[np.rint(a).astype(np.int64)] for c, a in zip(codes, answers.T, strict=True)]
    return np.stack(each, 1).astype(answers.dtype)
