"""One column of a table, as it stands in schema.json: what it holds and how its kind encodes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from lowerbound.data.arrays import Array
from lowerbound.data.columns.dates import check_format
from lowerbound.data.columns.kind import COLUMN_KINDS, ColumnKind
from lowerbound.data.columns.quantile_normal import QuantileNormal
from lowerbound.data.columns.values import Level
from lowerbound.errors import unknown


@dataclass(frozen=True)
class Column:
    """One column of a table or of an array.

    Attributes:
        name: its name; ``x0, x1, ...`` where the data has none.
        kind: a name of ``COLUMN_KINDS``; ``rules`` is what that kind knows of the column.
        shift: subtracted on the way in, after g; the value itself for a constant.
        scale: divided by on the way in; positive.
        dtype: numpy's name of the type that the person gave; "str" for text.
        spline: Q; None: the identity.
        levels: of a leveled column, in the order of their codes 0, 1, ...
        low, high: of a bounded column.
        atom: of a mixed column.
        resolution: the smallest step between two values, in model units; 0 where not known.
        format: how a datetime column writes every date, as of ``strptime``; "ISO8601" for ISO text
            of several lengths and for dates that are no text; None: schemas before there was one,
            whose text is read cell by cell.
        round_to: seconds that every date is a multiple of, 86,400 for days; 0: not known.

    Raises:
        OptionError: an unknown kind, or a format that is none.
    """

    name: str
    kind: str = "real"
    shift: float = 0.0
    scale: float = 1.0
    dtype: str = "float64"
    spline: QuantileNormal | None = None
    levels: tuple[Level, ...] = ()
    low: float | None = None
    high: float | None = None
    atom: float | None = None
    resolution: float = 0.0
    format: str | None = None
    round_to: int = 0

    def __post_init__(self) -> None:
        if self.kind not in COLUMN_KINDS:
            raise unknown(f"kind of column {self.name!r}:", self.kind, COLUMN_KINDS)
        if self.format is not None:
            check_format(self.format)

    @cached_property
    def rules(self) -> ColumnKind:
        """What the column's kind knows of it."""
        return COLUMN_KINDS[self.kind].of(self)

    @property
    def modeled(self) -> bool:
        """Whether it is part of the event."""
        return self.rules.modeled

    @property
    def affine(self) -> bool:
        """Whether the way in is u = (v - shift) / scale and nothing else."""
        return self.rules.straight and self.spline is None

    @property
    def plain(self) -> bool:
        """Whether it takes every number and its way in is affine."""
        return self.affine and self.rules.any_number

    def encode(self, values: Array) -> Array:
        """Values or codes in model units, float64."""
        return self.rules.encode(values)

    def decode(self, units: Array) -> Array:
        """The inverse of ``encode``; codes stay codes."""
        return self.rules.decode(units)

    def log_slope(self, units: Array) -> Array:
        """log T'(v) in nats at each value, given in model units; 0 for mass."""
        return self.rules.log_slope(units)
