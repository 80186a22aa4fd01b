"""Histories of events: p(x | z), one event after another and one cell after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from lowerbound.data.columns.column import Column
from lowerbound.data.sequences.event_layout import EventLayout
from lowerbound.errors import UnsupportedError
from lowerbound.likelihoods.base import Likelihood, at_least_float32
from lowerbound.likelihoods.columns.group import COLUMN_FAMILIES, ColumnsOfCodes
from lowerbound.likelihoods.columns.histogram import HistogramColumns
from lowerbound.networks.events import Described, HistoryDecoder, Places
from lowerbound.trace import Emission

FLOOR = 1e-2  # model units; largest width of the cell of a frequent value
EMBEDDING = 64  # most levels with a parameter each
Pick = Callable[[Emission], Tensor]


class HistoryEmission(Emission):
    r"""log p(x | z) = sum_t sum_j log p(x_tj | z, x_{<t}, x_{t, <j}), up to the last event.

    A hidden cell is not scored, and later cells see that it is hidden. Events after the last that
    has a cell change nothing. Without a mask, cells that are NaN are hidden.

    A history has no mean. ``mean`` is the history in which every cell has the mean, or the most
    probable level, of its distribution given the cells before; NaN where there is no cell.

    Args:
        likelihood: the network, and the distribution of each cell.
        context: from the decoder, (samples, batch, numbers).
    """

    independent = False

    def __init__(self, likelihood: Histories, context: Tensor) -> None:
        self.likelihood, self.context = likelihood, context
        shape = torch.Size(likelihood.event_shape)
        super().__init__(context.shape[:2], shape, validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        each, places = self._each(x, observed)
        empty = each.new_zeros(*x.shape[:2], len(each), x.shape[2])
        filled = empty.index_put((places.row, places.place), each.transpose(0, 1))
        return filled.permute(2, 0, 1, 3)

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        each, places = self._each(x, observed)
        return each.new_zeros(len(each), len(x)).index_add(1, places.row, each.sum(-1))

    def given(self, x: Tensor, observed: Tensor) -> Emission:
        """Refused: a cell given later cells has no formula.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "hidden cells are drawn from p(x | z), and the cells of a history also depend on each "
            "other: load the events as a table of rows, without an entity, and fit that"
        )

    def _each(self, x: Tensor, observed: Tensor | None) -> tuple[Tensor, Places]:
        """log p of the cells of all events, (samples, events, features), and where they are."""
        seen = ~x.isnan() if observed is None else observed
        return self.likelihood.terms(torch.where(seen, x, 0.0), seen, self.context)

    @property
    def mean(self) -> Tensor:
        drawn = self.likelihood.draw(self.context.flatten(0, 1), lambda emission: emission.mean)
        return drawn.view(*self.batch_shape, *self.event_shape)

    @property
    def variance(self) -> Tensor:
        raise UnsupportedError("a history of events has no variance: draw histories and compare")

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        shape = sample_shape + self.batch_shape
        rows = self.context.expand(*shape, -1).reshape(-1, self.context.shape[-1])
        drawn = self.likelihood.draw(rows, lambda emission: emission.sample())
        return drawn.view(*shape, *self.event_shape)


