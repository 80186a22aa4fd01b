"""What a reader found before anything was learned from it, and the step to a ``Dataset``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import as_array
from lowerbound.data.columns import Column, fit_columns, frame_values
from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import encode_labels
from lowerbound.data.pixels import (
    Channels,
    ImageFormat,
    Resize,
    channels_first,
    find_channels,
    find_levels,
    is_whole,
)
from lowerbound.data.schema import Binarize, Schema
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class RawData:
    """Rows as the person has them.

    Attributes:
        x: a numeric pandas frame; or an array, (rows, columns) or pictures in any layout.
        labels: one value per row, or None.
        class_names: the classes in the order of their indices; None: taken from the labels.
        levels: number of levels where the reader knows it better than the type tells.
        channels: where the color axis of pictures is; None: found from the shape.
        resize: how pictures were brought to one size.
        label_column: the column of a table that the labels came from.
        left_out: columns of a table that were seen and not used.
        ids: a name per row.
        source: where it came from, for reports.
        factors: (rows, factors) integers, the causes that made each row, where they are known.
        factor_names: one for each of them.
    """

    x: Any
    labels: Any = None
    class_names: tuple[str, ...] | None = None
    levels: int | None = None
    channels: Channels | None = None
    resize: Resize = "pad"
    label_column: str | None = None
    left_out: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None
    source: str = ""
    factors: Any = None
    factor_names: tuple[str, ...] = ()


def fit(raw: RawData, binarize: Binarize = "none", standardize: bool = True) -> Dataset:
    """Learn a schema from the rows and encode them by it.

    Args:
        raw: what a reader found.
        binarize: how grey values become bits; of no effect where all values are 0 or 1.
        standardize: bring real columns to mean 0 and standard deviation 1; False keeps their units.

    Raises:
        DataError: the rows cannot be modeled; the message says why.
    """
    label, names = (None, ()) if raw.labels is None else encode_labels(raw.labels, raw.class_names)
    if hasattr(raw.x, "columns"):
        schema = _table_schema(raw, binarize, standardize)
    else:
        raw = replace(raw, x=as_array(raw.x))
        images = raw.x.ndim in (3, 4)
        schema = _image_schema(raw) if images else _vector_schema(raw, binarize, standardize)
    schema = replace(schema, class_names=names, binarize=_needed(binarize, schema))
    return _dataset(raw, schema, label)


def encode(raw: RawData, schema: Schema) -> Dataset:
    """The rows by the schema of an earlier fit.

    Raises:
        DataError: they do not fit it; the message says where.
    """
    label = None
    if raw.labels is not None:
        label, _ = encode_labels(raw.labels, schema.class_names)
    return _dataset(raw, schema, label)


def _dataset(raw: RawData, schema: Schema, label: Tensor | None) -> Dataset:
    packed = schema.pack(raw.x)
    factors = None if raw.factors is None else torch.as_tensor(raw.factors, dtype=torch.long)
    return Dataset(
        schema,
        packed,
        label=label,
        ids=raw.ids,
        source=raw.source,
        factors=factors,
        factor_names=raw.factor_names,
    )


def _needed(binarize: Binarize, schema: Schema) -> Binarize:
    return "none" if schema.levels == 2 else binarize


def _image_schema(raw: RawData) -> Schema:
    channels = raw.channels or find_channels(raw.x.shape)
    levels, white = find_levels(raw.x, raw.levels)
    return Schema(
        kind="images",
        event_shape=channels_first(raw.x, channels).shape[1:],
        levels=levels,
        white=white,
        dtype=str(raw.x.dtype),
        image=ImageFormat(channels, raw.resize),
    )


def _table_schema(raw: RawData, binarize: Binarize, standardize: bool) -> Schema:
    names = [str(name) for name in raw.x.columns]
    dtypes = [_numpy_name(dtype) for dtype in raw.x.dtypes]
    schema = _column_schema(frame_values(raw.x), names, dtypes, raw.levels, binarize, standardize)
    return replace(schema, kind="table", label_column=raw.label_column, left_out=raw.left_out)


def _vector_schema(raw: RawData, binarize: Binarize, standardize: bool) -> Schema:
    if raw.x.ndim != 2:
        raise DataError(
            f"expected (rows, columns) or pictures, found an array of shape {raw.x.shape}. "
            "Reshape your data: X.reshape(-1, 1) if it has one column, X.reshape(1, -1) if one row"
        )
    names = [f"x{i}" for i in range(raw.x.shape[1])]
    dtypes = [str(raw.x.dtype)] * len(names)
    return _column_schema(raw.x, names, dtypes, raw.levels, binarize, standardize)


def _column_schema(
    values: Array,
    names: list[str],
    dtypes: list[str],
    levels: int | None,
    binarize: Binarize,
    standardize: bool,
) -> Schema:
    """Columns that are pictures in disguise keep all their cells; others lose their constants."""
    white = 1.0
    if levels is not None or binarize != "none":
        levels, white = find_levels(values, levels)
        columns = tuple(Column(n, dtype=d) for n, d in zip(names, dtypes, strict=True))
    else:
        bits = is_whole(values) and values.min() >= 0 and values.max() <= 1
        columns = fit_columns(values, names, dtypes, standardize and not bits)
        levels = 2 if bits else None
    return Schema(
        kind="vectors",
        event_shape=(sum(column.kind == "real" for column in columns),),
        columns=columns,
        levels=levels,
        white=white,
        dtype=str(np.result_type(*set(dtypes))),
    )


def _numpy_name(dtype: Any) -> str:
    """numpy's name of a pandas type, its own nullable ones (Int64, boolean) included."""
    name = str(dtype).lower().removesuffix("[pyarrow]")
    name = {"boolean": "bool", "double": "float64", "float": "float32"}.get(name, name)
    try:
        return str(np.dtype(name))
    except TypeError:  # decimals and the like have been turned into floats
        return "float64"
