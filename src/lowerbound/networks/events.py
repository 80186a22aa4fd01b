"""Networks over histories of events: an encoder, and a decoder of one event after another.

The cells of an event are described by three numbers each: a code, a number, and whether it is
there. A code has a learned vector, to which the number adds a multiple of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.base import Encoder
from lowerbound.networks.initialization import QUIET, linear


@dataclass(frozen=True)
class Described:
    """Cells of events.

    Attributes:
        codes: long, (..., features).
        numbers: like codes.
        known: whether there is such a cell, like codes.
    """

    codes: Tensor
    numbers: Tensor
    known: Tensor

    def packed(self) -> Tensor:
        """One tensor of real numbers, (..., 3 * features)."""
        known = self.known.to(self.numbers.dtype)
        return torch.cat([self.codes.to(self.numbers.dtype), self.numbers, known], -1)

    @classmethod
    def unpacked(cls, values: Tensor) -> Described:
        """The inverse of ``packed``."""
        codes, numbers, known = values.chunk(3, -1)
        return cls(codes.long(), numbers, known > 0)

    def at(self, row: Tensor, place: Tensor) -> Described:
        """The events at these places of histories."""
        each = (self.codes, self.numbers, self.known)
        return Described(*(values[row, place] for values in each))


class CellVectors(nn.Module):
    """A vector for each cell of an event, (events, features, width).

    Args:
        counts: number of codes of each feature.
        width: of a vector.
    """

    offset: Tensor

    def __init__(self, counts: Sequence[int], width: int) -> None:
        super().__init__()
        offset = torch.tensor([0, *counts]).cumsum(0)[:-1]
        self.register_buffer("offset", offset, persistent=False)
        self.codes = nn.Embedding(sum(counts), width)
        self.slope = nn.Parameter(torch.randn(len(counts), width))
        self.hidden = nn.Parameter(torch.zeros(len(counts), width))

    def forward(self, cells: Described) -> Tensor:
        vectors: Tensor = self.codes(cells.codes + self.offset)
        vectors = vectors + cells.numbers.unsqueeze(-1).to(vectors.dtype) * self.slope
        return torch.where(cells.known.unsqueeze(-1), vectors, self.hidden)

    def one(self, feature: int, cells: Described) -> Tensor:
        """The vectors of one feature, (events, width); the cells are (events,)."""
        vectors: Tensor = self.codes(cells.codes + self.offset[feature])
        vectors = vectors + cells.numbers.unsqueeze(-1).to(vectors.dtype) * self.slope[feature]
        return torch.where(cells.known.unsqueeze(-1), vectors, self.hidden[feature])


@dataclass(frozen=True)
class Places:
    """Where the events of a batch are, one row's events after another's.

    Attributes:
        row: of each event, (events,).
        place: of each event in its row, (events,).
        lengths: events of each row, at least one, (rows,).
    """

    row: Tensor
    place: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, known: Tensor) -> Places:
        """The events of histories, up to the last of each that has a cell.

        Args:
            known: which cells there are, (rows, events, features).
        """
        lengths = lengths_of(known)
        there = torch.arange(known.shape[1], device=known.device) < lengths.unsqueeze(1)
        row, place = torch.nonzero(there, as_tuple=True)
        return cls(row, place, lengths)

    @property
    def reversed(self) -> Places:
        """The same events, each history from its end."""
        return Places(self.row, self.lengths[self.row] - 1 - self.place, self.lengths)

    @property
    def last(self) -> Tensor:
        """The last event of each row, (rows,)."""
        return self.lengths.cumsum(0) - 1

    def repeated(self, samples: int) -> Places:
        """The same histories that many times, one copy after another."""
        copy = torch.arange(samples, device=self.row.device).unsqueeze(1) * len(self.lengths)
        return Places(
            (copy + self.row).flatten(), self.place.repeat(samples), self.lengths.repeat(samples)
        )


class Recurrence(nn.Module):
    """A gated recurrent unit over histories of different length, without padding.

    Args:
        inputs: numbers of an event.
        hidden: units.

    Source: Cho et al. 2014.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.cell = nn.GRUCell(inputs, hidden)

    def forward(self, events: Tensor, places: Places, start: Tensor | None = None) -> Tensor:
        """The state after each event, (events, hidden), from the state before the first."""
        rank = places.lengths.argsort(descending=True, stable=True).argsort()
        order = (places.place * len(rank) + rank[places.row]).argsort()
        alive = torch.bincount(places.place).tolist()
        state = events.new_zeros(len(rank), self.hidden) if start is None else start
        state = state[rank.argsort()]
        states = []
        for inputs in events[order].split(alive):  # histories that go on are the first
            state = self.cell(inputs, state[: len(inputs)])
            states.append(state)
        return torch.cat(states)[order.argsort()]


