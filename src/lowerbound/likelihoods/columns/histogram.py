r"""Numbers whose density is constant in each of K cells: p(u | z) = p_k(z) / (e_{k+1} - e_k)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import LOWEST
from lowerbound.data.columns.mixed import ATOM, is_atom
from lowerbound.likelihoods.columns.cells import HistogramCells, fit_cells
from lowerbound.likelihoods.columns.group import (
    COLUMN_FAMILIES,
    Averages,
    ColumnsOfCodes,
    DiscreteEmission,
)
from lowerbound.trace import Emission

TAIL = 1e-3  # share of an outermost cell's probability that lies outside the training range
ROUNDED = 2.0**-24  # relative error of a number in float32
POINTS = 8  # in each cell, for its mean in the data's units
ATOM_CELL = (2 * ATOM - 0.5 * (ATOM + LOWEST), 0.5 * (ATOM + LOWEST))


class Table:
    """The cells of several columns, padded to K cells, in float64: cells may be narrow.

    Args:
        edges: (columns, K + 1); infinite after a column's last cell.
        values: that draws from a cell equal, or its middle, (columns, K); infinite: none is drawn.
        single: whether draws from a cell equal its value, (columns, K).
        whole: whether the columns contain whole numbers only.
        least: the smallest value that is possible.
    """

    def __init__(
        self, edges: Tensor, values: Tensor, single: Tensor, whole: bool, least: float = -math.inf
    ) -> None:
        edges, values = edges.double(), values.double()
        self.empty = values.isinf()
        values = torch.where(self.empty, edges[:, :-1] + 0.5 * edges.diff(dim=1), values)
        if whole:  # in older models, a boundary may be a whole number, which is in the upper cell
            edges = edges.ceil().clamp_min(least) - 0.5
        self.edges, self.values, self.single, self.whole = edges, values, single, whole
        self.used = edges[:, 1:].isfinite()
        self.padded = torch.compiler.is_compiling() or not bool(self.used.all())
        self.low, self.high = edges[:, 0], torch.where(edges.isfinite(), edges, -math.inf).amax(1)
        width = torch.where(self.used, edges.diff(dim=1), 1.0)
        self.width = torch.where(self.is_atom(values), 1.0, width)  # the atom has mass
        # an eighth of the range of whole numbers, whose unit may be far smaller than their spread
        scale = ((self.high - self.low) / 8).clamp_min(1.0) if self.whole else self.low.new_ones(1)
        room = torch.where(self.is_atom(self.values[:, 0]), 0.0, self.low + 0.5 - least)
        last = self.used.sum(1) - 1
        place = torch.arange(self.used.shape[1], device=last.device)
        tails = (place == last.unsqueeze(1)).double()
        tails[:, 0] += room > 0
        self.log_inside = torch.log1p(-TAIL * tails) - self.width.log()
        log_rate = (2 * torch.sinh(0.5 / scale)).log() if self.whole else -scale.log()
        below = torch.where(room > 0, torch.log(-torch.expm1(-room / scale)), math.inf)
        self.tail, self.log_above = scale, math.log(TAIL) + log_rate
        self.log_below = self.log_above - below
        # float32 may round the smallest and the largest training value to outside the range
        slack = 0.0 if self.whole else ROUNDED
        self.lowest = self.low - slack * self.low.abs()
        self.highest = self.high + slack * self.high.abs()

    def is_atom(self, x: Tensor) -> Tensor:
        """Whether a value is the atom of a mixed column; whole numbers have none."""
        return torch.zeros_like(x, dtype=torch.bool) if self.whole else is_atom(x)

    def codes(self, x: Tensor) -> Tensor:
        """The cell of each value, like x, (..., columns)."""
        flat = x.reshape(-1, x.shape[-1]).mT.contiguous()
        inner = self.edges[:, 1:-1].contiguous()
        found = torch.searchsorted(inner, flat.to(inner.dtype), right=True)
        last = self.used.sum(1, keepdim=True) - 1
        return torch.minimum(found, last).mT.reshape(x.shape)

    def log_within(self, x: Tensor, codes: Tensor) -> Tensor:
        """log of the density of values given their cells ``codes``, (..., columns), float64.

        It is that of the probability for whole numbers and the atom. A tail belongs to the cell
        beside it.
        """
        x = x.double()
        inside = self.log_inside[torch.arange(codes.shape[-1], device=codes.device), codes]
        below, above = self.low - x, x - self.high
        tail = torch.where(below > 0, self.log_below, self.log_above)
        beyond = ((x < self.lowest) | (x > self.highest)) & ~self.is_atom(x)
        return torch.where(beyond, tail - torch.maximum(below, above) / self.tail, inside)

    def draw(self, codes: Tensor) -> Tensor:
        """A value of each cell, (..., columns)."""
        column = torch.arange(codes.shape[-1], device=codes.device)
        low, width = self.edges[:, :-1][column, codes], self.width[column, codes]
        value = low + width * torch.rand_like(low)
        if self.whole:
            value = torch.round(value)
        return torch.where(self.single[column, codes], self.values[column, codes], value)


class HistogramEmission(DiscreteEmission):
    """A probability for each cell and a uniform density in it; exponential tails outside.

    ``mean`` and ``variance`` use the cells' middles. If the atom of a mixed column has more than
    half of the probability, ``mean`` is the atom; else it is that of the other cells.

    Args:
        logits: (samples, batch, columns, K); -inf for cells that a column does not have.
        table: the cells.
    """

    def __init__(self, logits: Tensor, table: Table) -> None:
        self.logits, self.table = logits, table
        super().__init__(logits.shape[:2], logits.shape[2:3], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        shape = self.logits.shape[:3]
        if x.shape != shape[1:]:
            shape = torch.broadcast_shapes(x.shape, shape)
        code = self.table.codes(x).expand(shape)
        shares = torch.log_softmax(self.logits, -1).expand(*shape, self.logits.shape[3])
        share = shares.gather(-1, code.unsqueeze(-1)).squeeze(-1)
        return (share + self.table.log_within(x, code)).to(self.logits.dtype)

    @property
    def mean(self) -> Tensor:
        shares, rest = self._shares()
        mean = (rest * self.table.values).sum(-1)
        at_atom = (shares * self.table.is_atom(self.table.values)).sum(-1) > 0.5
        return torch.where(at_atom, ATOM, mean).to(self.logits.dtype)

    @property
    def variance(self) -> Tensor:
        _, rest = self._shares()
        values = self.table.values
        mean = (rest * values).sum(-1, keepdim=True)
        inside = (self.table.width.square() - float(self.table.whole)) / 12
        inside = torch.where(self.table.single, 0.0, inside)
        return (rest * ((values - mean).square() + inside)).sum(-1).to(self.logits.dtype)

    def probabilities(self, column: int) -> Tensor:
        """Of each cell, (samples, batch, cells)."""
        cells = int(self.table.used[column].sum())
        return torch.softmax(self.logits[..., column, :], -1)[..., :cells]

    def drawn(self, column: int) -> Tensor:
        """Probabilities of the cells in draws; empty ones are not drawn."""
        empty = self.table.empty[column]
        shares = self.probabilities(column)
        return shares.masked_fill(empty[: shares.shape[-1]], 0.0)

    def _shares(self) -> tuple[Tensor, Tensor]:
        """Probabilities of all cells, and of those without the atom if there is no atom."""
        shares = torch.softmax(self.logits, -1)
        rest = torch.where(self.table.is_atom(self.table.values), 0.0, shares)
        return shares, rest / rest.sum(-1, keepdim=True).clamp_min(1e-12)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        rows = torch.softmax(self.logits.masked_fill(self.table.empty, -math.inf), -1).flatten(0, 2)
        count = math.prod(sample_shape)
        code = torch.multinomial(rows, max(1, count), replacement=True)[:, :count].mT
        shaped = code.reshape(sample_shape + self.logits.shape[:3])
        return self.table.draw(shaped).to(self.logits.dtype)


@COLUMN_FAMILIES.register("histogram")
class HistogramColumns(ColumnsOfCodes):
    r"""Columns of numbers, with up to K cells each and one logit per cell.

    .. math:: p(u \mid z) = \frac{p_k(z)}{e_{k+1} - e_k}, \qquad e_k \le u < e_{k+1}

    The cells are fitted to the training rows. A thousandth of the probability of an outermost cell
    belongs to an exponential tail outside the range of the training rows, so that every value has a
    density; draws stay in the range. So do those of gaps: an empty cell has a density but no draws.

    Args:
        columns: of numbers.
        cells: K.
        width: largest width of a cell of a frequent value.
        signed: whether columns of whole numbers may be negative.
    """

    edges: Tensor
    values: Tensor
    single: Tensor

    def __init__(
        self, columns: Sequence[Column], cells: int, width: float, *, signed: bool = False
    ) -> None:
        super().__init__(columns)
        self.cells, self.width = cells, width
        self.code_counts = (cells,) * len(columns)
        self.mass = all(COLUMN_FAMILIES[column.rules.family].mass for column in columns)
        self.least = 0.0 if self.mass and not signed else -math.inf
        self.support = "whole numbers" if self.mass else "finite numbers"
        self.atoms = [column.atom is not None for column in columns]
        self.decode = [column.decode for column in columns]
        self._kept: tuple[tuple[Tensor, ...], tuple[int, ...], Table] | None = None
        count = len(columns)
        low, high = (0.0, float(cells)) if self.mass else (-4.0, 4.0)
        edges = torch.linspace(low, high, cells + 1, dtype=torch.float64) - 0.5 * self.mass
        self.register_buffer("edges", edges.repeat(count, 1))
        self.register_buffer("values", (edges[:-1] + 0.5 * edges.diff()).repeat(count, 1))
        self.register_buffer("single", torch.zeros(count, cells, dtype=torch.bool))

    @classmethod
    def of(cls, columns: Sequence[Column], floor: float, embedding: int) -> HistogramColumns:
        """Here ``embedding`` is K, and ``floor`` the largest width of a frequent value's cell."""
        return cls(columns, embedding, floor)

    @classmethod
    def key(cls, column: Column, place: int, embedding: int) -> Hashable:
        return COLUMN_FAMILIES[column.rules.family].mass

    @classmethod
    def averages(cls, columns: Sequence[Column], emission: Emission) -> Averages:
        """The cells' means in the data's units, weighted by their probabilities."""
        assert isinstance(emission, HistogramEmission)
        means = torch.stack([_means(column, emission.table, i) for i, column in enumerate(columns)])
        means = means.to(emission.logits.device)
        return lambda given: (torch.softmax(given.logits.double(), -1) * means).sum(-1)  # type: ignore[attr-defined]

    @property
    def numbers(self) -> int:
        return self.cells

    def codes(self, x: Tensor) -> Tensor:
        return self.table().codes(x)

    def numbers_of(self, x: Tensor) -> Tensor:
        return torch.where(is_atom(x), 0.0, x) if not self.mass else torch.log1p(x.clamp_min(0))

    def ends(self) -> Tensor:
        used = self.table().used[0]
        ends = torch.stack([self.edges[0, :-1], self.edges[0, 1:]])
        return torch.where(self.single[0], self.values[0], ends)[:, used]

    def table(self) -> Table:
        """The fitted cells; they are kept until a buffer changes."""
        buffers = (self.edges, self.values, self.single)
        if torch.compiler.is_compiling() or self.edges.is_inference():
            return Table(*buffers, self.mass, self.least)
        versions = tuple(each._version for each in buffers)
        if self._kept is not None:
            known, before, table = self._kept
            if versions == before and all(a is b for a, b in zip(known, buffers, strict=True)):
                return table
        with torch.inference_mode(False), torch.no_grad():  # training may use it afterwards
            table = Table(*buffers, self.mass, self.least)
        self._kept = buffers, versions, table
        return table

    def forward(self, parameters: Tensor) -> HistogramEmission:
        table = self.table()
        logits = self.by_column(parameters)
        if table.padded:
            logits = logits.masked_fill(~table.used, -math.inf)
        return HistogramEmission(logits, table)

    def inside(self, x: Tensor) -> Tensor:
        return (x == torch.round(x)) & (x >= self.least) if self.mass else x.isfinite()

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Fit the cells of each column."""
        self.edges.fill_(math.inf)
        self.single.fill_(False)
        for place, values in enumerate(x.unbind(1)):
            found = self._fitted(values, place)
            self.edges[place, : len(found) + 1] = found.edges
            self.values[place, : len(found)] = found.values
            self.values[place, len(found) :] = 0.0
            self.single[place, : len(found)] = found.single

    def _fitted(self, values: Tensor, place: int) -> HistogramCells:
        """The cells of one column; those of a mixed column begin with its atom."""
        decode = self.decode[place]
        if not self.atoms[place]:
            width = 1.0 if self.mass else self.width
            return fit_cells(values, self.cells, width, self.mass, decode)
        rest = values[~is_atom(values)]
        if not len(rest):
            rest = values.new_zeros(1)
        found = fit_cells(rest, self.cells - 2, self.width, decode=decode)
        first = found.edges.new_tensor(ATOM_CELL)
        gap = 0.5 * (first[1:] + found.edges[:1])  # between the atom and the lowest value
        return HistogramCells(
            torch.cat([first, found.edges]),
            torch.cat([first.new_tensor([ATOM]), gap, found.values]),
            torch.cat([found.single.new_tensor([True, False]), found.single]),
        )

    def initial_bias(self, x: Tensor) -> Tensor:
        """Log frequencies of the cells, with one half added to each count."""
        offset = self.cells * torch.arange(x.shape[1], device=x.device)
        counts = torch.bincount(
            (self.codes(x) + offset).flatten(), minlength=self.cells * x.shape[1]
        )
        return torch.log((counts + 0.5) / len(x)).to(x.dtype)


def _means(column: Column, table: Table, place: int) -> Tensor:
    """The mean of each cell in the data's units, (K,), float64."""
    share = (torch.arange(POINTS, dtype=torch.float64) + 0.5) / POINTS
    low, width = table.edges[place, :-1].cpu(), table.width[place].cpu()
    units = low.unsqueeze(1) + width.unsqueeze(1) * share
    single = table.single[place].cpu().unsqueeze(1)
    units = torch.where(single, table.values[place].cpu().unsqueeze(1), units)
    units = torch.where(table.used[place].cpu().unsqueeze(1), units, 0.0)
    values = column.rules.averaged(np.asarray(column.decode(units.numpy()), dtype=np.float64))
    return torch.from_numpy(values).mean(1)
