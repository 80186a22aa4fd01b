r"""Wide gaps between the values of a column, from which no row of the same table is expected.

If the density inside a spacing of width w were at least that of the m spacings beside it, whose sum
is s, its width would be at least w with the probability

.. math:: P(W \ge w) = (1 + w / s)^{-m}.

A gap is sure if this is small on both sides, each for one of a few m. A long spacing of a tail is
none, since the values beyond it are even rarer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array

BESIDE = (4, 8, 16, 32, 64)  # spacings that one is compared with
CHANCE = 0.1  # that any spacing of a column without gaps is taken for one
MARGIN = 0.25  # most of a gap's width that each side leaves to the values beside it


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
