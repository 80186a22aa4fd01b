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
from lowerbound.data import pixels
from lowerbound.data.arrays import as_array
from lowerbound.data.binarization import threshold_bits
from lowerbound.data.columns import (
    Column,
    decode_columns,
    encode_columns,
    matrix,
    real_values,
)
from lowerbound.data.pixels import ImageFormat

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
        kind: "table" (columns with names), "vectors" (columns without) or "images".
        event_shape: shape of one row in model units: (C, H, W), or (D,) without constant columns.
        columns: of a table or of vectors, in their order, constants included.
        levels: number of levels of the person's values: 256 for uint8 pictures, 2 for binary data;
            None: continuous.
        white: the person's value of the highest level, 1 in model units.
        dtype: numpy's name of the type that came in.
        binarize: whether grey values become bits, and when.
        image: layout of pictures.
        class_names: names of the label's values, in the order of their indices.
        label_column: name of the label's column in a table.
        left_out: names of table columns that were seen and not used.
        condition: what a conditional model is told.
    """

    kind: Literal["table", "images", "vectors"]
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

    def pack(self, raw: Any) -> Tensor:
        """The person's data, checked against this schema, in its compact form.

        Returns:
            (rows, *event_shape): codes 0 .. levels - 1 in uint8 (int32 above 256 levels), else
            model units in float32, or in float64 where the data is not float32.

        Raises:
            DataError: width, columns, size, range or values do not fit; the message says which.
        """
        if self.kind == "images":
            layout = self.image or ImageFormat()
            pictures = pixels.match_layout(as_array(raw), self.event_shape, layout.channels)
            return pixels.pack(pictures, self.levels, self.white)
        values = matrix(raw, self.columns, by_name=self.kind == "table")
        if self.levels is None and self.binarize == "none":
            return torch.from_numpy(encode_columns(values, self.columns))
        return pixels.pack(real_values(values, self.columns), self.levels, self.white)

    def units(self, packed: Tensor) -> Tensor:
        """The compact form in model units: the training loop's conversion, one pass."""
        if self.levels is None:
            return packed
        values = packed.to(torch.float32)
        return values if self.levels == 2 else values.div_(self.levels - 1)

    def encode(self, raw: Any) -> Tensor:
        """The person's data in model units, (rows, *event_shape).

        Under dynamic binarization these are the grey values, from which ``Dataset.batch`` draws.

        Raises:
            DataError: as ``pack``.
        """
        packed = self.pack(raw)
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
        if self.kind == "images":
            layout = self.image or ImageFormat()
            values = pixels.unpack(units, self.levels, self.white, self.dtype, rounded)
            return pixels.restore_channels(values, layout.channels)
        if self.levels is not None:
            units = pixels.unpack(units, self.levels, self.white, "float64", rounded)
        values = decode_columns(units, self.columns, rounded)
        return values.astype(self.dtype) if rounded else values

    def log_jacobian(self, mass: bool) -> float:
        """Nats to add to a row's log p in model units to have it in the person's units.

        For u = (v - shift) / scale: log p(v) = log p(u) - sum of log(scale).

        Args:
            mass: whether the likelihood gives probabilities of values rather than densities;
                relabelling values does not change those.
        """
        if mass or self.binarize != "none":
            return 0.0
        if self.kind == "images" or self.levels is not None:
            return 0.0 - self.dimension * math.log(self.white)
        return 0.0 - math.fsum(math.log(c.scale) for c in self.columns if c.kind == "real")

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