class Histories(Likelihood):
    """Each cell of a history given the context, the events before and the cells before it.

    Levels have a probability each, and numbers a histogram. Numbers in whole steps have a
    probability, other numbers a density.

    Args:
        columns: the features that vary, in the order of the layout.
        layout: which features an event has.
        horizon: most events of a drawn history.
        context: numbers that the decoder returns.
        cells: most cells of a histogram.
        hidden, width, vectors, dropout: as of ``HistoryDecoder``.
    """

    mass = False
    clock: Tensor

    def __init__(
        self,
        columns: Sequence[Column],
        layout: EventLayout,
        horizon: int,
        *,
        context: int,
        cells: int,
        hidden: int,
        width: int,
        vectors: int,
        dropout: float,
    ) -> None:
        super().__init__((horizon, len(columns)))
        self.layout, self.context = layout, context
        self.groups = nn.ModuleList(
            _cell(column, place in layout.grid, cells) for place, column in enumerate(columns)
        )
        groups = list(self._groups())
        self.counts = [group.code_counts[0] for group in groups]
        self.network = HistoryDecoder(
            self.counts,
            [group.numbers for group in groups],
            context,
            hidden=hidden,
            width=width,
            vectors=vectors,
            dropout=dropout,
        )
        # mean and standard deviation of the time of an event, in steps after the earliest
        self.register_buffer("clock", torch.tensor([0.0, 1.0], dtype=torch.float64))

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        return (self.context,)

    def forward(self, parameters: Tensor) -> HistoryEmission:
        return HistoryEmission(self, at_least_float32(parameters))

    @torch.no_grad()
    def fit_cells(self, x: Tensor, seen: Tensor) -> None:
        """Fit the cells of histograms, and start every feature at its marginal.

        Args:
            x, seen: training histories, (rows, events, features).
        """
        for place, group in enumerate(self._groups()):
            values = x[..., place][seen[..., place]].double().unsqueeze(1)
            if len(values):
                group.initialize(values)
                head = self.network.heads[place]
                assert isinstance(head, nn.Linear)
                head.bias.copy_(group.initial_bias(values))
        times = self._steps(x, seen)[seen.any(2)]
        self.clock.copy_(torch.stack([times.mean(), times.std().clamp_min(1e-6)]))

    def described(self, x: Tensor, seen: Tensor) -> Described:
        """Histories, (rows, events, features), hidden cells zero, as codes and numbers."""
        codes = [g.codes(x[..., i : i + 1]) for i, g in enumerate(self._groups())]
        code = torch.where(seen, torch.cat(codes, -1), 0)
        count = torch.tensor(self.counts, device=x.device, dtype=x.dtype)
        numbers = (code + 0.5) / count - 0.5
        time = self._standard(self._steps(x, seen)).to(x.dtype)
        numbers[..., self.layout.start], numbers[..., self.layout.wait] = time, time
        return Described(code, numbers, seen)

    def terms(self, x: Tensor, seen: Tensor, context: Tensor) -> tuple[Tensor, Places]:
        """log p of the cells of all events in nats, (samples, events, features), and their places.

        Args:
            x, seen: histories, (rows, events, features).
            context: (samples, rows, numbers).
        """
        places = Places.of(seen)
        longest = int(places.lengths.max())
        cells = self.described(x[:, :longest], seen[:, :longest]).at(places.row, places.place)
        parameters = self.network(cells, places, context)
        values, known = x[places.row, places.place], seen[places.row, places.place]
        found = [
            group(numbers).terms(values[:, i : i + 1], known[:, i : i + 1])
            for i, (group, numbers) in enumerate(zip(self._groups(), parameters, strict=True))
        ]
        return torch.cat(found, -1), places

    @torch.no_grad()
    def draw(self, context: Tensor, pick: Pick) -> Tensor:
        """Histories, (rows, horizon, features), NaN where there is no cell.

        Args:
            context: (rows, numbers).
            pick: a value of each cell from its distribution.
        """
        return _Drawing(self, context, pick).histories()

    def group(self, feature: int) -> ColumnsOfCodes:
        """The distribution of one feature."""
        group = self.groups[feature]
        assert isinstance(group, ColumnsOfCodes)
        return group

    def standard(self, steps: Tensor) -> Tensor:
        """Times, in steps after the earliest, standardized."""
        return self._standard(steps)

    def _steps(self, x: Tensor, seen: Tensor) -> Tensor:
        """The time of each event in steps after the earliest, (rows, events), float64."""
        clock = slice(self.layout.start, self.layout.wait + 1)
        return torch.where(seen[..., clock], x[..., clock].double(), 0.0).sum(-1).cumsum(-1)

    def _standard(self, steps: Tensor) -> Tensor:
        return (steps - self.clock[0]) / self.clock[1]

    def _groups(self) -> Iterator[ColumnsOfCodes]:
        return (self.group(feature) for feature in range(len(self.groups)))


