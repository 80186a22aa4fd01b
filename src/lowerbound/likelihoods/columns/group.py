"""The base classes of groups of columns of one family, with a common likelihood.

Columns may be drawn one after another, with values that somebody else chooses. Values in units of
the table bound the parts of a column's cells that lie between two.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice
from lowerbound.errors import DataError
from lowerbound.likelihoods.base import Likelihood
from lowerbound.registry import Registry
from lowerbound.trace import Emission

ROUNDED = 1e-6  # relative error of values in units of the table that were float32
Averages = Callable[[Emission], Tensor]
"""Maps a group's emission to numbers that can be averaged over draws of z, as many per column as
its ``width``: (samples, batch, numbers), float64."""


@dataclass(frozen=True)
class RelatedValues:
    """Values that follow from other columns.

    Attributes:
        shares: probability that the value, if it is not missing, is by each residual, (rows,
            residuals).
        draw: maps rows in units of the table, (rows, columns), to a value by each residual, (rows,
            residuals); NaN where there is none.
    """

    shares: Tensor
    draw: Callable[[Array], Array]


class ChoosesValues(Protocol):
    """Draws the values of a column from the probabilities of its cells, under restrictions."""

    def choose(
        self,
        place: int,
        rows: Tensor,
        shares: Tensor,
        cells: Tensor,
        related: RelatedValues | None = None,
    ) -> Tensor:
        """A value for each row, (rows,), model units; NaN is a missing cell.

        Args:
            place: of the column.
            rows: numbers of the rows, (rows,).
            shares: probability of each cell of a value that is not missing, (rows, cells), and
                last that the value is missing, if it may be.
            cells: smallest and largest value of each cell, (2, cells), model units.
            related: values by other columns that it may have; None: there are none.
        """


def in_units(columns: Sequence[Column], places: Sequence[int], x: Tensor) -> Array:
    """The values of some columns in units of the table, (rows, columns); NaN: missing, or another
    column.

    Args:
        columns: of the table.
        places: of the columns that are needed.
        x: (rows, columns), model units.
    """
    units = x.detach().double().cpu().numpy()
    found = np.full(units.shape, np.nan)
    for place in places:
        there = ~np.isnan(units[:, place])
        found[there, place] = columns[place].decode(units[there, place])
    return found


def cells_inside(
    column: Column, lattice: Lattice, ends: Array, low: Array, high: Array
) -> tuple[Array, Array, Array]:
    """(share of each cell that lies in each row's window, its first and its last value), model
    units, (rows, cells) each.

    Args:
        column: of numbers.
        lattice: its resolution; a value of it stands for those that are rounded to it.
        ends: smallest and largest value of each cell, (2, cells), model units; equal for a cell of
            one value.
        low, high: of the window, (rows,), units of the table; infinite: no limit.
    """
    single = ends[1] <= ends[0]
    margin = lattice.step / 2
    below, above = (
        np.asarray(column.encode(np.where(np.isfinite(end), end, 0.0)), dtype=np.float64)
        for end in (low - margin, high + margin)
    )
    below = np.where(np.isfinite(low), below, -np.inf)[:, None]
    above = np.where(np.isfinite(high), above, np.inf)[:, None]
    first, last = np.maximum(ends[0], below), np.minimum(ends[1], above)
    width = np.where(single, 1.0, ends[1] - ends[0])
    share = np.clip((last - first) / width, 0.0, 1.0)
    values = np.asarray(column.decode(ends[0].copy()), dtype=np.float64)
    values = lattice.nearest(values)
    slack = ROUNDED * np.abs(values)  # an end that was float32 is not below itself
    if lattice.step:
        slack = np.minimum(slack, margin)  # nor is one of large numbers at its neighbor
    within = (values >= low[:, None] - slack) & (values <= high[:, None] + slack)
    first, last = np.where(single, ends[0], first), np.where(single, ends[0], last)
    return np.where(single, within, share), first, last


class ColumnGroup(Likelihood):
    """The likelihood of columns of one family, (rows, columns).

    The decoder returns ``numbers`` parameters per column, column by column.

    Attributes:
        support: description of the values of such a column.
        may_explain_missing: whether cells may be missing because of their value.

    Args:
        columns: of the group; messages contain their names.
    """

    support: str
    may_explain_missing = False

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__((len(columns),))
        self.names = tuple(column.name for column in columns)
        self.kinds = tuple(column.kind for column in columns)

    @classmethod
    def of(cls, columns: Sequence[Column], floor: float, embedding: int) -> ColumnGroup:
        """Build the group of columns with one key.

        Args:
            columns: of the family.
            floor: the smallest sigma of a continuous column, model units.
            embedding: the largest number of levels of a column with one logit each.

        Raises:
            DataError: a column has no levels, and the family needs them.
        """
        return cls(columns)

    @classmethod
    def key(cls, column: Column, place: int, embedding: int) -> Hashable:
        """The key of a column's group; columns with the same key are computed together.

        Args:
            column: of the family.
            place: its index in the table.
            embedding: as in ``of``.
        """
        return None

    @classmethod
    def averages(cls, columns: Sequence[Column], emission: Emission) -> Averages:
        """The function whose averages define an expectation of the columns; by default the mean.

        Args:
            columns: of a group.
            emission: one of the group's emissions.
        """
        return lambda emission: emission.mean.double()

    def set_noise(self, sigma: Tensor) -> None:
        """Set the initial ``sigma``, (columns,), if the columns have one."""

    @abstractmethod
    def inside(self, x: Tensor) -> Tensor:
        """Whether each value lies in the support, (rows, columns)."""

    @abstractmethod
    def initial_bias(self, x: Tensor) -> Tensor:
        """The bias, (columns * numbers,), with which every column starts at its marginal."""

    def check(self, x: Tensor) -> None:
        """Raise DataError if a value lies outside the support; the message names its column."""
        outside = ~self.inside(x)
        if not bool(outside.any()):
            return
        row, column = (int(index) for index in outside.nonzero()[0])
        name, kind, value = self.names[column], self.kinds[column], x[row, column].item()
        raise DataError(
            f"column {name!r} of the kind {kind!r} accepts {self.support}, but row {row} holds "
            f"{value:g}; correct the values or give the column another kind"
        )

    def by_column(self, parameters: Tensor) -> Tensor:
        """The parameters as (samples, batch, columns, numbers)."""
        by_column: Tensor = parameters.unflatten(2, (-1, self.numbers))
        return by_column


class ColumnsOfCodes(ColumnGroup):
    """Columns whose values have codes, so that a network can look up a vector for each.

    Attributes:
        code_counts: number of codes of each column.
    """

    code_counts: tuple[int, ...]

    @abstractmethod
    def codes(self, x: Tensor) -> Tensor:
        """The code of each value, long, like x."""

    def numbers_of(self, x: Tensor) -> Tensor:
        """A number for each value, for a network, like x; zero if only the code is meaningful."""
        return torch.zeros_like(x)

    def ends(self) -> Tensor:
        """The smallest and the largest value of each code of a single column, (2, codes), model
        units, float64; equal for codes of one value."""
        codes = torch.arange(self.code_counts[0], dtype=torch.float64)
        return torch.stack([codes, codes])


COLUMN_FAMILIES: Registry[type[ColumnGroup]] = Registry(
    "family of columns",
    "lowerbound.likelihoods.columns",
    {
        "continuous": "continuous",
        "mixed": "continuous",
        "binary": "levels",
        "categorical": "levels",
        "count": "count",
        "histogram": "histogram",
        "ordinal": "levels",
    },
)


def group_columns(
    columns: Sequence[Column], floor: float, embedding: int
) -> list[tuple[list[int], ColumnGroup]]:
    """The groups in the order of their first column, each with the indices of its columns.

    Args:
        columns: the modeled columns.
        floor: the smallest sigma of a continuous column, model units.
        embedding: the largest number of levels of a categorical column with one logit each; with
            more levels, the column has an embedding of this width.

    Raises:
        DataError: a column is not modeled, or has no levels although its kind needs them.
    """
    members: dict[tuple[str, Hashable], list[int]] = {}
    for index, column in enumerate(columns):
        if not column.modeled:
            raise DataError(
                f"column {column.name!r} is of the kind {column.kind!r}, which is not modeled"
            )
        name = column.rules.family
        key = name, COLUMN_FAMILIES[name].key(column, index, embedding)
        members.setdefault(key, []).append(index)
    return [
        (indices, COLUMN_FAMILIES[name].of([columns[i] for i in indices], floor, embedding))
        for (name, _), indices in members.items()
    ]


class DiscreteEmission(Emission, abstract=True):
    """Columns whose values, or some of them, have probability mass."""

    @abstractmethod
    def probabilities(self, column: int) -> Tensor:
        """Probability of each level of one column of the group, (samples, batch, levels)."""

    def drawn(self, column: int) -> Tensor:
        """The same in draws, which need not sum to one: levels without draws have none."""
        return self.probabilities(column)


class LeveledColumns(ColumnsOfCodes):
    """Columns of levels with a probability each.

    Raises:
        DataError: a column has no levels.
    """

    mass = True

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__(columns)
        for column in columns:
            if not column.levels:
                raise DataError(
                    f"column {column.name!r} is {column.kind} and has no levels; name them"
                )
        self.code_counts = tuple(len(column.levels) for column in columns)

    def codes(self, x: Tensor) -> Tensor:
        return x.long()

    @classmethod
    def averages(cls, columns: Sequence[Column], emission: Emission) -> Averages:
        def given(emission: Emission) -> Tensor:
            assert isinstance(emission, DiscreteEmission)
            each = [emission.probabilities(column) for column in range(len(columns))]
            return torch.cat(each, -1).double()

        return given


def whole_numbers(x: Tensor, most: float | Tensor) -> Tensor:
    """Whether each value is an integer from 0 to ``most``; False for NaN."""
    inside: Tensor = (x == torch.round(x)) & (x >= 0) & (x <= most)
    return inside


def level_counts(x: Tensor, levels: int) -> Tensor:
    """Counts of each code 0 .. levels - 1 in each column, (columns, levels), float64."""
    columns = x.shape[1]
    first = levels * torch.arange(columns, device=x.device)
    counts = torch.bincount((x.long() + first).flatten(), minlength=columns * levels)
    return counts.reshape(columns, levels).double()
