r"""Rounded logistic variables in whole numbers: tables for a grid of scales and places.

.. math:: q = \lfloor \mu \rfloor + d, \quad d \sim \text{table}(s, \mu - \lfloor \mu \rfloor)

Scales differ by a quarter of an octave, places by a sixteenth of a step. The last entry of a table
stands for all numbers beyond its reach, which are written in 32 bits.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.compression.code_tables import whole_counts
from lowerbound.applications.compression.stack import CodingTable
from lowerbound.data.arrays import Array
from lowerbound.distributions.rounded_logistic import (
    LEAST_LOG_SCALE,
    PLACES,
    SCALES,
    STRIDE,
    RoundedLogistic,
)

REACH = 14.0  # scales to either side with an entry in the table
MOST = 500  # at most, numbers to either side
PLACE_BITS = PLACES.bit_length() - 1  # PLACES is a power of two
LEAST_LOG_SHARE = -16.0  # log probability of all numbers beyond


class Coded(NamedTuple):
    """The table of each number, and the offset of its entries."""

    table: Array  # int32, flat
    first: Array  # int32: the number of the table's entry 0


def reach_of(table: int) -> int:
    """Numbers to either side that have an entry in a table."""
    scale = math.exp(LEAST_LOG_SCALE + (table // PLACES) * STRIDE)
    return min(MOST, math.ceil(REACH * scale) + 2)


def coded_by(expected: RoundedLogistic) -> Coded:
    """The tables of numbers with snapped distributions."""
    sixteenths = (expected.location * PLACES).round_().int().flatten()
    below = sixteenths >> PLACE_BITS
    scale = (expected.log_scale - LEAST_LOG_SCALE).mul_(1 / STRIDE).round_().int().flatten()
    table = scale.mul_(PLACES).add_(sixteenths & (PLACES - 1))
    return Coded(table.numpy(), below.numpy() - REACHES[table.numpy()])


def counts_of(table: int) -> Tensor:
    """Whole numbers that sum to 2 ** 24: one per number within reach, and one for all beyond."""
    scale = math.exp(LEAST_LOG_SCALE + (table // PLACES) * STRIDE)
    place, reach = (table % PLACES) / PLACES, reach_of(table)
    numbers = torch.arange(-reach, reach + 1, dtype=torch.float64)
    expected = RoundedLogistic(
        torch.full((1, 1, len(numbers)), place, dtype=torch.float64),
        torch.full((1, 1, len(numbers)), math.log(scale), dtype=torch.float64),
    )
    known = expected.terms(numbers).flatten()
    beyond = torch.log1p(-known.exp().sum().clamp_max(1.0)).clamp_min(LEAST_LOG_SHARE)
    return whole_counts(torch.cat([known, beyond[None]]))


@lru_cache
def all_counts() -> Tensor:
    """The counts of every table, one after another, int32."""
    return torch.cat([counts_of(table) for table in range(SCALES * PLACES)])


class Tables:
    """The tables of ``all_counts``; the coder's form of each is made when it is first needed.

    Args:
        counts: counts of every table.
    """

    def __init__(self, counts: Tensor) -> None:
        self._counts = counts.split((2 * REACHES + 2).tolist())
        self._made: dict[int, CodingTable] = {}

    def __getitem__(self, table: int) -> CodingTable:
        if table not in self._made:
            self._made[table] = CodingTable(self._counts[table].numpy().astype(np.int64))
        return self._made[table]


REACHES = np.array([reach_of(table) for table in range(SCALES * PLACES)], np.int32)
