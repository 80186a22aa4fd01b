"""The cells of a histogram: intervals of one column's values, fitted to training rows.

A value that is frequent has a narrow cell of its own, and draws from that cell equal it. The other
cells have about as many rows each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROWS_PER_CELL = 20  # fewest training rows per cell of values that hardly repeat, on average
ROWS_PER_VALUE = 4  # fewest training rows per value, on average, if each value has its own cell
FREQUENT, FEWEST = 0.004, 5  # share and number of rows of a value with a cell of its own
LEAD = 3.0  # its rows over the average rows of a value
FINEST = 2.0**-22  # smallest width over the largest value: two steps of float32


@dataclass(frozen=True)
class HistogramCells:
    """The cells of one column, increasing.

    Attributes:
        edges: boundaries, (cells + 1,).
        values: of a cell that contains a single value, that value; else its middle, (cells,).
        single: whether a cell contains a single value, (cells,).
    """

    edges: Tensor
    values: Tensor
    single: Tensor

    def __len__(self) -> int:
        return len(self.values)


def fit_cells(x: Tensor, most: int, width: float, whole: bool = False) -> HistogramCells:
    """The cells of a column.

    Args:
        x: training values, (rows,), model units.
        most: largest number of cells.
        width: largest width of a cell of a frequent value, unless the values are few.
        whole: whether the values are whole numbers. Boundaries are then halfway between two, and a
            value with a cell of its own shares it with no other whole number.
    """
    cells = _fitted(x.double(), most, width, whole)
    return cells if whole else _resolved(cells)


def _fitted(x: Tensor, most: int, width: float, whole: bool) -> HistogramCells:
    """As ``fit_cells``, but real values may be too close for float32."""
    distinct, counts = torch.unique(x, return_counts=True)
    if len(distinct) <= max(2, len(x) // ROWS_PER_VALUE):
        each = _each_whole(distinct) if whole else _one_each(distinct)
        if len(each) <= most:
            return each
    most = max(2, min(most, len(x) // ROWS_PER_CELL))
    order = counts.argsort(descending=True)[: 3 * most // 8]
    frequent = torch.zeros_like(counts, dtype=torch.bool)
    usual = len(x) / len(distinct)
    frequent[order] = counts[order] >= max(FEWEST, FREQUENT * len(x), LEAD * usual)
    rest = x[~torch.isin(x, distinct[frequent])]
    inner = _quantiles(rest, most - 2 * int(frequent.sum()))
    if whole:
        inner = torch.unique(inner.floor() + 0.5)
    return _with_frequent(distinct, frequent, inner, width, 0.5 * whole)


def _one_each(distinct: Tensor) -> HistogramCells:
    """A cell for each value; boundaries lie halfway between neighbors."""
    gaps = distinct.diff()
    end = 0.5 * (gaps.min() if len(gaps) else distinct.new_tensor(1.0))
    edges = torch.cat([distinct[:1] - end, distinct[:-1] + 0.5 * gaps, distinct[-1:] + end])
    return HistogramCells(edges, distinct, torch.ones_like(distinct, dtype=torch.bool))


def _each_whole(distinct: Tensor) -> HistogramCells:
    """A cell of width one for each whole number, and one for each gap between them."""
    every = torch.ones_like(distinct, dtype=torch.bool)
    return _with_frequent(distinct, every, distinct[:0], 1.0, 0.5)


def _resolved(cells: HistogramCells) -> HistogramCells:
    """The cells, after those that float32 can hardly tell from a neighbor are merged with it."""
    edges = cells.edges.tolist()
    finest = FINEST * max(abs(edges[0]), abs(edges[-1]))
    kept = [0]
    for place in range(1, len(cells)):
        if min(edges[place] - edges[kept[-1]], edges[-1] - edges[place]) >= finest:
            kept.append(place)
    if len(kept) == len(cells):
        return cells
    merged = cells.edges[[*kept, len(cells)]]
    alone = torch.tensor([*kept, len(cells)]).diff() == 1
    middle = merged[:-1] + 0.5 * merged.diff()
    values = torch.where(alone, cells.values[kept], middle)
    return HistogramCells(merged, values, cells.single[kept] & alone)


def _quantiles(values: Tensor, cells: int) -> Tensor:
    """Inner boundaries of that many cells of about as many values each."""
    if cells < 2 or not len(values):
        return values[:0]
    place = torch.linspace(0, 1, cells + 1, dtype=values.dtype)[1:-1] * (len(values) - 1)
    ordered = values.sort().values
    edges: Tensor = torch.unique(
        ordered[place.floor().long()].lerp(ordered[place.ceil().long()], place.frac())
    )
    return edges


def _with_frequent(
    distinct: Tensor, frequent: Tensor, inner: Tensor, width: float, margin: float
) -> HistogramCells:
    """HistogramCells with the boundaries ``inner``, and a cell of its own for each frequent value.

    Args:
        distinct: the values.
        frequent: which of them are frequent.
        inner: boundaries of the cells of the others.
        width: largest width of a frequent value's cell.
        margin: by which the outermost cells exceed the values.
    """
    own = distinct[frequent]
    halfway = distinct[:-1] + 0.5 * distinct.diff()
    before = torch.cat([distinct[:1] - width, halfway])[frequent]
    after = torch.cat([halfway, distinct[-1:] + width])[frequent]
    low, high = torch.maximum(before, own - width / 2), torch.minimum(after, own + width / 2)
    first = low[:1] if frequent[0] else distinct[:1] - margin
    last = high[-1:] if frequent[-1] else distinct[-1:] + margin
    apart = ((inner.unsqueeze(1) <= low) | (inner.unsqueeze(1) >= high)).all(1)
    inner = inner[apart & (inner > first) & (inner < last)]
    edges = torch.unique(torch.cat([first, last, inner, low, high]))
    values = edges[:-1] + 0.5 * edges.diff()
    single = torch.zeros_like(values, dtype=torch.bool)
    place = torch.searchsorted(edges, own, right=True) - 1
    values[place], single[place] = own, True
    return HistogramCells(edges, values, single)
