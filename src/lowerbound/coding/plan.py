"""The plan of a stream: groups of rows that are pushed together, and their levels of latents.

The bits on the stack must supply the latents' bits, and at first the stack is empty. The first
rows therefore use fewer levels of latents, the coarsest, and pay more bits for their numbers.
Each row makes the stack higher. Later rows are pushed in groups, because networks are fast on
many rows; the size of a group is a share of the rows before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from lowerbound.coding.files import varint

MOST_TOGETHER = 64  # rows per group
MOST_DIVISOR = 12  # as a power of two
ALL = 1 << 30  # levels


@dataclass(frozen=True)
class RowGroup:
    """Rows that are pushed together, and their number of levels of latents, the coarsest first."""

    rows: slice
    levels: int = ALL

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self.rows.stop - self.rows.start)


@dataclass(frozen=True)
class StackPlan:
    """The settings that a decoder needs besides the payload.

    Attributes:
        seed: number of words at the start of a stream.
        divisor: a group has at most (rows before it) / 2 ** divisor rows.
        ramp: number of first rows without latents, with one level, with two, ...
    """

    seed: int
    divisor: int
    ramp: tuple[int, ...] = ()

    def groups(self, rows: int) -> Iterator[RowGroup]:
        """The groups of ``rows`` rows, in the order of pushing."""
        for starts, levels in self._runs(rows):
            yield from (_group(start, starts.step, levels, rows) for start in starts)

    def groups_back(self, rows: int) -> Iterator[RowGroup]:
        """The groups in the order of popping; memory does not depend on ``rows``."""
        for starts, levels in reversed(list(self._runs(rows))):
            yield from (_group(start, starts.step, levels, rows) for start in reversed(starts))

    def _runs(self, rows: int) -> Iterator[tuple[range, int]]:
        """Starts of groups of one size, and their levels; a few dozen for any number of rows."""
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
        """A plan that uses less of the stack than either: smaller groups, a longer ramp."""
        ramp = tuple(max(pair) for pair in zip_longest(self.ramp, other.ramp, fillvalue=0))
        seed, divisor = max(self.seed, other.seed), max(self.divisor, other.divisor)
        return StackPlan(seed + 1, divisor + 1, ramp)

    def to_bytes(self) -> bytes:
        """As varints."""
        return b"".join(map(varint.encode, (self.seed, self.divisor, *self.ramp)))


def _group(start: int, size: int, levels: int, rows: int) -> RowGroup:
    return RowGroup(slice(start, min(start + size, rows)), levels)
