"""The range of a column of numbers from noisy counts: its ends, and what its bins should be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from lowerbound.data.arrays import Array
from lowerbound.training.private.marginals.grid import MOST_WHOLE, SKEWED, bin_edges

OCTAVES = 61  # powers of two above and below one; whole numbers then fit 64 bits
SIDE = 2 * OCTAVES + 1  # octaves of positive numbers
CELLS = 2 * (2 * SIDE + 1) + 1  # of whole numbers, of fractions, and "missing"
QUERIES = 3
CHANCE = 1e-3  # that noise alone exceeds the limit in some cell of the octaves
CHANCE_INSIDE = 0.05  # the same for the bins of the range that the octaves gave
OUTSIDE = 1 / 4  # of the rows: the most that may lie beyond either end of a range
CHANCE_OUTSIDE = 0.01  # that more lie there, although noisy counts say otherwise
MOST = 0.55  # of the rows, that surely lie in the octaves: half, and what choosing them adds
NEAR = 5  # octaves below the largest numbers, which hold most rows even if they are not seen
ATOM_SHARE = 0.1  # of the rows, from which zero is an atom
NARROWER = 1 / 4  # of the width, below which the found range is measured anew
DIGITS = 4  # of an end that is a fraction: it moves by at most a thousandth
ERRORS = 1e-14  # relative rounding errors of the edges of bins
FINEST = 1e9  # times the width of a range: numbers from which the ends keep all digits
CLEAR = 2.0  # deviations of noise below which a bin does not count for the median
WHOLE = abs(np.arange(-SIDE, SIDE + 1)) > OCTAVES  # octaves with a whole number
WHOLE[SIDE] = True  # zero

Noisy = Callable[[Array], Array]
"""Adds Gaussian noise of a known deviation to counts of disjoint cells."""


@dataclass(frozen=True)
class NumberRange:
    """A range, and facts about the numbers in it, all from noisy counts."""

    low: float
    high: float
    whole: bool
    log: bool
    missing: bool
    atom: float | None = None

    @property
    def declaration(self) -> dict[str, Any]:
        """The range as a declaration; a fit takes small whole numbers as counts."""
        low, high = (int(v) if self.whole else v for v in (self.low, self.high))
        said = {"low": low, "high": high, "whole": self.whole, "log": self.log}
        each = self.whole and high - low < MOST_WHOLE  # each number has a bin
        plain = (self.whole and high - low == 1) or (each and self.atom)
        if self.atom is not None and not plain:
            atom = int(self.atom) if self.whole else self.atom
            return {"kind": "mixed", **said, "atom": atom}
        return {"kind": "count" if each and low >= 0 else "real", **said}


def limit(deviation: float, cells: int = CELLS, chance: float = CHANCE) -> float:
    """The count that noise in this many empty cells exceeds with probability ``chance``."""
    return deviation * float(norm.isf(chance / cells))


def measured_range(values: Array, noisy: Noisy, deviation: float) -> NumberRange | None:
    """The range of numbers from ``QUERIES`` noisy histograms; None if noise hides it.

    1. Cells: zero, the octaves [2^k, 2^(k+1)) of either sign, each apart for whole numbers and
       fractions, and "missing". The outermost cells above ``limit`` are the ends, and ``_covering``
       adds neighbors until most rows are surely inside.
    2. Bins between these ends, as ``Grid`` has them. The outermost windows of bins that noise does
       not explain are the ends, or ends further out, until the rows beyond them are surely few.
    3. The same bins once more, whose mean then counts; or, where the range became much narrower,
       bins of that range.
    4. Ends of fractions become short decimal numbers: the edges of bins have digits that no number
       of the column has.

    Args:
        values: (rows,), NaN where missing.
        noisy: adds noise.
        deviation: of that noise.
    """
    counts = noisy(np.bincount(octave_cells(values), minlength=CELLS).astype(np.float64))
    both = counts[:-1].reshape(2, -1)
    both[0, ~WHOLE] = 0.0  # noise alone
    seen = both > limit(deviation)
    if not seen.any():
        return None
    whole = not seen[1].any()
    rows = len(values) - max(float(counts[-1]), 0.0)
    ends = _covering(both[seen.any(1)], np.asarray(seen.any(0)), deviation, rows, whole)
    if ends is None:
        return None
    low, high = _octave_ends(*ends, whole)
    shares = np.where(seen, both, 0.0).sum(0)
    middle = int(np.searchsorted(shares.cumsum(), shares.sum() / 2)) - SIDE
    log = _is_skewed(sum(_octave(middle)) / 2, low, high)
    known = values[~np.isnan(values)]
    low, high, log = _inside(known, noisy, deviation, rows, (low, high, whole, log))
    if not whole:
        low, high = _short(low, high)
    return NumberRange(
        low,
        high,
        whole,
        log,
        missing=bool(counts[-1] > limit(deviation)),
        atom=0.0 if both[0, SIDE] > ATOM_SHARE * rows else None,
    )


def octave_cells(values: Array) -> Array:
    """The cell of each number, (rows,); see ``measured_range``."""
    gone = np.isnan(values)
    known = np.clip(np.where(gone, 0.0, values), -(2.0**OCTAVES), 2.0**OCTAVES)
    power = np.clip(np.frexp(known)[1] - 1, -OCTAVES, OCTAVES)
    place = np.where(known == 0, 0, np.sign(known) * (power + OCTAVES + 1)).astype(np.int64)
    apart = (known != np.rint(known)) * (2 * SIDE + 1)
    return np.where(gone, CELLS - 1, place + SIDE + apart)


def occupied(noisy: Array, deviation: float, chance: float = CHANCE_INSIDE) -> tuple[int, int]:
    """The outermost bins that noise does not explain; all bins if it explains all.

    Windows of 1, 2, 4, ... bins are tested, because a thin tail is seen only in a wide one. The
    upper end is that of the window with the highest lower edge, where surely something is.
    """
    lengths = [2**power for power in range(int(math.log2(len(noisy))) + 1)]
    score = float(norm.isf(chance / sum(len(noisy) - length + 1 for length in lengths)))
    total = np.append(0.0, noisy.cumsum())
    first, last = (len(noisy), 0), (-1, len(noisy))  # (inner end, outer end) of a window
    for length in lengths:
        sums = total[length:] - total[:-length]
        starts = np.flatnonzero(sums > score * deviation * math.sqrt(length))
        if len(starts):
            lowest, highest = int(starts[0]), int(starts[-1])
            first = min(first, (lowest + length - 1, -lowest), key=lambda window: window[0])
            last = max(last, (highest, highest + length), key=lambda window: window[0])
    return (0 if first[0] == len(noisy) else -first[1]), last[1] - 1


def _covering(
    counts: Array, seen: Array, deviation: float, rows: float, whole: bool
) -> tuple[int, int] | None:
    """The outermost octaves, so far out that most rows are surely inside; None if none are sure.

    An octave below ``limit`` is not seen, and many of them may hold most rows. The ends that were
    seen move outwards, each time so that the number of rows inside becomes surest: by an octave, to
    zero, or to the same numbers of the other sign.

    Args:
        counts: (1 or 2, octaves) noisy, of whole numbers and of fractions.
        seen: (octaves,).
        deviation: of the noise of each count.
        rows: that have a number, about.
        whole: whether numbers are whole, so that no octave below 1 has any.
    """
    places = np.arange(-SIDE, SIDE + 1)
    some = WHOLE | (not whole)
    places, seen, totals = places[some], seen[some], counts.sum(0)[some]
    deviation *= float(norm.isf(CHANCE_OUTSIDE)) * math.sqrt(len(counts))
    end, zero = len(places) - 1, len(places) // 2

    def sure(ends: tuple[int, int]) -> float:
        inside = places[ends[0] : ends[1] + 1]
        near = np.abs(inside) > np.abs(inside).max() - NEAR  # numbers near zero are few
        counted = seen[ends[0] : ends[1] + 1] | near | (inside == 0)
        held = totals[ends[0] : ends[1] + 1][counted]
        return float(held.sum()) - deviation * math.sqrt(counted.sum() + 1)

    first, last = (int(each) for each in np.flatnonzero(seen)[[0, -1]])
    while sure((first, last)) < MOST * rows:
        across = min(first, end - last)
        further = (
            (max(first - 1, 0), last),
            (first, min(last + 1, end)),
            (min(first, zero), max(last, zero)),
            (across, end - across),
        )
        best = max(further, key=sure)
        if sure(best) <= sure((first, last)):
            return None
        first, last = best
    return int(places[first]), int(places[last])


def _widened(
    counts: Array, deviation: float, rows: float, ends: tuple[int, int]
) -> tuple[int, int]:
    """The outermost bins, moved outwards until at most ``OUTSIDE`` of the rows lie beyond each.

    The rows beyond an end are their noisy count, corrected for what is known: all bins together
    hold all rows. The chance is shared by all bins, both ends, and both histograms of a range.
    """
    size = len(counts)
    bins = np.arange(size)  # beyond an end
    score = float(norm.isf(CHANCE_OUTSIDE / (4 * size)))
    # the number of rows with a value is noisy too, which adds at most 2 (bins / size)
    most = score * deviation * np.sqrt(bins * (size - bins + 2) / size)
    most -= bins / size * (counts.sum() - rows)
    below, above = (
        np.append(0.0, side[:-1].cumsum()) + most <= OUTSIDE * rows
        for side in (counts, counts[::-1])
    )
    below[0] = above[0] = True  # nothing lies beyond all bins
    first, last = ends[0], size - 1 - ends[1]
    first, last = (
        int(np.flatnonzero(few[: end + 1])[-1]) for few, end in ((below, first), (above, last))
    )
    return first, size - 1 - last


def _inside(
    values: Array,
    noisy: Noisy,
    deviation: float,
    rows: float,
    said: tuple[float, float, bool, bool],
) -> tuple[float, float, bool]:
    """(low, high, log) of the numbers within a range, by two noisy histograms."""
    low, high, whole, log = said
    edges = bin_edges(low, high, whole, log)
    counts = noisy(_histogram(values, edges))
    first, last = _widened(counts, deviation, rows, occupied(counts, deviation))
    found = _ends(edges, first, last, whole)
    if found[1] - found[0] < NARROWER * (high - low):
        edges = bin_edges(*found, whole, log)
        counts = noisy(_histogram(values, edges))
    else:
        counts = (counts + noisy(_histogram(values, edges))) / 2
        deviation /= math.sqrt(2)
    first, last = _widened(counts, deviation, rows, occupied(counts, deviation))
    low, high = _ends(edges, first, last, whole)
    shares = np.where(counts > CLEAR * deviation, counts, 0.0)
    middle = int(np.searchsorted(shares.cumsum(), shares.sum() / 2))
    return low, high, _is_skewed(float(edges[middle]), low, high)


def _histogram(values: Array, edges: Array) -> Array:
    inside = np.clip(values, edges[0], edges[-2])
    bins = np.searchsorted(edges, inside, side="right") - 1
    return np.bincount(bins, minlength=len(edges) - 1).astype(np.float64)


def _is_skewed(median: float, low: float, high: float) -> bool:
    return median - low < SKEWED * (high - low)


def _ends(edges: Array, first: int, last: int, whole: bool) -> tuple[float, float]:
    return _apart(float(edges[first]), float(edges[last + 1]) - whole, whole)


def _octave_ends(first: int, last: int, whole: bool) -> tuple[float, float]:
    low, high = _octave(first)[0], _octave(last)[1]
    return _apart(low + (whole and first < 0), high - (whole and last > 0), whole)


def _octave(place: int) -> tuple[float, float]:
    """The ends of an octave: place 0 is the number 0, and negative numbers have negative places."""
    if not place:
        return 0.0, 0.0
    power = abs(place) - 1 - OCTAVES
    low = 0.0 if power == -OCTAVES else 2.0**power
    return (low, 2.0 ** (power + 1)) if place > 0 else (-(2.0 ** (power + 1)), -low)


def _short(low: float, high: float) -> tuple[float, float]:
    """The ends, moved outwards to few decimal digits of themselves or of the width.

    A function of the noisy range alone. No end changes its sign or becomes zero.
    """
    return -_short_end(-low, high - low), _short_end(high, high - low)


def _short_end(end: float, width: float) -> float:
    """The smallest number of few digits that is not below the end, but for its rounding errors."""
    scale = min(abs(end), width)
    if not scale or abs(end) > FINEST * scale:  # zero, or a range narrower than rounding errors
        return end
    places = DIGITS - 1 - math.floor(math.log10(scale))
    nearest = round(end, places)
    if math.isclose(nearest, end, rel_tol=0.0, abs_tol=ERRORS * abs(end)):
        return nearest
    return nearest if nearest > end else round(nearest + 10.0**-places, places)


def _apart(low: float, high: float, whole: bool) -> tuple[float, float]:
    """The ends, which differ: a range of one number gets the next one too."""
    if high > low:
        return low, high
    return low, low + 1 if whole or low == 0 else low + abs(low) * 2.0**-20
