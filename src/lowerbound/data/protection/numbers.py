"""Numbers and dates that few entities have: far values are bounded, isolated ones are moved.

A value that the rows around it make likely, such as an age of 37, is no secret of the few who have
it. Protected are the values beyond the k-th entity from each end, groups of fewer than k entities
between wide gaps, and sparse values that several rows of few entities share: a histogram would draw
each of these exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.lattice import Lattice, sure_gaps
from lowerbound.data.protection.record import People
from lowerbound.data.synthetic.column_form import by_chance

FEW = 4  # rows per distinct value, on average, from which on each may be drawn exactly
SHARE = 0.002  # of the rows with a value, from which on it may be drawn exactly
REPEATED = 5  # rows with a value, at least, that may be drawn exactly
ROUNDS = 5
POWERS = 4  # of ten times the step of a column, whose multiples are compared with each other
ROOM = 0.25  # of the distance from the k-th to the 2k-th entity, by which a bound is rounded


@dataclass(frozen=True, eq=False)
class ProtectedNumbers:
    """The values of a column.

    Attributes:
        values: after the protection, (rows,), NaN where missing.
        low, high: the bounds.
        isolated: how many cells were moved from isolated places.
    """

    values: Array
    low: float
    high: float
    isolated: int


def protected_numbers(
    values: Array, people: People, lattice: Lattice, seed: int = 0
) -> ProtectedNumbers | None:
    """The values of a column, bounded and without isolated ones; None: fewer than ``least``
    entities have any.

    Args:
        values: (rows,), units of the table, NaN where missing.
        people: of the rows.
        lattice: the resolution of the column.
        seed: of the places that isolated values are moved to.
    """
    there = np.isfinite(values)
    some = people.some(there)
    if len(some) < people.least:
        return None
    draw = np.random.default_rng(seed)
    low, high = bounds(values[there], some, lattice)
    bounded = _inside(values[there], high, some, lattice, 1, draw)
    bounded = _inside(bounded, low, some, lattice, -1, draw)
    inner = bounded
    for _ in range(ROUNDS):
        moved = _gathered(inner, some, lattice, draw)
        if moved is None:
            break
        inner = moved
    inner = _spread(inner, some, lattice, draw).clip(low, high)
    found = values.copy()
    found[there] = inner
    return ProtectedNumbers(found, low, high, int((inner != bounded).sum()))


def bounds(values: Array, people: People, lattice: Lattice) -> tuple[float, float]:
    """The smallest and the largest number that may be drawn.

    Each is the value of the k-th entity from its end if k entities have just this one, and else a
    round number inside of it, nearer to it than to the 2k-th entity.
    """
    high = _end(values, people, lattice, 1)
    low = _end(values, people, lattice, -1)
    if low > high:  # fewer than 2k entities
        middle = _round_inside(float(np.median(values)), float(np.ptp(values)) / 10, lattice, 1)
        return middle, middle
    return low, high


def _end(values: Array, people: People, lattice: Lattice, sign: int) -> float:
    order, least = np.argsort(-sign * values, kind="stable"), people.least
    first = np.sort(np.unique(people.of_row[order], return_index=True)[1])
    kth = float(values[order][first[least - 1]])
    if len(people.some(values == kth)) >= least:
        return kth
    inside = float(values[order][first[min(2 * least, len(first)) - 1]])
    return _round_inside(kth, ROOM * abs(inside - kth), lattice, sign)


def _inside(
    values: Array,
    end: float,
    people: People,
    lattice: Lattice,
    sign: int,
    draw: np.random.Generator,
) -> Array:
    """The values without those beyond an end: these are spread between it and the value that k
    entities lie beyond, and one is at the end."""
    far = np.flatnonzero(sign * values > sign * end)
    if not len(far):
        return values
    inner = np.sort(-sign * values[sign * values <= sign * end]) * -sign
    if not len(inner) or (inner[: people.least] == end).sum() >= people.least:
        near = end  # so many have it that it is no one's
    else:
        near = float(inner[min(people.least, len(inner)) - 1])
    found = values.copy()
    found[far] = lattice.nearest(draw.uniform(min(near, end), max(near, end), len(far)))
    found[far[0]] = end
    low, high = min(near, end), max(near, end)
    return np.asarray(np.where(np.isin(np.arange(len(found)), far), found.clip(low, high), found))


def _round_inside(end: float, room: float, lattice: Lattice, sign: int) -> float:
    """A round number strictly inside of an end, at most about ``room`` from it, of the lattice."""
    step, anchor = lattice.step or 0.0, lattice.offset if lattice.step else 0.0
    unit = _nice(room / step) * step if step else _nice(room)
    unit = max(unit, step, np.finfo(np.float64).eps * abs(end))
    place = sign * (end - anchor) / unit
    found = float(anchor + sign * unit * (np.ceil(place - 1e-9) - 1))
    if not step:
        found = float(f"{found:.12g}")  # without the rounding error of the product
    return float(lattice.nearest(np.array([found]))[0])


def _nice(room: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is at most ``room``."""
    if not room > 0 or not np.isfinite(room):
        return 0.0
    power = 10.0 ** np.floor(np.log10(room))
    return float(power * max(each for each in (1, 2, 5) if each * power <= room * (1 + 1e-9)))