class _Drawing:
    """Histories that are being drawn; those that ended are set aside.

    Args:
        likelihood: of the cells.
        context: (rows, numbers).
        pick: a value of each cell from its distribution.
    """

    def __init__(self, likelihood: Histories, context: Tensor, pick: Pick) -> None:
        self.likelihood, self.network, self.pick = likelihood, likelihood.network, pick
        self.context = context
        # whole steps above 2**24, such as the seconds of a year, are exact in float64 alone
        shape = (len(context), *likelihood.event_shape)
        self.x = context.new_full(shape, torch.nan, dtype=torch.float64)
        self.alive = torch.arange(len(context), device=context.device)
        self.hidden = self.network.beginning(context)
        self.previous = self.network.before.expand(len(context), -1)
        features = likelihood.event_shape[1]
        self.vectors = context.new_zeros(
            len(context), features, self.network.cells.codes.embedding_dim
        )
        self.steps = context.new_zeros(len(context), dtype=torch.float64)

    def histories(self) -> Tensor:
        """All of them, (rows, horizon, features)."""
        for time in range(self.x.shape[1]):
            if not len(self.alive):
                break
            self._event(time)
        return self.x

    def _event(self, time: int) -> None:
        self.hidden = self.network.recurrent.cell(self.previous, self.hidden)
        state = self.network.seen(self.hidden, self.previous, self.context[self.alive])
        earlier = torch.zeros_like(state)
        lagged = self.network.from_before(self.vectors)
        vectors = []
        for feature in range(self.x.shape[2]):
            known = self._has(feature, time)
            vector, added = self.network.added(
                feature, self._cell(feature, time, known, state, earlier + lagged[:, feature])
            )
            vectors.append(vector)
            earlier = earlier + added
        self.vectors = torch.stack(vectors, 1)
        self.previous = self.network.summary(self.vectors)
        goes_on = torch.nonzero(self.x[self.alive, time, -1] == 0).flatten()
        self.alive, self.previous = self.alive[goes_on], self.previous[goes_on]
        self.hidden, self.steps = self.hidden[goes_on], self.steps[goes_on]
        self.vectors = self.vectors[goes_on]

    def _has(self, feature: int, time: int) -> Tensor:
        """Whether each event has a cell of this feature."""
        layout = self.likelihood.layout
        applies = feature != layout.wait if time == 0 else feature > layout.start
        known = torch.full_like(self.alive, applies, dtype=torch.bool)
        if applies and feature - 1 in layout.gates:
            known = known & (self.x[self.alive, time, feature - 1] == 1)
        return known

    def _cell(
        self, feature: int, time: int, known: Tensor, state: Tensor, earlier: Tensor
    ) -> Described:
        """Draw one feature of all events that have it."""
        group, layout = self.likelihood.group(feature), self.likelihood.layout
        codes = torch.zeros_like(self.alive)
        numbers = state.new_zeros(len(self.alive))
        rows = torch.nonzero(known).flatten()
        if len(rows):
            parameters = self.network.parameters_of(feature, state[rows], earlier[rows])
            value = self.pick(group(parameters.double().unsqueeze(0)))[0]
            if feature == self.x.shape[2] - 1 and time == self.x.shape[1] - 1:
                value = torch.ones_like(value)
            if feature in layout.grid:
                value = value.round()
            code = group.codes(value)[:, 0]
            self.x[self.alive[rows], time, feature] = value[:, 0]
            codes[rows] = code
            numbers[rows] = ((code + 0.5) / self.likelihood.counts[feature] - 0.5).to(numbers)
            if feature in (layout.start, layout.wait):
                self.steps[rows] += value[:, 0].double()
                numbers[rows] = self.likelihood.standard(self.steps[rows]).to(numbers)
        return Described(codes, numbers, known)


def _cell(column: Column, grid: bool, cells: int) -> ColumnsOfCodes:
    """The distribution of one feature; numbers in whole steps are counted."""
    if grid:
        return HistogramColumns([replace(column, kind="count")], cells, FLOOR, signed=True)
    family = COLUMN_FAMILIES[column.rules.table_family]
    group = family.of([column], FLOOR, EMBEDDING if column.levels else cells)
    assert isinstance(group, ColumnsOfCodes)
    return group
