"""Codes of a column and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest

from lowerbound.training.private.grid import BINS, Grid

DRAWS = 20_000


@pytest.mark.parametrize(
    "said",
    [
        {"low": 0.1666667, "high": 83.5},
        {"low": -1.5, "high": 13.49, "atom": 0.0},
        {"low": 0.0, "high": 1e6, "log": True, "atom": 0.0},
        {"low": 1e12, "high": 1e12 + 3.0},
        {"low": 2e-9, "high": 7e-9},
    ],
)
def test_drawn_numbers_are_short_and_lie_evenly_in_their_bins(said: dict[str, Any]) -> None:
    grid = Grid.of("x", said)
    draw = np.random.default_rng(0)
    codes = draw.integers(0, grid.size, DRAWS)
    made = grid.decode(codes, draw.random(DRAWS))
    assert np.array_equal(grid.encode(made), codes)
    edges = np.array(grid.edges)
    within = (made.to_numpy() - edges[codes]) / np.diff(edges)[codes]
    of_bins = np.diff(edges)[codes] > 1e-9  # an atom is one number
    if of_bins.any():
        assert kstest(within[of_bins], "uniform").statistic < 0.02
    digits = [len(f"{value!r}".replace("-", "").partition("e")[0]) for value in made]
    assert np.median(digits) <= 9 or said["low"] == 1e12


def test_whole_numbers_have_bins_of_whole_numbers() -> None:
    grid = Grid.of("x", {"low": 0, "high": 1_000, "whole": True})
    made = grid.decode(np.arange(BINS), np.linspace(0, 1, BINS, endpoint=False))
    assert made.dtype == np.int64
    assert np.array_equal(grid.encode(made), np.arange(BINS))
