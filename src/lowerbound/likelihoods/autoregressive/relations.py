r"""Columns of numbers that follow another column closely, or equal it in some rows.

.. math:: p(x_j \mid z, x_{known}) = \pi_0\, h(x_j) + \sum_s \pi_s\, g_s(r_s)
    \left|\frac{\partial r_s}{\partial x_j}\right|

where h is the histogram of column j, s are the known columns that it follows, r_s is the residual
of x_j on x_s, and g_s a histogram of residuals, in which frequent ones, such as 0, have a cell of
their own. The shares pi and the cells of g are softmaxes of numbers of the network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.synthetic.constraints import (
    DIFFERENCE,
    EQUALITY,
    LINEAR,
    RATIO,
    Relation,
    slope_of,
)
from lowerbound.errors import DataError, OptionError, unknown
from lowerbound.likelihoods.columns.cells import HistogramCells, fit_cells
from lowerbound.likelihoods.columns.group import ROUNDED, in_units

FORMS = (DIFFERENCE, EQUALITY, LINEAR, RATIO)
CELLS = 24  # of a histogram of residuals
NARROW, ONLY = 1e-4, 1e-12  # width of a frequent residual's cell: over the spread, and least
STEPS = 1_000.0  # in a cell, of a column without steps
NEVER = -1e4  # log of a share of nothing
POINTS = 4  # of a cell of residuals, where the column's cells are needed
ROUNDS, LEAST = 30, 1e-4  # of expectation maximization, and least first share


class Residual(nn.Module):
    """The residual of a column on another, and the cells of its histogram.

    Args:
        columns: of the table.
        relation: the residual, the place of the column, and that of the other.

    Raises:
        OptionError: there is no such residual.
        DataError: one of the columns has levels.
    """

    edges: Tensor
    values: Tensor
    single: Tensor
    slope: Tensor

    def __init__(self, columns: Sequence[Column], relation: Relation) -> None:
        super().__init__()
        self.form, self.place, self.source = relation
        if self.form not in FORMS:
            raise unknown("residual", self.form, FORMS)
        for place in relation[1:]:
            if not 0 <= place < len(columns):
                raise OptionError(f"there is no column {place} among {len(columns)}")
            if columns[place].levels:
                raise DataError(f"column {columns[place].name!r} has levels, and follows no other")
        lattices = [columns[place].rules.lattice for place in relation[1:]]
        self.step = lattices[0].step
        self.finest = min(each.step for each in lattices)
        self.decimals = max(each.decimals for each in lattices) if self.finest else None
        self.register_buffer("edges", torch.linspace(-1, 1, CELLS + 1, dtype=torch.float64))
        self.register_buffer("values", torch.zeros(CELLS, dtype=torch.float64))
        self.register_buffer("single", torch.zeros(CELLS, dtype=torch.bool))
        self.register_buffer("slope", torch.ones((), dtype=torch.float64))

    def of(self, values: Array) -> Array:
        """The residual of each row, (rows,); NaN where it has none.

        Args:
            values: (rows, columns), units of the table; NaN where missing.
        """
        own, other = values[:, self.place], values[:, self.source]
        if self.form == RATIO:
            with np.errstate(invalid="ignore", divide="ignore"):
                found = np.where((own > 0) & (other > 0), np.log(own / other), np.nan)
            return np.where(np.abs(found) <= ROUNDED, 0.0, found)
        found = own - float(self.slope) * other
        if self.form == DIFFERENCE and self.decimals is not None:
            found = np.round(found, self.decimals)
        slack = np.maximum(self.finest / 4, ROUNDED * (np.abs(own) + np.abs(other)))
        return np.where(np.abs(found) <= slack, 0.0, found)

    def value(self, values: Array, residual: Array) -> Array:
        """The value of the column with a residual, (rows,), as ``of``; NaN where there is none."""
        other = values[:, self.source]
        if self.form == RATIO:
            return np.where(other > 0, other * np.exp(residual), np.nan)
        return np.asarray(float(self.slope) * other + residual)

    def steps(self, own: Array, step: Array) -> Array:
        """The size of steps of the column in units of the residual, (rows,)."""
        return step / np.maximum(np.abs(own), 1e-300) if self.form == RATIO else step

    def fit(self, values: Array) -> None:
        """Fit the cells to rows, and the slope if there is one."""
        there = np.isfinite(values[:, self.place]) & np.isfinite(values[:, self.source])
        if self.form == LINEAR and there.any():
            pair = values[there][:, [self.place, self.source]]
            self.slope.fill_(slope_of(pair[:, 0], pair[:, 1]))
        residual = self.of(values)
        residual = residual[np.isfinite(residual)]
        if self.form == EQUALITY:
            zero = torch.zeros(1, dtype=torch.float64)
            self._set(HistogramCells(torch.tensor([-ONLY, ONLY]), zero, zero == 0))
        elif len(residual):
            spread = np.quantile(np.abs(residual), 0.9)
            steps = self.form == DIFFERENCE and self.finest
            width = max(self.finest / 2 if steps else NARROW * spread, ONLY)
            self._set(fit_cells(torch.from_numpy(residual), CELLS, width))

    def _set(self, found: HistogramCells) -> None:
        used = len(found)
        self.edges.fill_(math.inf)
        self.edges[: used + 1] = found.edges
        self.values[:used] = found.values
        self.single.fill_(False)
        self.single[:used] = found.single

    @property
    def used(self) -> Tensor:
        """Which cells there are, (cells,)."""
        return self.edges[1:].isfinite()

    @property
    def filled(self) -> Tensor:
        """Which cells have rows, (cells,): not those of wide gaps."""
        return self.used & self.values.isfinite()

    def codes(self, residual: Array) -> tuple[Array, Array]:
        """The cell of each residual, and whether there is one, (rows,) each."""
        edges = self.edges.cpu().numpy()
        last = int(self.used.sum())
        found = np.searchsorted(edges[1:last], residual, side="right")
        with np.errstate(invalid="ignore"):
            inside = (residual >= edges[0]) & (residual <= edges[last])
        return found, inside

    def log_steps(self, codes: Array, own: Array, step: Array) -> Array:
        """log of the share of a cell's probability that one step of the column has, (rows,).

        Args:
            codes: of the residuals.
            own: values of the column, units of the table.
            step: of the column at these values.
        """
        edges = self.edges.cpu().numpy()
        width = np.where(np.isfinite(edges), edges, 0.0)[codes + 1] - edges[codes]
        share = np.maximum(self.steps(own, step) / width, 1e-30)
        share = np.minimum(share, 1.0) if self.step else share
        return np.where(self.single.cpu().numpy()[codes], 0.0, np.log(share))

    def drawn(self, values: Array, codes: Array, level: Array) -> Array:
        """Values of the column with residuals of some cells, (rows,).

        Args:
            values: as for ``of``.
            codes: cells, (rows,).
            level: places in the cells, 0 to 1, (rows,).
        """
        edges, alone = self.edges.cpu().numpy(), self.values.cpu().numpy()
        low, high = edges[codes], edges[codes + 1]
        within = low + (high - low) * level
        return self.value(values, np.where(self.single.cpu().numpy()[codes], alone[codes], within))


class Relations(nn.Module):
    """The residuals of all columns that follow others.

    Args:
        columns: of the table.
        relations: as ``found_relations`` gives them.
    """

    def __init__(self, columns: Sequence[Column], relations: Sequence[Relation]) -> None:
        super().__init__()
        self.columns = columns
        self.each = nn.ModuleList(Residual(columns, (f, int(a), int(b))) for f, a, b in relations)
        self.of_place: dict[int, list[Residual]] = {}
        for residual in self.each:
            assert isinstance(residual, Residual)
            self.of_place.setdefault(residual.place, []).append(residual)

    def __len__(self) -> int:
        return len(self.each)

    def count(self, place: int) -> int:
        """How many numbers of the network belong to the residuals of a column."""
        return len(self.of_place.get(place, ())) * (1 + CELLS)

    def needed(self, place: int) -> list[int]:
        """The columns that a column follows."""
        return [each.source for each in self.of_place.get(place, ())]

    def fit(self, x: Tensor) -> None:
        """Fit the cells of all residuals to rows, (rows, columns), model units."""
        values = self.values(
            x, {*self.of_place, *(s for p in self.of_place for s in self.needed(p))}
        )
        for each in self.each:
            assert isinstance(each, Residual)
            each.fit(values)

    def values(self, x: Tensor, places: Sequence[int] | set[int]) -> Array:
        """Values of some columns in units of the table and of their resolution, as ``in_units``."""
        found = in_units(self.columns, sorted(places), x)
        for place in places:
            lattice = self.columns[place].rules.lattice
            if lattice.step:
                found[:, place] = lattice.nearest(found[:, place])
        return found

    def log_shares(self, place: int, numbers: Tensor, values: Array, known: Tensor) -> Tensor:
        """log pi_0 and log pi_s, (rows, 1 + residuals); ``NEVER`` where the other is not known.

        Args:
            place: of the column.
            numbers: of the network, (rows, ``count``).
            values: in units of the table, NaN where missing.
            known: the columns that are known, (rows, columns).
        """
        each = self.of_place[place]
        given = values[:, self.needed(place)]
        there = known.cpu().numpy()[:, self.needed(place)] & np.isfinite(given)
        for index, residual in enumerate(each):
            if residual.form == RATIO:
                there[:, index] &= given[:, index] > 0
        shut = torch.from_numpy(~there).to(numbers.device)
        logits = numbers[:, : len(each)].masked_fill(shut, NEVER)
        return torch.log_softmax(torch.cat([torch.zeros_like(logits[:, :1]), logits], 1), 1)

    def log_cells(self, place: int, numbers: Tensor) -> Tensor:
        """log g of each residual of a column, (rows, residuals, cells); numbers as in
        ``log_shares``."""
        each = self.of_place[place]
        unused = ~torch.stack([residual.used for residual in each])
        logits = numbers[:, len(each) :].unflatten(1, (len(each), CELLS))
        return torch.log_softmax(logits.masked_fill(unused, NEVER), 2)

    def log_steps(self, place: int, log_cells: Tensor, values: Array, step: Array) -> Tensor:
        """log of the probability of one step of a column by each residual, (rows, residuals).

        Args:
            place: of the column.
            log_cells: as ``log_cells`` gives them.
            values: in units of the table.
            step: of the column at its values, (rows,).
        """
        each = self.of_place[place]
        codes = np.zeros((len(values), len(each)), dtype=np.int64)
        within = np.zeros(codes.shape)
        for index, residual in enumerate(each):
            code, inside = residual.codes(residual.of(values))
            part = residual.log_steps(code, values[:, place], step)
            codes[:, index], within[:, index] = code, np.where(inside, part, NEVER)
        places = torch.from_numpy(codes).to(log_cells.device).unsqueeze(2)
        return log_cells.gather(2, places).squeeze(2) + torch.from_numpy(within).to(log_cells)

    def first_numbers(
        self, place: int, x: Tensor, log_free: Tensor, steps: Array, log_n: Tensor
    ) -> Tensor:
        """The numbers of the network at which shares and cells are those of rows, (``count``,).

        Args:
            place: of the column.
            x: rows, (rows, columns), model units.
            log_free: log of the probability of each row's cell by h, (rows,).
            steps: size of a step of the column at each row, (rows,).
            log_n: log of the number of steps in each row's cell, (rows,).
        """
        values = self.values(x, {place, *self.needed(place)})
        each = [(*r.codes(r.of(values)), r) for r in self.of_place[place]]
        within = [r.log_steps(codes, values[:, place], steps) for codes, _, r in each]
        counts = [np.bincount(codes[inside], minlength=CELLS) * 1.0 for codes, inside, _ in each]
        share = np.full(1 + len(each), 1 / (1 + len(each)))
        free, inner = (part.double().cpu().numpy() for part in (log_free, log_n))
        for _ in range(ROUNDS):
            parts = [free]
            for (codes, inside, _), part, rows in zip(each, within, counts, strict=True):
                cell = np.log((rows + 0.5) / (rows + 0.5).sum())[codes]
                parts.append(np.where(inside, cell + part + inner, NEVER))
            logits = torch.from_numpy(np.stack(parts, 1) + np.log(share))
            weights = torch.softmax(logits, 1).numpy()
            share = np.maximum(weights.mean(0), LEAST)
            for index, (codes, inside, _) in enumerate(each):
                new = np.bincount(codes[inside], weights[inside, 1 + index], CELLS)
                counts[index] = new.astype(np.float64)
        cells = [np.log((rows + 0.5) / (rows + 0.5).sum()) for rows in counts]
        return torch.from_numpy(np.concatenate([np.log(share[1:] / share[0]), *cells])).to(x)

    def drawn(self, place: int, log_cells: Tensor, values: Array) -> Array:
        """A value of the column by each residual, (rows, residuals), units of the table; NaN where
        there is none.

        Args:
            place: of the column.
            log_cells: as ``log_cells`` gives them.
            values: in units of the table.
        """
        found = []
        for residual, cells in zip(self.of_place[place], log_cells.unbind(1), strict=True):
            shares = cells.exp().clamp_min(LEAST**2).masked_fill(~residual.filled, 0.0)
            codes = torch.multinomial(shares, 1)[:, 0].cpu().numpy()
            level = torch.rand(len(codes), dtype=torch.float64).numpy()
            found.append(residual.drawn(values, codes, level))
        return np.stack(found, 1)

    def spread(self, place: int, values: Array) -> list[Array]:
        """Values of the column in the middle of parts of each cell, (rows, cells, parts) for each
        residual; NaN where there is none."""
        level = (np.arange(POINTS) + 0.5) / POINTS
        found = []
        for residual in self.of_place[place]:
            rows, used = len(values), int(residual.used.sum())
            codes = np.broadcast_to(np.arange(used)[None, :, None], (rows, used, POINTS))
            repeated = np.repeat(values, used * POINTS, 0)
            levels = np.broadcast_to(level, codes.shape).reshape(-1)
            found.append(residual.drawn(repeated, codes.reshape(-1), levels).reshape(codes.shape))
        return found
