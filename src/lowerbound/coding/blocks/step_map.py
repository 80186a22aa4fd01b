r"""The step of each block of a tile: a map of whole numbers, range-coded before the coefficients.

.. math:: \text{level}(b) = \min(\max(\text{level} + u (m(b) - 4), 0), 112), \quad 0 \le m(b) \le 8

The map is coded block by block, row by row. A block's number is predicted from its left and upper
neighbor, and the difference is coded under counts that adapt to the map. The counts are whole
numbers, and each probability is one division of them, so every machine computes the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from lowerbound.coding.stack import constriction
from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError
from lowerbound.models.transform import STEPS

MIDDLE = 4  # entry of a block with the picture's own step
ENTRIES = 2 * MIDDLE + 1
DIFFERENCES = 2 * ENTRIES - 1
CONTEXTS = 3  # distances of the left and the upper neighbor: 0, 1, more
FIRST_COUNTS = {0: 16, -1: 4, 1: 4}  # of differences; 1 for any other
GAIN = 16  # added to the count of a difference when it occurs


def levels_of(entries: Tensor, level: int, unit: int) -> Tensor:
    """The level of each block's step, int64.

    Args:
        entries: the map, 0 to 8.
        level: the picture's own level.
        unit: u, levels per entry.
    """
    return (level + unit * (entries.long() - MIDDLE)).clamp(0, STEPS - 1)


def put_map(coder: Any, entries: Array) -> None:
    """Encode a map (height, width) of entries."""
    counts = _Counts()

    def code(context: int, predicted: int, row: int, column: int) -> int:
        entry = int(entries[row, column])
        symbol = entry - predicted + ENTRIES - 1
        coder.encode(symbol, counts.model(context))
        counts.see(context, symbol)
        return entry

    _walk(entries.shape, code)


def take_map(coder: Any, height: int, width: int) -> Array:
    """Decode the map that ``put_map`` encoded, (height, width) int32.

    Raises:
        BitstreamError: an entry is out of range.
    """
    counts = _Counts()

    def code(context: int, predicted: int, row: int, column: int) -> int:
        symbol = int(coder.decode(counts.model(context)))
        counts.see(context, symbol)
        entry = predicted + symbol - ENTRIES + 1
        if not 0 <= entry < ENTRIES:
            raise BitstreamError("the stream has an invalid map of steps")
        return entry

    return _walk((height, width), code)


def _walk(shape: tuple[int, ...], code: Any) -> Array:
    """The map from ``code(context, predicted, row, column)``, called for each block in order."""
    height, width = shape
    found = np.zeros((height, width), "<i4")
    for row in range(height):
        for column in range(width):
            left = int(found[row, column - 1]) if column else None
            above = int(found[row - 1, column]) if row else None
            known = [entry for entry in (left, above) if entry is not None] or [MIDDLE]
            context = min(abs(known[0] - known[-1]), CONTEXTS - 1)
            found[row, column] = code(context, sum(known) // len(known), row, column)
    return found


class _Counts:
    """Counts of differences by context, and the coder's distributions."""

    def __init__(self) -> None:
        first = [FIRST_COUNTS.get(at - ENTRIES + 1, 1) for at in range(DIFFERENCES)]
        self._counts = np.tile(np.array(first, np.float64), (CONTEXTS, 1))
        self._categorical = constriction().stream.model.Categorical

    def model(self, context: int) -> Any:
        counts = self._counts[context]
        return self._categorical(counts / counts.sum(), perfect=False)

    def see(self, context: int, symbol: int) -> None:
        self._counts[context, symbol] += GAIN
