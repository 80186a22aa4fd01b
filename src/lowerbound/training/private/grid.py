"""The values of a column as codes, from a declaration of its range or categories, and back.

The range of a column of numbers, and what its bins should be, may come from noisy counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from lowerbound.config import from_mapping
from lowerbound.data.arrays import Array
from lowerbound.data.columns.dates import DAY, ISO, check_format, seconds
from lowerbound.data.columns.values import (
    EXACT,
    finite_numbers,
    is_range,
    level_codes,
    level_name as level_name,
)
from lowerbound.data.tables.declared import check_declaration
from lowerbound.errors import DataError
from lowerbound.training.private.declarations import cell_days, written_dates

MOST_WHOLE = 128  # whole numbers in a range up to which each has its own bin
BINS = 64  # of the histogram of a range
LINEAR_PART = 1 / 2_000  # of a logarithmic range: how far its bins are evenly spaced
SKEWED = 0.05  # of the range: a median below it makes bins logarithmic
DISTINCT = 1_000  # numbers that are drawn from a bin, at least
ATOM_WIDTH = 1e-9  # below this width a bin is a single number
FIELDS = ("kind", "levels", "low", "high", "atom", "whole", "missing", "log", "format")
OCTAVES = 61  # powers of two above and below one; whole numbers then fit 64 bits
SIDE = 2 * OCTAVES + 1  # octaves of positive numbers
CELLS = 2 * (2 * SIDE + 1) + 1  # of whole numbers, of fractions, and "missing"
QUERIES = 3  # noisy histograms for a range
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


@dataclass(frozen=True, eq=False)
class Grid:
    """The codes of one column: its levels or its bins, and "missing" where cells may lack.

    Attributes:
        name: of the column.
        levels: the categories; empty for numbers.
        edges: of the bins, increasing; a bin contains its lower edge; days since 1970 of dates.
        dates: the format of dates; "" for others.
        whole: whether values are whole numbers.
        missing: whether the last code is "missing".
    """

    name: str
    levels: tuple[Any, ...] = ()
    edges: tuple[float, ...] = ()
    whole: bool = False
    missing: bool = False
    dates: str = ""

    @classmethod
    def of(cls, name: str, said: Mapping[str, Any]) -> Grid:
        """The grid of a declared column; see ``lowerbound.data.tables.declared``.

        Raises:
            DataError: the declaration lacks a field, or has an unknown one, or a wrong value.
        """
        unknown = [field for field in said if field not in FIELDS]
        if unknown:
            raise DataError(
                f"the declaration of column {name!r} has an unknown field: {unknown[0]!r}"
            )
        check_declaration(name, said)
        lacking = bool(said.get("missing", False))
        if "levels" in said:
            return cls(name, tuple(said["levels"]), missing=lacking)
        low, high, dates = said.get("low"), said.get("high"), ""
        if isinstance(low, str) and isinstance(high, str):
            dates = said.get("format") or ISO
            low, high = seconds([low, high], ISO) / DAY
        if low is None or high is None or not is_range(low, high):
            raise DataError(f"declare column {name!r} with levels, or with numbers low < high")
        whole = bool(said.get("whole", bool(dates) or said.get("kind") == "count"))
        if whole and said.get("kind") == "count":
            low, high = math.ceil(low), math.floor(high)
            if low > high:
                raise DataError(f"no whole number lies in the declared range of {name!r}")
        edges = bin_edges(float(low), float(high), whole, bool(said.get("log", False)))
        atom = said.get("atom")
        if atom is not None:
            edges = np.union1d(edges, [atom, atom + 1 if whole else np.nextafter(atom, np.inf)])
        return cls(name, edges=tuple(edges.tolist()), whole=whole, missing=lacking, dates=dates)

    @property
    def size(self) -> int:
        """Number of codes."""
        return (len(self.levels) or len(self.edges) - 1) + self.missing

    @property
    def ordered(self) -> bool:
        """Whether neighboring codes are similar."""
        return not self.levels

    def encode(self, series: Any) -> Array:
        """The code of each cell, (rows,); numbers outside the range count as its ends, unknown
        levels as missing.

        Raises:
            DataError: a cell is missing, and the declaration does not say that cells may be.
        """
        if self.levels:
            values = level_codes(series, self.name, self.levels)
        else:
            values = self._numbers(series)
            inside = np.clip(values, self.edges[0], self.edges[-2])
            bins = np.searchsorted(self.edges, inside, side="right") - 1
            values = np.where(np.isnan(values), np.nan, bins)
        gone = np.isnan(values)
        if gone.any() and not self.missing:
            row = int(np.flatnonzero(gone)[0])
            raise DataError(
                f"column {self.name!r} has no declared value in {int(gone.sum()):,} rows (first in "
                f'row {row}, counted from 0): add "missing": true, or the level'
            )
        return np.where(gone, self.size - 1, np.where(gone, 0, values)).astype(np.int64)

    def check_known(self, series: Any) -> None:
        """Check that values given as conditions are possible.

        Raises:
            DataError: a level was not declared, or a number is outside the range.
        """
        if self.levels:
            known = {level_name(level) for level in self.levels}
            odd = [value for value in series.unique() if level_name(value) not in known]
        else:
            values = self._numbers(series)
            odd = values[(values < self.edges[0]) | (values >= self.edges[-1])].tolist()
        if odd:
            raise DataError(f"column {self.name!r} cannot be {odd[0]!r}: this was not declared")

    def decode(self, codes: Array, uniform: Array) -> Any:
        """A value of each code, a pandas series: a level, or a number evenly drawn from its bin."""
        import pandas as pd

        gone = np.full(len(codes), self.missing) & (codes == self.size - 1)
        if self.levels:
            found = np.array([*self.levels, None], dtype=object)[np.where(gone, -1, codes)]
            return pd.Series(found, name=self.name).infer_objects()
        values = self._inside(np.where(gone, 0, codes), uniform)
        if self.dates:
            written = written_dates(values, self.dates, self.whole)
            return pd.Series(written, name=self.name).mask(gone)
        if self.whole and not self.missing:
            return pd.Series(values.astype(np.int64), name=self.name)
        series = pd.Series(np.where(gone, np.nan, values), name=self.name)
        return series.astype("Int64") if self.whole else series

    def _inside(self, code: Array, uniform: Array) -> Array:
        """Numbers evenly drawn from bins; a bin says nothing of further digits."""
        edges = np.array(self.edges)
        low, width = edges[:-1], np.diff(edges)
        width = np.where(width < ATOM_WIDTH, 0.0, width)
        if self.whole:
            return np.asarray(np.floor(low[code] + uniform * width[code]))
        with np.errstate(divide="ignore"):
            unit = 10.0 ** np.ceil(np.log10(DISTINCT / width))
        unit = np.where(width > 0, unit, 1.0)
        first, last = np.ceil(low * unit), np.ceil(edges[1:] * unit)
        short = (width > 0) & (np.maximum(abs(first), abs(last)) < EXACT)
        number = first[code] + np.floor(uniform * (last - first)[code])
        values = np.where(short[code], number / unit[code], low[code] + uniform * width[code])
        return np.asarray(np.clip(values, low[code], np.nextafter(edges[1:], -np.inf)[code]))

    def _numbers(self, series: Any) -> Array:
        return cell_days(series, self.dates) if self.dates else finite_numbers(series)

    def log_widths(self) -> Array:
        """Logarithm of the width of each code's bin, (codes,): log p of a number is log p of its
        bin less this; 0 for levels, for whole numbers in unit bins, and for missing cells."""
        if self.levels:
            return np.zeros(self.size)
        widths = np.diff(self.edges)
        # an atom's bin is a single number, whose probability is a mass
        widths = np.where(widths < ATOM_WIDTH, 1.0, widths)
        return np.append(np.log(widths), [0.0] * self.missing)

    def to_mapping(self) -> dict[str, Any]:
        """JSON values."""
        return {**vars(self), "levels": list(self.levels), "edges": list(self.edges)}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Grid:
        """Read the values of ``to_mapping``.

        Raises:
            DataError: its edges do not increase, it has neither levels nor edges, or a level is a
                list.
            OptionError: a field is unknown or of another type, or the format of dates is wrong.
        """
        found = from_mapping(cls, mapping)
        increasing = bool((np.diff(found.edges) > 0).all()) and len(found.edges) > 1
        if found.levels == () and not increasing:
            raise DataError(f"the edges of column {found.name!r} do not increase")
        if any(isinstance(level, list | tuple | dict) for level in found.levels):
            raise DataError(f"a level of column {found.name!r} is neither text nor a number")
        if found.dates:
            check_format(found.dates)
        return found


def bin_edges(low: float, high: float, whole: bool, logarithmic: bool) -> Array:
    """Bins from low to high, both included."""
    end = high + 1 if whole else np.nextafter(high, np.inf)
    if whole and high - low < MOST_WHOLE:
        return np.arange(low, high + 2)
    if not logarithmic:
        edges = np.linspace(low, end, BINS + 1)
    else:
        width = (high - low) * LINEAR_PART
        steps = np.expm1(np.linspace(0, np.log1p((end - low) / width), BINS + 1))
        edges = low + width * steps
        edges[-1] = end
    return np.unique(np.rint(edges)) if whole else np.unique(edges)


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
