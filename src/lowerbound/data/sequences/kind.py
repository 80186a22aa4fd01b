"""Sequences as a data set: each row is a matrix (time, features)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, as_array, without_nan
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.matrix import decode_columns, encode_columns, real_columns
from lowerbound.data.kinds import DATA_KINDS, DataKind
from lowerbound.data.npz import array_names, check_cells, open_arrays
from lowerbound.data.raw import RawData
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError

KEY = "sequences"  # key of the array in a .npz file


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences of real numbers; a bare array of this shape would be read as pictures.

    Attributes:
        values: (rows, time, features), NaN where missing.
    """

    values: Any


@DATA_KINDS.register("sequences")
class SequenceKind(DataKind):
    """Rows (time, features) of real numbers, all of one length; a feature has the same units at
    all times."""

    fits_quickly = True

    def reads(self, source: Any) -> bool:
        return isinstance(source, Sequences) or KEY in array_names(source)

    def read(self, source: Any, reading: Reading) -> RawData:
        names = "split", "windows", "spectrograms", "image_size", "resize", "levels"
        reading.refuse(source, *names)
        if isinstance(source, Sequences):
            found = RawData(as_array(source.values), kind=KEY)
        else:
            with open_arrays(Path(source).expanduser()) as arrays:
                found = RawData(arrays[KEY], source=str(source), kind=KEY)
            check_cells(found.x.size, str(source))
        missing = found.x.dtype.kind == "f" and bool(np.isnan(found.x).any())
        return reading.labeled(RawData(found.x, source=found.source, kind=KEY, missing=missing))

    def learn(self, raw: RawData, how: Reading) -> Schema:
        rows, time, features = self._shape(raw.x)
        names = [f"x{i}" for i in range(features)]
        columns = real_columns(
            raw.x.reshape(rows * time, features),
            names,
            [str(raw.x.dtype)] * features,
            standardize=how.standardize,
            missing=how.gaps,
        )
        event_shape = (time, sum(column.modeled for column in columns))
        return Schema(kind=KEY, event_shape=event_shape, features=columns, dtype=str(raw.x.dtype))

    def pack(self, schema: Schema, raw: Any) -> tuple[Tensor, Tensor | None]:
        values = self.values(schema, raw)
        flat = encode_columns(values.reshape(-1, len(schema.features)), schema.features, True)
        units = flat.reshape(*values.shape[:2], -1)
        if not schema.missing and np.isnan(units).any():
            raise DataError("a value is missing, but the model was fitted on complete sequences")
        inside, observed = without_nan(units, schema.missing)
        return torch.from_numpy(inside), observed

    def values(self, schema: Schema, raw: Any) -> Array:
        values = as_array(raw.values if isinstance(raw, Sequences) else raw)
        expected = (schema.event_shape[0], len(schema.features))
        if self._shape(values)[1:] != expected:
            raise DataError(
                f"expected sequences of {expected[0]} times of {expected[1]} features, found an "
                f"array of shape {values.shape}"
            )
        return values

    def laid_out(self, schema: Schema, cells: Array) -> Array:
        wide = np.zeros((*cells.shape[:-1], len(schema.features)), dtype=bool)
        wide[..., [feature.modeled for feature in schema.features]] = cells
        return wide

    def as_event(self, schema: Schema, cells: Array) -> Array:
        if cells.shape[-1:] == (len(schema.features),):
            cells = cells[..., [feature.modeled for feature in schema.features]]
        return cells

    def decode(self, schema: Schema, units: Array, rounded: bool) -> Array:
        values = decode_columns(units, schema.features, rounded)
        return values.astype(schema.dtype) if rounded else values

    def log_slopes(self, schema: Schema, x: Tensor) -> Tensor:
        slopes = [0.0 - float(np.log(column.scale)) for column in _modeled(schema)]
        return torch.tensor(slopes, dtype=torch.float64).expand(1, *schema.event_shape)

    def report_style(self, schema: Schema) -> str:
        return ""

    def describe(self, schema: Schema) -> str:
        time, features = schema.event_shape
        return f"sequences of {time} times of {features} real numbers"

    def feature_names(self, schema: Schema) -> list[str]:
        times = range(schema.event_shape[0])
        return [f"{column.name}@{time}" for time in times for column in _modeled(schema)]

    @staticmethod
    def _shape(values: Array) -> tuple[int, ...]:
        if values.ndim != 3 or 0 in values.shape:
            raise DataError(f"sequences need shape (rows, time, features), not {values.shape}")
        return tuple(values.shape)


def _modeled(schema: Schema) -> list[Column]:
    """The features that vary."""
    return [feature for feature in schema.features if feature.modeled]
