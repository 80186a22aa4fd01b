"""How much smaller files are at the same quality: known answers."""

from __future__ import annotations

import math

import pytest

from lowerbound.applications.compression.picture_comparison import bd_rate
from lowerbound.errors import OptionError

CURVE = [(0.2, 28.0), (0.4, 31.0), (0.6, 32.6), (0.9, 34.4), (1.3, 36.2)]


def test_a_curve_against_itself_saves_nothing() -> None:
    assert bd_rate(CURVE, CURVE) == pytest.approx(0.0, abs=1e-9)
    assert bd_rate(CURVE, CURVE, (0.3, 0.9)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("factor", [0.9, 0.5, 1.25])
def test_so_much_of_the_rate_is_so_much_saved(factor: float) -> None:
    other = [(factor * rate, quality) for rate, quality in CURVE]
    assert bd_rate(other, CURVE) == pytest.approx(factor - 1, abs=1e-9)
    assert bd_rate(other, CURVE, (0.3, 0.9)) == pytest.approx(factor - 1, abs=1e-9)


def test_the_known_answer_of_straight_lines() -> None:
    """log R = q / 6 and log R = q / 6 - 0.1 at their own points: exp(-0.1) - 1."""
    anchor = [(math.exp(q / 6), q) for q in (28.0, 30.0, 33.0, 36.0)]
    codec = [(math.exp(q / 6 - 0.1), q) for q in (27.0, 31.0, 34.0, 37.0)]
    assert bd_rate(codec, anchor) == pytest.approx(math.expm1(-0.1), abs=1e-6)


def test_a_range_of_rates_leaves_out_what_is_beyond_it() -> None:
    """10 % less on the straight part, and far less at both ends."""
    anchor = [(math.exp(q / 6), q) for q in (20.0, 28.0, 30.0, 32.0, 34.0, 36.0, 44.0)]
    saved = {20.0: 1.0, 44.0: 1.0}
    codec = [(rate * math.exp(-saved.get(q, 0.1)), q) for rate, q in anchor]
    rates = math.exp(30 / 6), math.exp(34 / 6)
    assert bd_rate(codec, anchor, rates) == pytest.approx(math.expm1(-0.1), abs=1e-6)
    assert bd_rate(codec, anchor) < 2 * math.expm1(-0.1)
    shorter = codec[1:-1]
    everything = anchor[0][0], anchor[-1][0]
    assert bd_rate(shorter, anchor, everything) == bd_rate(shorter, anchor)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(OptionError, match="at least 4"):
        bd_rate(CURVE[:3], CURVE)
    for curves in ((CURVE[:1] * 5, CURVE), (CURVE, [*CURVE[:3], *CURVE[:2]])):
        with pytest.raises(OptionError, match="at least 4 points of different rates"):
            bd_rate(*curves)
    with pytest.raises(OptionError, match="in common"):
        bd_rate([(rate, quality - 40) for rate, quality in CURVE], CURVE)