@dataclass(frozen=True, eq=False)
class _Distinct:
    """The distinct values of a column, increasing, and the entities of each."""

    values: Array
    place: Array
    people: Array

    @classmethod
    def of(cls, values: Array, people: People) -> _Distinct:
        distinct, place = np.unique(values, return_inverse=True)
        every = np.ones(len(values), dtype=bool)
        return cls(distinct, place, people.counts(place, every, len(distinct)))


def _gathered(
    values: Array, people: People, lattice: Lattice, draw: np.random.Generator
) -> Array | None:
    """The values after those of small groups between wide gaps were moved; None: there are none."""
    known, least = _Distinct.of(values, people), people.least
    gaps = np.sort(sure_gaps(known.values, known.people >= least).places)
    group = np.searchsorted(gaps, np.arange(len(known.values)), side="left")[known.place]
    counts = people.counts(group, np.ones(len(values), dtype=bool), len(gaps) + 1)
    small = counts < least
    if not small.any():
        return None
    if small.all():
        # the values of neighbors, ``least`` entities at least, as one round number
        order = np.argsort(values, kind="stable")
        found, start = values.copy(), 0
        ends = _chunks(people.of_row[order], people.least)
        for end in ends:
            rows = order[start:end]
            found[rows] = _round_inside(
                float(np.median(values[rows])), float(np.ptp(values[rows])), lattice, 1
            )
            start = end
        return found
    found, dense = values.copy(), np.sort(values[~small[group]])
    for place in np.flatnonzero(small):
        rows = np.flatnonzero(group == place)
        middle = float(np.median(values[rows]))
        at = int(np.searchsorted(dense, middle))
        below, above = dense[max(0, at - least) : at], dense[at : at + least]
        near_below = len(below) and (not len(above) or middle - below[-1] <= above[0] - middle)
        found[rows] = draw.choice(below if near_below else above, len(rows))
    return found


def _chunks(people: Array, least: int) -> list[int]:
    """Where each part of ``least`` entities or more ends."""
    ends, seen = [], set()
    for place, person in enumerate(people.tolist()):
        seen.add(person)
        if len(seen) == least:
            ends.append(place + 1)
            seen = set()
    ends[-1] = len(people)
    return ends


def _spread(values: Array, people: People, lattice: Lattice, draw: np.random.Generator) -> Array:
    """The values after sparse ones that several rows of few entities share were moved by less than
    the distance to their neighbors."""
    known, least = _Distinct.of(values, people), people.least
    rows = np.bincount(known.place)
    few = FEW * len(known.values) <= len(values)
    drawn = rows >= (1 if few else drawn_from(len(values)))
    rare = drawn & (known.people < least)
    inside = np.arange(len(rare)) % max(1, len(rare) - 1) > 0
    rare &= inside & ~_dense(known, rows, least, lattice)
    if not rare.any():
        return values
    at = np.flatnonzero(rare)
    below, above = known.values[at] - known.values[at - 1], known.values[at + 1] - known.values[at]
    share = draw.uniform(0.1, 0.5, len(at)) * draw.choice([-1, 1], len(at))
    moved = lattice.nearest(known.values[at] + share * np.where(share < 0, below, above))
    same = moved == known.values[at]
    moved[same] = known.values[at][same] + lattice.step * np.sign(share[same])
    found = known.values.copy()
    found[at] = moved
    return np.asarray(found[known.place])


def drawn_from(rows: int) -> float:
    """How many of the rows with a value must share one that a histogram may draw exactly."""
    return max(REPEATED, SHARE * rows)


def _dense(known: _Distinct, rows: Array, least: int, lattice: Lattice) -> Array:
    """Which distinct values have ``least`` rows within as many steps on both sides, and no more
    themselves than by chance. Multiples of ten steps are compared with such multiples: 53.17 among
    tenths is no usual number, and the tenths are."""
    dense = np.zeros(len(rows), dtype=bool)
    for power in range(POWERS if lattice.step else 0):
        step = lattice.step * 10.0**power
        place = (known.values - lattice.offset) / step
        alike = np.flatnonzero(np.abs(place - np.round(place)) < 1e-6)
        values, some = known.values[alike], rows[alike]
        upto = np.concatenate([[0], np.cumsum(some)])
        first = np.searchsorted(values, values - least * step)
        last = np.searchsorted(values, values + least * step, side="right")
        near = upto[last] - upto[first] >= least
        dense[alike] |= near & (some <= np.maximum(1, by_chance(values, some, step)))
    return dense
