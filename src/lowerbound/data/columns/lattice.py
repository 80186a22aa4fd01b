r"""What values a column of numbers can have: its resolution, and wide gaps between its values.

Whole numbers, cents or days stay so, and no row of the same table is expected in a gap. If the
density inside a spacing of width w were at least that of the m spacings beside it, whose sum is s,
its width would be at least w with the probability

.. math:: P(W \ge w) = (1 + w / s)^{-m}.

A gap is sure if this is small on both sides, each for one of a few m. A long spacing of a tail is
none, since the values beyond it are even rarer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError

BESIDE = (4, 8, 16, 32, 64)  # spacings that one is compared with
CHANCE = 0.1  # that any spacing of a column without gaps is taken for one
MARGIN = 0.25  # most of a gap's width that each side leaves to the values beside it
MOST_DECIMALS = 9
EXACT = 2**53  # whole numbers of a float64 up to which each has its own value
ROUNDING = 1e-6  # of a step
MOST_DIGITS = 15  # of a decimal number that float64 always returns
COARSE = 8  # decimals or digits that float32 numbers rarely have
SPACINGS = 4.0  # of float32 numbers, in the finest step that counts
WRITTEN = 1e-14  # relative error of a float32 number in 15 digits
LOOKED_AT = 100  # numbers, which soon show whether a column has more digits


@dataclass(frozen=True)
class Gaps:
    """Gaps of one column, the surest first.

    Attributes:
        places: index of the value below each gap, (gaps,).
        margins: shares of the gap's width next to the value below and to the one above in which
            rows are expected: a mean spacing of the values there, (gaps, 2).
    """

    places: Array
    margins: Array


def sure_gaps(distinct: Array, frequent: Array) -> Gaps:
    """The gaps of a column.

    Args:
        distinct: its values, increasing, (values,), units of the table.
        frequent: which of them repeat so often that they need no values beside them; between two of
            these is no gap, since their column may have steps.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        below, margin_below = _compared(distinct, frequent)
        above, margin_above = _compared(-distinct[::-1], frequent[::-1])
    log_chance = np.nan_to_num(np.maximum(below, above[::-1]), neginf=0.0)  # two repeated values
    limit = np.log(CHANCE / (len(BESIDE) * max(1, len(log_chance))))
    places = np.argsort(log_chance, kind="stable")[: int((log_chance < limit).sum())]
    margins = np.stack([margin_below, margin_above[::-1]], 1)[places]
    return Gaps(places, np.minimum(margins, MARGIN))


def _compared(distinct: Array, frequent: Array) -> tuple[Array, Array]:
    """(log of the probability of each spacing, from those below it; their mean width over its own),
    (spacings,) each."""
    width = np.diff(distinct)
    log_chance, margin = np.zeros(len(width)), np.ones(len(width))
    for count in BESIDE:
        ratio = width[count:] / (distinct[count:-1] - distinct[: -1 - count])
        found = np.nan_to_num(-count * np.log1p(ratio))
        surer = found < log_chance[count:]
        margin[count:][surer] = 1 / (count * ratio[surer])
        log_chance[count:][surer] = found[surer]
    own = frequent[:-1] & (width > 0)
    return np.where(own, -np.inf, log_chance), np.where(own, 0.0, margin)