class HistoryEncoder(Encoder):
    """Events to the numbers of a posterior, by a recurrent network in both directions.

    Args:
        counts: number of codes of each feature.
        numbers: of the posterior.
        vectors: width of the vector of a cell.
        hidden: units of the recurrent network, both directions together.
    """

    condition_dim = 0

    def __init__(self, counts: Sequence[int], numbers: int, *, vectors: int, hidden: int) -> None:
        super().__init__()
        half = (hidden + 1) // 2
        self.cells = CellVectors(counts, vectors)
        self.first = linear(len(counts) * vectors, hidden)
        self.forth, self.back = Recurrence(hidden, half), Recurrence(hidden, half)
        self.last = linear(4 * half, numbers, QUIET)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x: described events, (rows, events, 3 * features)."""
        cells = Described.unpacked(x)
        places = Places.of(cells.known)
        events = F.silu(self.first(self.cells(cells.at(places.row, places.place)).flatten(1)))
        forth, back = self.forth(events, places), self.back(events, places.reversed)
        both = torch.cat([forth, back], 1)
        total = both.new_zeros(len(x), both.shape[1]).index_add(0, places.row, both)
        last, first = places.last, places.last - places.lengths + 1
        mean = total / places.lengths.unsqueeze(1)
        numbers: Tensor = self.last(torch.cat([mean, forth[last], back[first]], 1))
        return numbers


def lengths_of(known: Tensor) -> Tensor:
    """Events of each row up to the last that has a cell, at least one, (rows,)."""
    place = torch.arange(1, known.shape[1] + 1, device=known.device)
    return (known.any(2) * place).amax(1).clamp_min(1)


class HistoryDecoder(nn.Module):
    r"""The parameters of each cell given the context, the events before, and the cells before it.

    .. math::
        h_t = \mathrm{GRU}(h_{t-1}, e_{t-1}), \qquad
        a_{tj} = A [h_t, e_{t-1}, c] + u_j + C_j v_{t-1,j} + \sum_{i<j} B_i v_{ti}

    where v are the vectors of cells, e_t is a function of those of event t, and c is the context. A
    residual block and a map of the feature's own make the parameters of cell j from a. C alone is a
    Markov chain of each column; it starts at zero.

    Args:
        counts: number of codes of each feature.
        numbers: parameters of each feature.
        context: numbers of c.
        hidden: units of the recurrent network.
        width: numbers of a.
        vectors: width of the vector of a cell.
        dropout: share of the numbers of h that are left out in training.
    """

    def __init__(
        self,
        counts: Sequence[int],
        numbers: Sequence[int],
        context: int,
        *,
        hidden: int,
        width: int,
        vectors: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.cells = CellVectors(counts, vectors)
        self.event = linear(len(counts) * vectors, hidden)
        self.before = nn.Parameter(torch.zeros(hidden))  # e of no event
        self.begin = linear(context, hidden)
        self.recurrent = Recurrence(hidden, hidden)
        self.drop = nn.Dropout(dropout)
        self.state = linear(2 * hidden + context, width)
        self.column = nn.Parameter(torch.zeros(len(counts), width))
        self.earlier = nn.Parameter(torch.randn(len(counts), vectors, width) / vectors**0.5)
        self.lagged = nn.Parameter(torch.zeros(len(counts), vectors, width))
        self.norm = nn.LayerNorm(width)
        self.wide = linear(width, 2 * width)
        self.narrow = linear(2 * width, width, 0.0)
        self.heads = nn.ModuleList(linear(width, count, 0.0) for count in numbers)

    def forward(self, cells: Described, places: Places, context: Tensor) -> list[Tensor]:
        """The parameters of each feature, (samples, events, numbers) each.

        Args:
            cells: of the events, (events, features).
            places: of the events.
            context: (samples, rows, numbers).
        """
        samples = len(context)
        vectors = self.cells(cells)
        event = torch.cat([self.before.unsqueeze(0), self.summary(vectors)])
        number = torch.arange(len(vectors), device=context.device)
        previous = event[torch.where(places.place == 0, 0, number)]
        inputs, copies = previous.repeat(samples, 1), places.repeated(samples)
        hidden = self.recurrent(inputs, copies, self.beginning(context.flatten(0, 1)))
        hidden, inputs = (each.unflatten(0, (samples, -1)) for each in (hidden, inputs))
        state = self.seen(hidden, inputs, context[:, places.row])
        added = torch.einsum("nfv,fvw->nfw", vectors, self.earlier)
        earlier = added.cumsum(1) - added + self.from_before(self.shifted(vectors, places))
        return [
            self.parameters_of(feature, state, earlier[:, feature])
            for feature in range(len(self.heads))
        ]

    def shifted(self, vectors: Tensor, places: Places) -> Tensor:
        """The vectors of the event before, (events, features, vectors); zero at first events."""
        before = torch.roll(vectors, 1, 0)
        return torch.where((places.place == 0)[:, None, None], 0.0, before)

    def from_before(self, vectors: Tensor) -> Tensor:
        """What the vectors of the event before add to each feature, (events, features, width)."""
        return torch.einsum("nfv,fvw->nfw", vectors, self.lagged)

    def summary(self, vectors: Tensor) -> Tensor:
        """e of events, (events, hidden), from the vectors of their cells."""
        return F.silu(self.event(vectors.flatten(1)))

    def beginning(self, context: Tensor) -> Tensor:
        """h before the first event, (rows, hidden)."""
        return torch.tanh(self.begin(context))

    def seen(self, hidden: Tensor, previous: Tensor, context: Tensor) -> Tensor:
        """A [h, e, c], (..., width)."""
        state: Tensor = self.state(torch.cat([self.drop(hidden), previous, context], -1))
        return state

    def parameters_of(self, feature: int, state: Tensor, earlier: Tensor) -> Tensor:
        """The parameters of one feature, (..., numbers).

        Args:
            feature: its index.
            state: from ``seen``.
            earlier: what the cells before it add, broadcastable to ``state``.
        """
        a = state + self.column[feature] + earlier
        a = a + self.narrow(F.silu(self.wide(self.norm(a))))
        parameters: Tensor = self.heads[feature](F.silu(a))
        return parameters

    def added(self, feature: int, cells: Described) -> tuple[Tensor, Tensor]:
        """The vectors of one feature, (events, vectors), and what they add to later ones."""
        vector = self.cells.one(feature, cells)
        return vector, vector @ self.earlier[feature]
