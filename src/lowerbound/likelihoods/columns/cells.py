"""The cells of a histogram: intervals of one column's values, fitted to training rows.

A value that is frequent has a narrow cell of its own, and draws from that cell equal it. The other
cells have about as many rows each; where the values in such a cell are far from uniform, as in a
long tail, it is cut where that raises the likelihood of a histogram most. Wide gaps between the
values (``gaps``) are empty cells.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.columns.lattice import Gaps, sure_gaps

Decode = Callable[[Array], Array]
"""Maps model units to units of the table."""

ROWS_PER_CELL = 20  # fewest training rows per cell of values that hardly repeat, on average
ROWS_PER_VALUE = 4  # fewest training rows per value, on average, if each value has its own cell
FOR_CUTS = 4  # one in so many cells is kept for gaps and cuts of the others
FOR_GAPS = 8  # one in so many cells may be a gap
FEWEST_ROWS, LEAST_GAIN = 2, 4.0  # rows on each side of a cut, and its gain in nats
FREQUENT, FEWEST = 0.004, 5  # share and number of rows of a value with a cell of its own
LEAD = 3.0  # its rows over the average rows of a value
FINEST = 2.0**-22  # smallest width over the largest value: two steps of float32


@dataclass(frozen=True)
class HistogramCells:
    """The cells of one column, increasing.

    Attributes:
        edges: boundaries, (cells + 1,).
        values: of a cell that contains a single value, that value; of an empty cell, infinity; else
            its middle, (cells,).
        single: whether a cell contains a single value, (cells,).
    """

    edges: Tensor
    values: Tensor
    single: Tensor

    def __len__(self) -> int:
        return len(self.values)


def fit_cells(
    x: Tensor, most: int, width: float, whole: bool = False, decode: Decode = np.asarray
) -> HistogramCells:
    """The cells of a column.

    Args:
        x: training values, (rows,), model units.
        most: largest number of cells.
        width: largest width of a cell of a frequent value, unless the values are few.
        whole: whether the values are whole numbers. Boundaries are then halfway between two, and a
            value with a cell of its own shares it with no other whole number.
        decode: maps model units to those of the table, in which gaps are found.
    """
    x = x.double()
    distinct, counts = torch.unique(x, return_counts=True)
    frequent = _frequent(counts, _most_filled(len(x), most))
    gaps = sure_gaps(decode(distinct.cpu().numpy()), frequent.cpu().numpy())
    gaps = Gaps(gaps.places[: most // FOR_GAPS], gaps.margins[: most // FOR_GAPS])
    few = len(distinct) <= max(2, len(x) // ROWS_PER_VALUE)
    cells = (_each_whole(distinct) if whole else _one_each(distinct)) if few else None
    if cells is None or len(cells) > most:
        inner = _inner(x, most, distinct[frequent], _borders(distinct, gaps))
        inner = torch.unique(inner.floor() + 0.5) if whole else inner
        cells = _with_frequent(distinct, frequent, inner, width, 0.5 * whole)
    cells = cells if whole else _resolved(cells)
    # the cells, after those in a gap lost their value
    middle = cells.edges[:-1] + 0.5 * cells.edges.diff()
    below = torch.searchsorted(distinct, middle) - 1
    at = torch.isin(below, torch.from_numpy(gaps.places).to(below))
    low = distinct[below.clamp_min(0)]
    high = distinct[(below + 1).clamp_max(len(distinct) - 1)]
    apart = (low < cells.edges[:-1]) & (cells.edges[1:] <= high)
    empty = at & apart & ~cells.single
    return replace(cells, values=torch.where(empty, math.inf, cells.values))


def _most_filled(rows: int, most: int) -> int:
    """Number of cells before cuts."""
    return max(2, min(most - most // FOR_CUTS, rows // ROWS_PER_CELL))


def _frequent(counts: Tensor, cells: int) -> Tensor:
    """Which values are frequent, from the rows of each."""
    order = counts.argsort(descending=True)[: 3 * cells // 8]
    frequent = torch.zeros_like(counts, dtype=torch.bool)
    rows = int(counts.sum())
    usual = rows / len(counts)
    frequent[order] = counts[order] >= max(FEWEST, FREQUENT * rows, LEAD * usual)
    return frequent


def _borders(distinct: Tensor, gaps: Gaps) -> Tensor:
    """Lower and upper end of each gap, (gaps, 2), model units."""
    places = torch.from_numpy(gaps.places).to(distinct.device)
    low, high = distinct[places], distinct[places + 1]
    margins = torch.from_numpy(gaps.margins).to(distinct) * (high - low).unsqueeze(1)
    return torch.stack([low + margins[:, 0], high - margins[:, 1]], 1)


def _inner(x: Tensor, most: int, frequent: Tensor, gaps: Tensor) -> Tensor:
    """Inner boundaries of the cells of values that are not frequent.

    Args:
        x: all values, (rows,).
        most: largest number of cells.
        frequent: the frequent values.
        gaps: ends of the gaps, (gaps, 2).
    """
    rest, own = x[~torch.isin(x, frequent)], 2 * len(frequent)
    inner = _quantiles(rest, _most_filled(len(x), most) - own)
    inside = (inner.unsqueeze(1) > gaps[:, 0]) & (inner.unsqueeze(1) < gaps[:, 1])
    ends = gaps.flatten()
    if len(rest):
        ends = ends[(ends > rest.min()) & (ends < rest.max())]
    inner = torch.unique(torch.cat([inner[~inside.any(1)], ends]))
    return _cut(rest, inner, most - own)


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


def _cut(values: Tensor, inner: Tensor, most: int) -> Tensor:
    """The boundaries, and further ones, as long as they raise the likelihood by much.

    Args:
        values: of the cells, (rows,).
        inner: boundaries between them.
        most: largest number of cells.
    """
    if not len(values):
        return inner
    ordered = values.cpu().sort().values.numpy()
    edges = [ordered[0], *inner.tolist(), ordered[-1]]
    places = [0, *np.searchsorted(ordered, inner.cpu().numpy()), len(ordered)]
    open_ = [
        _best_cut(ordered[places[k] : places[k + 1]], edges[k], edges[k + 1])
        for k in range(len(edges) - 1)
    ]
    heapq.heapify(open_)
    found, cells = list(edges[1:-1]), len(open_)
    while cells < most and -open_[0][0] >= LEAST_GAIN:
        _, low, cut, high, at, part = heapq.heappop(open_)
        found.append(cut)
        cells += 1
        heapq.heappush(open_, _best_cut(part[:at], low, cut))
        heapq.heappush(open_, _best_cut(part[at:], cut, high))
    return inner.new_tensor(sorted(found))


def _best_cut(
    values: Array, low: float, high: float
) -> tuple[float, float, float, float, int, Array]:
    """(-gain in nats, low, cut, high, values below the cut, values) of the best cut of a cell.

    Two uniform densities with i and m - i of m values have a log-likelihood that is higher by
    i log(i / (m a)) + (m - i) log((m - i) / (m (1 - a))), where a is the share of the lower width.
    """
    below = np.arange(FEWEST_ROWS, len(values) - FEWEST_ROWS + 1)
    left, right = values[below - 1], values[below]
    cut = 0.5 * (left + right)
    apart = (left < right) & (low < cut) & (cut < high)
    below, cut = below[apart], cut[apart]
    if not len(below):
        return 0.0, low, low, high, 0, values
    share, width = below / len(values), (cut - low) / (high - low)
    gain = share * np.log(share / width) + (1 - share) * np.log((1 - share) / (1 - width))
    best = int(gain.argmax())
    return -len(values) * float(gain[best]), low, float(cut[best]), high, int(below[best]), values


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
