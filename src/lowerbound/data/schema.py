"""The schema of data: all that is needed to convert it to model units and back.

A schema is fitted once and stored as JSON beside the model. Models see transformed tensors only,
and ``log_jacobian`` converts every reported value to the original units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lowerbound import config, untrusted
from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.notation import Notation
from lowerbound.data.kinds import DATA_KINDS, DataKind
from lowerbound.data.labels import Quantity, TargetScale
from lowerbound.data.options import Binarize as Binarize
from lowerbound.data.pictures.pixels import Channels, ImageFormat
from lowerbound.data.raw import threshold_bits
from lowerbound.data.sequences.windows import Windows
from lowerbound.data.tables.dialect import Dialect
from lowerbound.errors import OptionError

SHOWN = 12  # names of columns or classes in a summary
MOST_LEVELS = 2**31 - 1  # of values, whose codes are whole numbers of 32 bits
LATER = ("quantities", "features", "details", "dialect")  # fields that older folders do not have


@dataclass(frozen=True)
class Condition:
    """The type of condition of a conditional model.

    Attributes:
        kind: "label", the one-hot class of the row, or "vector", numbers given with the data.
        size: length of the condition.
    """

    kind: Literal["label", "vector"]
    size: int


@dataclass(frozen=True)
class Schema:
    """Kind, shape, columns and units of the data.

    Attributes:
        kind: name of the kind of data: "table" (columns with names), "vectors" (columns without),
            "images", "audio", or another kind in ``DATA_KINDS``.
        event_shape: shape of one row in model units: (C, H, W), or (D,) without constant columns.
        columns: of a table or of vectors, in their order, constants included.
        levels: number of levels of the original values: 256 for uint8 pictures, 2 for binary data;
            None: continuous.
        white: the original value of the highest level, which is 1 in model units.
        dtype: numpy's name of the original type.
        binarize: whether grey values become bits, and when.
        image: layout of pictures.
        class_names: names of the label's values, in the order of their indices.
        target: scale of regression targets; None: the label is a class, or there is none.
        label_column: name of the label's column in a table.
        label_notation: how this column writes regression targets as text; None: they are plain, or
            no text.
        left_out: names of table columns that are not used.
        condition: of a conditional model.
        missing: whether cells may be missing: the model then sees the mask, and learns to work
            without any of them.
        windows: how a series is cut into rows; None: the data is not a series.
        sample_rate: samples of sound per second; None: the data is not sound.
        clip_length: samples of sound in one spectrogram; None: rows are not spectrograms.
        quantities: what codes predict of a row.
        features: of sequences, the values at one time, constants included; a feature has the same
            model units at all times.
        dialect: how the table was written as text; None: it was no text.
        details: JSON-like values that the kind of data learned and that have no other field.
    """

    kind: str
    event_shape: tuple[int, ...]
    columns: tuple[Column, ...] = ()
    levels: int | None = None
    white: float = 1.0
    dtype: str = "float64"
    binarize: Binarize = "none"
    image: ImageFormat | None = None
    class_names: tuple[str, ...] = ()
    label_column: str | None = None
    left_out: tuple[str, ...] = ()
    condition: Condition | None = None
    missing: bool = False
    windows: Windows | None = None
    sample_rate: int | None = None
    clip_length: int | None = None
    target: TargetScale | None = field(default=None, metadata={"formerly": "measurement"})
    quantities: tuple[Quantity, ...] = ()
    features: tuple[Column, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)
    dialect: Dialect | None = None
    label_notation: Notation | None = None

    @property
    def text_dialect(self) -> Dialect | None:
        """What the user said of how tables are written, which holds for later files too."""
        return None if self.dialect is None else self.dialect.for_others

    @property
    def for_other_rows(self) -> Schema:
        """The schema for given rows, whose values may lie off the lattices of the fitted ones."""
        free = tuple(replace(column, lattice=None, observed=None) for column in self.columns)
        return replace(self, columns=free)

    @property
    def summary(self) -> str:
        """A description of the rows in one line: kind, names of columns and of classes."""
        text = self.data_kind.describe(self)
        if self.mixed:
            text += f" ({_first([column.name for column in self.modeled])})"
        if self.class_names:
            text += f"; classes {_first(self.class_names)}"
        return text

    @property
    def data_kind(self) -> DataKind:
        """The object that reads, packs, decodes and names rows of this kind.

        Raises:
            OptionError: the kind does not exist; the message suggests the nearest name.
        """
        return DATA_KINDS[self.kind]()

    @property
    def layout(self) -> Channels:
        """Position of the color axis in the original pictures."""
        return "first" if self.image is None else self.image.channels

    @property
    def modeled(self) -> tuple[Column, ...]:
        """The columns that are part of the event, in its order."""
        return tuple(column for column in self.columns if column.modeled)

    @property
    def mixed(self) -> bool:
        """Whether a column is not a plain real number, so that each has its own p(x_j | z)."""
        return any(not column.plain for column in self.modeled)

    @property
    def gaussian(self) -> bool:
        """Whether every cell is a real number in model units, without levels and atoms."""
        return bool(self.metric.all())

    @property
    def metric(self) -> Tensor:
        """The cells whose model units have a meaningful distance, (*event_shape) bool."""
        if not self.modeled:
            kind = self.data_kind
            return torch.full(self.event_shape, not (kind.grouped or kind.symbolic))
        return torch.tensor([column.rules.metric for column in self.modeled])

    @property
    def dimension(self) -> int:
        """D, the number of values in one row of model units."""
        return math.prod(self.event_shape)

    @property
    def binary(self) -> bool:
        """Whether the model sees zeros and ones only."""
        return self.levels == 2 or self.binarize != "none"

    @property
    def top_code(self) -> int:
        """The code of the highest level; 1 for values without levels."""
        return 1 if self.levels is None else self.levels - 1

    def pack(self, raw: Any) -> tuple[Tensor, Tensor | None]:
        """Check raw data against this schema and convert it to its compact form.

        Returns:
            values: (rows, *event_shape): codes 0 .. levels - 1 in uint8 (int32 above 256 levels),
            else model units in float32, or in float64 if the data is not float32. Missing cells
            are 0.
            observed: (rows, *event_shape) bool; None if no value is missing.

        Raises:
            DataError: width, columns, size, range or values do not fit; the message names them.
        """
        return self.data_kind.pack(self, raw)

    def units(self, packed: Tensor) -> Tensor:
        """Convert the compact form to model units; the training loop calls this."""
        if self.levels is None:
            return packed
        values = packed.to(torch.float32)
        return values if self.levels == 2 else values.div_(self.levels - 1)

    def encode(self, raw: Any) -> Tensor:
        """Convert raw data to model units, (rows, *event_shape); missing cells are 0.

        Under dynamic binarization these are the grey values, from which ``Dataset.batch`` draws.

        Raises:
            DataError: as in ``pack``.
        """
        packed, _ = self.pack(raw)
        if self.binarize == "threshold":
            return threshold_bits(packed, self.top_code)
        return self.units(packed)

    def decode(self, x: Tensor | Array, rounded: bool = True) -> Array:
        """Convert model units to original units, layout and type; the inverse of ``encode``.

        Args:
            x: (..., *event_shape).
            rounded: round to the nearest level and the original type; False returns floats, for
                example for the mean of a prediction.
        """
        units = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
        return self.data_kind.decode(self, units, rounded)

    def log_slopes(self, x: Tensor, mass: bool, observed: Tensor | None = None) -> Tensor:
        """log T'(v) of each cell in nats, (rows | 1, *event) float64; ``log_jacobian`` sums it.

        Args:
            x, mass, observed: as in ``log_jacobian``.
        """
        if mass or self.binarize != "none":
            each = torch.zeros(1, *self.event_shape, dtype=torch.float64)
        else:
            each = self.data_kind.log_slopes(self, x)
        return each if observed is None else torch.where(observed.cpu(), each, 0.0)

    def log_jacobian(self, x: Tensor, mass: bool, observed: Tensor | None = None) -> Tensor:
        r"""Nats, (rows,), that convert each row's log p from model units to original units.

        For u = T(v): log p(v) = log p(u) + sum of log T'(v) over the observed cells; float64.

        Args:
            x: (rows, *event) in model units.
            mass: whether the likelihood is a probability mass, which needs no correction.
            observed: shape of x; False if a value is missing.
        """
        return self.log_slopes(x, mass, observed).flatten(1).sum(1).expand(len(x))

    def check_converts(self) -> None:
        """Check that a row of zeros is converted back, so that no later use of a schema that
        somebody else may have written fails.

        Raises:
            OptionError: fields contradict each other.
            Exception: any other, of a column or a kind.
        """
        untrusted.check_memory(8 * self.dimension, "one row", OptionError)
        if self.image is not None and len(self.event_shape) != 3:
            raise OptionError(f"pictures have three axes, and these rows {len(self.event_shape)}")
        if self.windows is not None and self.dimension % self.windows.length:
            raise OptionError(
                f"rows of {self.dimension:,} numbers are no windows of {self.windows.length}"
            )
        if self.levels is not None and not 2 <= self.levels <= MOST_LEVELS:
            raise OptionError(f"values have 2 to {MOST_LEVELS:,} levels, not {self.levels:,}")
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            raise OptionError("two columns have one name")
        for column in (*self.columns, *self.features):
            column.check_levels()
        zeros = torch.zeros(1, *self.event_shape, dtype=torch.float64)
        for rounded in (True, False):
            self.decode(zeros, rounded)
        self.log_jacobian(zeros, mass=False)
        self.data_kind.check_written(self)

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values, with exact floats; empty ``LATER`` fields are left out."""
        mapping = config.to_mapping(self)
        return {k: v for k, v in mapping.items() if v or k not in LATER}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Schema:
        """Read a schema from the values of ``to_mapping``.

        Raises:
            OptionError: a key is unknown, or a value has the wrong type.
        """
        return config.from_mapping(cls, mapping)


def _first(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
