"""The schema of data: everything needed to turn it into a model's units and back.

A schema is fitted once, stored as JSON beside the model, and used at the edges only: inside, models
see transformed tensors, and ``log_jacobian`` puts every reported value in the data's own units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lowerbound import config
from lowerbound.data.arrays import Array
from lowerbound.data.binarization import threshold_bits
from lowerbound.data.columns.column import Column
from lowerbound.data.kinds import DATA_KINDS, DataKind
from lowerbound.data.pictures.pixels import Channels, ImageFormat
from lowerbound.data.regression_targets import TargetScale
from lowerbound.data.sequences.windows import Windows

Binarize = Literal["none", "dynamic", "threshold"]
SHOWN = 12  # names of columns or classes in a summary


@dataclass(frozen=True)
class Condition:
    """The condition of each row.

    Attributes:
        kind: "label", the row's class as one-hot, or "vector", numbers given with the data.
        size: how many numbers that is.
    """

    kind: Literal["label", "vector"]
    size: int


@dataclass(frozen=True)
class Schema:
    """Kind, shape, columns and units of the data.

    Attributes:
        kind: name of the kind of data: "table" (columns with names), "vectors" (columns without),
            "images", "audio", or another of ``DATA_KINDS``.
        event_shape: shape of one row in model units: (C, H, W), or (D,) without constant columns.
        columns: of a table or of vectors, in their order, constants included.
        levels: number of levels of the person's values: 256 for uint8 pictures, 2 for binary data;
            None: continuous.
        white: the person's value of the highest level, 1 in model units.
        dtype: numpy's name of the type that came in.
        binarize: whether grey values become bits, and when.
        image: layout of pictures.
        class_names: names of the label's values, in the order of their indices.
        target: scale of a label that is a number; None: it is a class, or there is none.
        label_column: name of the label's column in a table.
        left_out: names of table columns that were seen and not used.
        condition: of a conditional model.
        missing: whether cells may be missing: the model then sees which are, and learns to do
            without any of them.
        windows: how a series is cut into rows; None: rows are rows.
        sample_rate: samples of sound per second; None: it is no sound.
        clip_length: samples of a clip that a picture of it shows; None: rows are no such pictures.
        features: of sequences, the numbers of one time, constants included; a feature has the same
            model units at all times.
        details: JSON-like values that the kind of data learned, and no other field has.
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
    features: tuple[Column, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def summary(self) -> str:
        """What the rows are, in one line: their kind, mixed columns and classes by name."""
        text = self.data_kind.describe(self)
        if self.mixed:
            text += f" ({_first([column.name for column in self.modeled])})"
        if self.class_names:
            text += f"; classes {_first(self.class_names)}"
        return text

    @property
    def data_kind(self) -> DataKind:
        """What rows of this kind own: how they are packed, decoded, named.

        Raises:
            OptionError: there is no such kind; the nearest name is suggested.
        """
        return DATA_KINDS[self.kind]()

    @property
    def layout(self) -> Channels:
        """Where the color axis of the person's pictures is."""
        return "first" if self.image is None else self.image.channels

    @property
    def modeled(self) -> tuple[Column, ...]:
        """The columns that are part of the event, in its order."""
        return tuple(column for column in self.columns if column.modeled)

    @property
    def mixed(self) -> bool:
        """Whether some column is more than a real number, so that p(x | z) goes by columns."""
        return any(not column.plain for column in self.modeled)

    @property
    def gaussian(self) -> bool:
        """Whether every cell is a real number in model units, with neither levels nor an atom."""
        return bool(self.metric.all())

    @property
    def metric(self) -> Tensor:
        """The cells between whose model units a distance means something, (*event_shape) bool."""
        if not self.modeled:
            return torch.ones(self.event_shape, dtype=torch.bool)
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
        """The code of the highest level; 1 for values without levels, which are their own code."""
        return 1 if self.levels is None else self.levels - 1

    def pack(self, raw: Any) -> tuple[Tensor, Tensor | None]:
        """The person's data, checked against this schema, in its compact form.

        Returns:
            (rows, *event_shape): codes 0 .. levels - 1 in uint8 (int32 above 256 levels), else
            model units in float32, or in float64 where the data is not float32; and, where a value
            is missing, which are observed (missing ones are 0).

        Raises:
            DataError: width, columns, size, range or values do not fit; the message says which.
        """
        return self.data_kind.pack(self, raw)

    def units(self, packed: Tensor) -> Tensor:
        """The compact form in model units: the training loop's conversion, one pass."""
        if self.levels is None:
            return packed
        values = packed.to(torch.float32)
        return values if self.levels == 2 else values.div_(self.levels - 1)

    def encode(self, raw: Any) -> Tensor:
        """The person's data in model units, (rows, *event_shape); 0 where it is missing.

        Under dynamic binarization these are the grey values, from which ``Dataset.batch`` draws.

        Raises:
            DataError: as ``pack``.
        """
        packed, _ = self.pack(raw)
        if self.binarize == "threshold":
            return threshold_bits(packed, self.top_code)
        return self.units(packed)

    def decode(self, x: Tensor | Array, rounded: bool = True) -> Array:
        """Model units in the person's units, layout and type; the inverse of ``encode``.

        Args:
            x: (..., *event_shape).
            rounded: snap to the nearest level and the original type; False keeps fractions (the
                mean of a prediction, say) as floats.
        """
        units = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
        return self.data_kind.decode(self, units, rounded)

    def log_slopes(self, x: Tensor, mass: bool, observed: Tensor | None = None) -> Tensor:
        """log T'(v) of each cell in nats, (rows | 1, *event) float64: what ``log_jacobian`` sums.

        Args:
            x, mass, observed: as of ``log_jacobian``.
        """
        if mass or self.binarize != "none":
            each = torch.zeros(1, *self.event_shape, dtype=torch.float64)
        else:
            each = self.data_kind.log_slopes(self, x)
        return each if observed is None else torch.where(observed.cpu(), each, 0.0)

    def log_jacobian(self, x: Tensor, mass: bool, observed: Tensor | None = None) -> Tensor:
        r"""Nats to add to each row's log p in model units to have it in the person's, (rows,).

        For u = T(v): log p(v) = log p(u) + sum of log T'(v) over the observed cells; float64.

        Args:
            x: (rows, *event) in model units.
            mass: whether the likelihood gives probabilities of values rather than densities;
                relabelling values does not change those.
            observed: like x; False where a value is missing.
        """
        return self.log_slopes(x, mass, observed).flatten(1).sum(1).expand(len(x))

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values; floats survive JSON exactly. Features and details are left out where
        there are none."""
        mapping = config.to_mapping(self)
        return {k: v for k, v in mapping.items() if v or k not in ("features", "details")}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Schema:
        """The schema that ``to_mapping`` wrote.

        Raises:
            OptionError: an unknown key, or a value of the wrong type.
        """
        return config.from_mapping(cls, mapping)


def _first(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
