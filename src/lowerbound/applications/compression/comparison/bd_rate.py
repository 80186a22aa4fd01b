r"""Mean difference in file size between two codecs at the same quality (BD-rate).

.. math:: \exp\Big(\frac{1}{b - a}\int_a^b \log R_1(q) - \log R_0(q) \,dq\Big) - 1

R is the rate as a function of quality: monotone cubics of log R interpolate the measured points.
Source: Bjontegaard 2001, with the piecewise cubic Hermite interpolation that ITU-T recommends.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowerbound.errors import OptionError

Curve = Sequence[tuple[float, float]]
"""(rate, quality) of a codec at several settings."""

FEWEST = 4


def bd_rate(codec: Curve, anchor: Curve, rates: tuple[float, float] | None = None) -> float:
    """Mean difference in rate between ``codec`` and ``anchor``, as a share; negative if it saves.

    Args:
        codec: at least four points of different rates.
        anchor: reference curve, also of at least four different rates.
        rates: range of the anchor's rates for the mean; None: all qualities that both reach.

    Raises:
        OptionError: too few points, or no quality that both reach.
    """
    from scipy.interpolate import PchipInterpolator

    if min(map(rates_of, (codec, anchor))) < FEWEST:
        raise OptionError(f"a curve has at least {FEWEST} points of different rates")
    (rate, quality), (their_rate, their_quality) = map(_sorted, (codec, anchor))
    low, high = max(quality[0], their_quality[0]), min(quality[-1], their_quality[-1])
    if rates is not None:
        ends = np.interp(rates, their_rate, their_quality)
        low, high = max(low, ends[0]), min(high, ends[1])
    if low >= high:
        raise OptionError("the curves have no quality in common")
    ours = PchipInterpolator(quality, np.log(rate)).integrate(low, high)
    theirs = PchipInterpolator(their_quality, np.log(their_rate)).integrate(low, high)
    return float(np.expm1((ours - theirs) / (high - low)))


def rates_of(curve: Curve) -> int:
    """The number of different rates: a codec at its smallest file repeats a point."""
    return len({rate for rate, _ in curve})


def _sorted(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    rate, quality = np.array(sorted(curve), np.float64).T
    return rate, np.maximum.accumulate(quality) + 1e-9 * np.arange(len(quality))
