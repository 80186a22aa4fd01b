"""In what groups the rows of a stream are put on the stack, and how many of their latents.

What lies on the stack has to lend the latents' bits, and at first nothing lies there. So the first
rows do with fewer levels of latents, the coarsest, at the price of more bits for their numbers;
each leaves the stack higher. Rows after them go in groups, since networks are fast on many rows,
each group a share of the rows before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from lowerbound.coding.files import varint

MOST_TOGETHER = 64  # rows of a group
MOST_DIVISOR = 12  # as a power of two
ALL = 1 << 30  # levels


@dataclass(frozen=True)
class RowGroup:
    """Rows that are pushed together, and how many levels of latents they have, the coarsest."""

    rows: slice
    levels: int = ALL

    @property
    def size(self) -> int:
        """How many rows."""
        return int(self.rows.stop - self.rows.start)


@dataclass(frozen=True)
class StackPlan:
    """What a decoder needs beside the payload.

    Attributes:
        seed: words that a stream begins with.
        divisor: groups are at most the rows before them over 2 ** divisor.
        ramp: how many of the first rows have no latents, one level, two, ...
    """

    seed: int
    divisor: int
    ramp: tuple[int, ...] = ()

    def groups(self, rows: int) -> Iterator[RowGroup]:
        """The groups of so many rows, in the order of pushing."""
        for starts, levels in self._runs(rows):
            yield from (_group(start, starts.step, levels, rows) for start in starts)

    def groups_back(self, rows: int) -> Iterator[RowGroup]:
        """The same in the order of popping; how many rows a file claims takes no memory."""
        for starts, levels in reversed(list(self._runs(rows))):
            yield from (_group(start, starts.step, levels, rows) for start in reversed(starts))

    def _runs(self, rows: int) -> Iterator[tuple[range, int]]:
        """Where groups of one size begin, and their levels; a few dozen whatever the rows."""
        start = 0
        for levels, count in enumerate(self.ramp):
            yield range(start, min(start + count, rows)), levels
            start += count
        while start < rows:
            size = max(1, min(start >> self.divisor, MOST_TOGETHER))
            more = rows if size == MOST_TOGETHER else (size + 1) << self.divisor
            starts = range(start, min(more, rows), size)
            yield starts, ALL
            start = starts[-1] + size

    def beyond(self, other: StackPlan) -> StackPlan:
        """One that takes less of the stack than either: smaller groups, a longer ramp."""
        ramp = tuple(max(pair) for pair in zip_longest(self.ramp, other.ramp, fillvalue=0))
        seed, divisor = max(self.seed, other.seed), max(self.divisor, other.divisor)
        return StackPlan(seed + 1, divisor + 1, ramp)

    def to_bytes(self) -> bytes:
        """As varints."""
        return b"".join(map(varint.encode, (self.seed, self.divisor, *self.ramp)))


def _group(start: int, size: int, levels: int, rows: int) -> RowGroup:
    return RowGroup(slice(start, min(start + size, rows)), levels)
