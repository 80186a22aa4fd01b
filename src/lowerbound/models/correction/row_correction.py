"""The correction of rows that a model of a table draws: quantile mapping, then missing cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lowerbound.config import construct
from lowerbound.data.columns.column import Column
from lowerbound.models.correction.missingness import MissingnessModel
from lowerbound.models.correction.quantile_map import QuantileMap

if TYPE_CHECKING:  # a name for annotations
    from lowerbound.data.schema import Schema


class RowCorrection(nn.Module):
    """Missing cells and the shares of values, which the likelihood of a table does not draw.

    It holds no weights of the model: scores, codes and imputations do not depend on it. It stays on
    the processor in float64, because rows are decoded there.

    Args:
        columns: the modeled columns, in the order of x.
        cells: most cells of the histogram of a column.
        quantiles: of each column's draws.
    """

    def __init__(
        self, columns: Sequence[Column], *, cells: int = 256, quantiles: int = 512
    ) -> None:
        super().__init__()
        self.options = {"cells": cells, "quantiles": quantiles}
        self.missing = MissingnessModel(columns)
        self.numbers = QuantileMap(columns, cells, quantiles)

    def learn(self, x: Tensor, observed: Tensor) -> None:
        """Take missing cells and the shares of values from training rows, (rows, columns)."""
        self.missing.learn(x, observed)
        self.numbers.learn(x, observed)

    def match(self, x: Tensor) -> None:
        """Adjust to a model by rows that it draws, (rows, columns).

        Cells that stay have the distribution of the observed cells. Which cells these are depends
        on mapped values, so the first map, of all cells, is a step to the second.
        """
        self.numbers.match(x)
        mapped = self.numbers(x)
        self.missing.match(mapped)
        self.numbers.match(x.double().masked_fill(self.missing(mapped), torch.nan))
        self.missing.match(self.numbers(x))

    def forward(
        self,
        x: Tensor,
        given: Tensor | None = None,
        *,
        complete: bool = False,
        mapped: bool = True,
    ) -> Tensor:
        """Correct drawn rows with random numbers of torch's global state.

        Args:
            x: (rows, columns), model units.
            given: cells that are not drawn and stay, of the same shape.
            complete: whether no cell is missing.
            mapped: whether values are mapped to those of training rows.

        Returns:
            (rows, columns), float64, NaN where missing.
        """
        x = x.cpu().double()
        values = self.numbers(x)
        values = values if given is None else torch.where(given, x, values)
        gone = torch.zeros_like(x, dtype=torch.bool) if complete else self.missing(values, given)
        return (values if mapped else x).masked_fill(gone, torch.nan)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RowCorrection:
        """Stay where it is when the model moves or changes its precision."""
        return self


def correction_for(schema: Schema, options: Mapping[str, Any]) -> RowCorrection:
    """The correction of the rows of a table.

    Raises:
        OptionError: an option is unknown.
    """
    correction: RowCorrection = construct(RowCorrection, schema.modeled, options=options)
    return correction
