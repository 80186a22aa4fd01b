"""What data looks like: everything needed to turn it into a model's units and back.

A schema is fitted once, stored as JSON beside the model, and used at the edges only: inside, models
see transformed tensors, and ``log_jacobian`` puts every reported value in the data's own units.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lowerbound import config
from lowerbound.data.arrays import as_array
from lowerbound.data.binarization import threshold_bits
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.matrix import (
    decode_columns,
    encode_columns,
    log_slopes,
    modeled_values,
    table_values,
)
from lowerbound.data.pictures import pixels
from lowerbound.data.pictures.pixels import ImageFormat
from lowerbound.data.regression_targets import Measurement
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError

Binarize = Literal["none", "dynamic", "threshold"]
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Condition:
    """What a conditional model is told about each row.

    Attributes:
        kind: "label", the row's class as one-hot, or "vector", numbers given with the data.
        size: how many numbers that is.
    """

    kind: Literal["label", "vector"]
    size: int


@dataclass(frozen=True)
class Schema:
    """What the data looks like.

    Attributes:
        kind: "table" (columns with names), "vectors" (columns without), "images" or "audio".
        event_shape: shape of one row in model units: (C, H, W), or (D,) without constant columns.
        columns: of a table or of vectors, in their order, constants included.
        levels: number of levels of the person's values: 256 for uint8 pictures, 2 for binary data;
            None: continuous.
        white: the person's value of the highest level, 1 in model units.
        dtype: numpy's name of the type that came in.
        binarize: whether grey values become bits, and when.
        image: layout of pictures.
        class_names: names of the label's values, in the order of their indices.
        measurement: of a label that is a number; None: it is a class, or there is none.
        label_column: name of the label's column in a table.
        left_out: names of table columns that were seen and not used.
        condition: what a conditional model is told.
        missing: whether cells may be missing: the model is then told which are, and trained to do
            without any of them.
        windows: how a series is cut into rows; None: rows are rows.
        sample_rate: samples of sound per second; None: it is no sound.
        clip_length: samples of a clip that a picture of it shows; None: rows are no such pictures.
    """

    kind: Literal["table", "images", "vectors", "audio"]
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
    measurement: Measurement | None = None

    @property
    def modeled(self) -> tuple[Column, ...]:
        """The columns that are part of the event, in its order."""
        return tuple(column for column in self.columns if column.modeled)

    @property
    def mixed(self) -> bool:
        """Whether some column is more than a real number, so that p(x | z) goes by columns."""
        return any(column.kind != "real" or column.spline for column in self.modeled)

    @property
    def gaussian(self) -> bool:
        """Whether every cell is a real number in model units, with neither levels nor an atom."""
        return bool(self.metric.all())

    @property
    def metric(self) -> Tensor:
        """The cells between whose model units a distance means something, (*event_shape) bool."""
        if not self.modeled:
            return torch.ones(self.event_shape, dtype=torch.bool)
        real = [column.continuous and column.kind != "mixed" for column in self.modeled]
        return torch.tensor(real)

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
        if self.kind == "audio":
            return pack_signals(raw, self.dimension), None
        if self.kind == "images":
            layout = self.image or ImageFormat()
            pictures = pixels.match_layout(as_array(raw), self.event_shape, layout.channels)
            pictures, observed = _without_nan(pictures, self.missing)
            return pixels.pack(pictures, self.levels, self.white), observed
        values = table_values(raw, self.columns, by_name=self.kind == "table")
        if self.levels is None and self.binarize == "none":
            units, observed = _without_nan(
                encode_columns(values, self.columns, self.missing), self.missing
            )
            return torch.from_numpy(units), observed
        inside, observed = _without_nan(
            modeled_values(values, self.columns, self.missing), self.missing
        )
        return pixels.pack(inside, self.levels, self.white), observed

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
        if self.kind == "audio":
            return units
        if self.kind == "images":
            layout = self.image or ImageFormat()
            values = pixels.unpack(units, self.levels, self.white, self.dtype, rounded)
            return pixels.restore_channels(values, layout.channels)
        if self.levels is not None:
            units = pixels.unpack(units, self.levels, self.white, "float64", rounded)
        values = decode_columns(units, self.columns, rounded)
        return values.astype(self.dtype) if rounded else values

    def log_slopes(self, x: Tensor, mass: bool, observed: Tensor | None = None) -> Tensor:
        """log T'(v) of each cell in nats, (rows | 1, *event) float64: what ``log_jacobian`` sums.

        Args:
            x, mass, observed: as of ``log_jacobian``.
        """
        if mass or self.binarize != "none":
            each = torch.zeros(1, *self.event_shape, dtype=torch.float64)
        elif self.kind == "images" or self.levels is not None:
            each = torch.full((1, *self.event_shape), -math.log(self.white), dtype=torch.float64)
        elif all(column.affine for column in self.modeled):
            slopes = [-math.log(column.scale) for column in self.modeled] or [0.0]
            each = torch.tensor(slopes, dtype=torch.float64).expand(1, *self.event_shape)
        else:
            units = x.detach().cpu().double().numpy()
            each = torch.from_numpy(log_slopes(units, self.columns))
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
        """JSON-like values; floats survive JSON exactly."""
        return config.to_mapping(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Schema:
        """The schema that ``to_mapping`` wrote.

        Raises:
            OptionError: an unknown key, or a value of the wrong type.
        """
        return config.from_mapping(cls, mapping)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON."""
        text = json.dumps(self.to_mapping(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def pack_signals(raw: Any, samples: int) -> Tensor:
    """Rows of amplitudes as a tensor, (rows, samples), float32.

    Raises:
        DataError: they are not so many samples long, or no numbers.
    """
    values = as_array(raw)
    if values.ndim != 2 or values.shape[1] != samples:
        raise DataError(
            f"the model was fitted on sound in rows of {samples:,} samples, and this is an array "
            f"of shape {values.shape}: give .wav files, or rows of that length"
        )
    return torch.from_numpy(values.astype(np.float32))


def _without_nan(values: Array, missing: bool) -> tuple[Array, Tensor | None]:
    """(values with 0 for NaN, where there was none); None where everything was observed."""
    if not missing or values.dtype.kind != "f":
        return values, None
    observed = ~np.isnan(values)
    if observed.all():
        return values, None
    return np.where(observed, values, values.dtype.type(0)), torch.from_numpy(observed)