@dataclass(frozen=True)
class Lattice:
    """The numbers offset + k step, k whole; a step of 0 stands for all numbers.

    Attributes:
        step: distance of two neighbors.
        offset: one of the numbers.
        decimals: of their decimal notation, which are exact after rounding.
        digits: most significant digits of the numbers, if the step is 0, or of single ones; 0: any.
        single: whether each number is the float32 that is nearest to offset + k step, as in files
            of statistics programs, where 690.2 is 690.200012207031.

    Raises:
        OptionError: a number is not finite, the step is negative, or the decimals are too many.
    """

    step: float = 0.0
    offset: float = 0.0
    decimals: int = 0
    digits: int = 0
    single: bool = False

    def __post_init__(self) -> None:
        finite = np.isfinite([self.step, self.offset]).all()
        known = 0 <= self.decimals <= MOST_DECIMALS and 0 <= self.digits <= MOST_DIGITS
        if not finite or self.step < 0 or not known:
            raise OptionError(
                f"the resolution of a column is a step of 0 or more, an offset and 0 to "
                f"{MOST_DECIMALS} decimals, or 0 to {MOST_DIGITS} digits, not {self.step}, "
                f"{self.offset}, {self.decimals} and {self.digits}"
            )

    @classmethod
    def of(cls, values: Array, dtype: str = "float64") -> Lattice:
        """The coarsest lattice that has all values; NaN is ignored.

        Args:
            values: float64.
            dtype: numpy's name of the type in which they are exact.
        """
        distinct = np.unique(values[~np.isnan(values)])
        narrow = np.dtype(dtype if dtype in ("float16", "float32") else "float64")
        for decimals in range(MOST_DECIMALS + 1):
            scaled = np.rint(distinct * 10.0**decimals)
            if not len(scaled) or np.abs(scaled).max() >= EXACT:
                break
            if np.array_equal(np.round(distinct, decimals).astype(narrow), distinct.astype(narrow)):
                return cls._of_whole(scaled.astype(np.int64), decimals)
        return cls(digits=significant_digits(distinct) if narrow == np.float64 else 0)

    @classmethod
    def found(cls, values: Array, dtype: str = "float64") -> Lattice:
        """``of``, or that of the float32 numbers that the values were before they were written in
        decimals, if it is coarser."""
        plain = cls.of(values, dtype)
        short = plain.decimals <= COARSE if plain.step else 0 < plain.digits <= COARSE
        if short or dtype not in ("float64", "str"):
            return plain
        present = values[~np.isnan(values)]
        if not len(present) or not _are_single(present):
            return plain
        digits, single = significant_digits(present), cls.of(present, "float32")
        # float32 numbers have a spacing of their own, which is no resolution of the column
        spacing = np.finfo(np.float32).eps * float(np.median(np.abs(present)))
        if single.step <= SPACINGS * spacing:
            return cls(digits=digits, single=True)
        return replace(single, digits=digits, single=True)

    @classmethod
    def _of_whole(cls, whole: Array, decimals: int) -> Lattice:
        step = int(np.gcd.reduce(np.diff(whole))) if len(whole) > 1 else 1
        unit = 10**decimals
        return cls(step / unit, int(whole[0]) % step / unit, decimals)

    def nearest(self, values: Array) -> Array:
        """The nearest numbers of the lattice."""
        if self.step:
            return self._at(np.rint((values - self.offset) / self.step))
        return self._written(values)

    def at_least(self, values: Array, strictly: bool = False) -> Array:
        """The smallest numbers that are at least, or strictly above, the values."""
        if not self.step:
            return np.nextafter(values, np.inf) if strictly else values
        place = (values - self.offset) / self.step
        if strictly:
            return self._at(np.floor(place + self._error(values)) + 1)
        return self._at(np.ceil(place - self._error(values)))

    def at_most(self, values: Array, strictly: bool = False) -> Array:
        """The largest numbers that are at most, or strictly below, the values."""
        if not self.step:
            return np.nextafter(values, -np.inf) if strictly else values
        place = (values - self.offset) / self.step
        if strictly:
            return self._at(np.ceil(place - self._error(values)) - 1)
        return self._at(np.floor(place + self._error(values)))

    def _at(self, place: Array) -> Array:
        return self._written(np.round(place * self.step + self.offset, self.decimals))

    def _written(self, values: Array) -> Array:
        """The values in the type and the digits in which the numbers were written."""
        if self.single:
            with np.errstate(over="ignore"):
                narrow = values.astype(np.float32).astype(np.float64)
            values = np.where(np.isfinite(narrow), narrow, values)
        return rounded_to_digits(values, self.digits) if self.digits else np.asarray(values)

    def _error(self, values: Array) -> Array | float:
        """How far numbers may be from the lattice, in steps."""
        if not self.single:
            return ROUNDING
        return ROUNDING + np.finfo(np.float32).eps * np.abs(values) / self.step


def _are_single(values: Array) -> bool:
    """Whether values are float32 numbers, up to the digits that were written of them."""
    for some in (values[:LOOKED_AT], values):
        with np.errstate(over="ignore"):
            narrow = some.astype(np.float32).astype(np.float64)
        if not (np.abs(narrow - some) <= WRITTEN * np.abs(some)).all():
            return False
    return True


def significant_digits(values: Array) -> int:
    """The most significant digits of decimal numbers; 0 if some have more than ``MOST_DIGITS``."""
    most = 0
    for some in (values[:LOOKED_AT], values[LOOKED_AT:]):
        for value in some[np.isfinite(some)].tolist():
            mantissa = repr(value).split("e")[0].lstrip("-").replace(".", "")
            most = max(most, len(mantissa.strip("0")))
            if most > MOST_DIGITS:
                return 0
    return most


def rounded_to_digits(values: Array, digits: int) -> Array:
    """Values with that many significant digits, as exact as if they were written so."""
    written = [float(f"{value:.{digits - 1}e}") for value in values.ravel().tolist()]
    return np.array(written, dtype=np.float64).reshape(values.shape)
