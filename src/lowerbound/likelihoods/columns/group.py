"""What columns of one kind have in common: a likelihood of their own, and a check by name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.errors import DataError
from lowerbound.likelihoods.base import Likelihood
from lowerbound.trace import Emission


class ColumnGroup(Likelihood):
    """The likelihood of columns of one kind, (rows, columns).

    The decoder owes ``numbers`` per column, column by column.

    Attributes:
        support: the values that such a column takes, in words.

    Args:
        columns: what they are; their names appear in messages.
    """

    support: str

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__((len(columns),))
        self.names = tuple(column.name for column in columns)
        self.kinds = tuple(column.kind for column in columns)

    @abstractmethod
    def inside(self, x: Tensor) -> Tensor:
        """Whether each value lies in the support, (rows, columns)."""

    @abstractmethod
    def initial_bias(self, x: Tensor) -> Tensor:
        """Numbers, (columns * numbers,), with which every column starts at its marginal."""

    def check(self, x: Tensor) -> None:
        """Raise DataError where a value lies outside the support; the message names its column."""
        outside = ~self.inside(x)
        if not bool(outside.any()):
            return
        row, column = (int(index) for index in outside.nonzero()[0])
        name, kind, value = self.names[column], self.kinds[column], x[row, column].item()
        raise DataError(
            f"column {name!r} takes {self.support} as values, being of the kind {kind!r}, and row "
            f"{row} holds {value:g}; mend the values or give the column another kind"
        )

    def by_column(self, parameters: Tensor) -> Tensor:
        """The owed numbers as (samples, batch, columns, numbers)."""
        by_column: Tensor = parameters.unflatten(2, (-1, self.numbers))
        return by_column


class DiscreteEmission(Emission):
    """Columns some or all of whose values have probability mass."""

    @abstractmethod
    def probabilities(self, column: int) -> Tensor:
        """Probability of each level of one column of the group, (samples, batch, levels)."""


def whole_numbers(x: Tensor, most: float | Tensor) -> Tensor:
    """Whether each value is one of 0, 1 .. ``most``; NaN is not."""
    inside: Tensor = (x == torch.round(x)) & (x >= 0) & (x <= most)
    return inside


def level_counts(x: Tensor, levels: int) -> Tensor:
    """How often each code 0 .. levels - 1 occurs in each column, (columns, levels), float64."""
    columns = x.shape[1]
    first = levels * torch.arange(columns, device=x.device)
    counts = torch.bincount((x.long() + first).flatten(), minlength=columns * levels)
    return counts.reshape(columns, levels).double()
