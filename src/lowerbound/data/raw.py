"""What a reader found before anything was learned from it, and the step to a ``Dataset``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import as_array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.inference import Hint, check_hints, numpy_name, understood
from lowerbound.data.columns.matrix import check_variation, frame_numbers, named, real_columns
from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import encode_labels
from lowerbound.data.pictures.pixels import (
    Channels,
    ImageFormat,
    Resize,
    channels_first,
    find_channels,
    find_levels,
    is_whole,
)
from lowerbound.data.regression_targets import encode_measurements
from lowerbound.data.schema import Binarize, Schema
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]
Kinds = Literal["real", "infer"] | Mapping[str, Hint]


@dataclass(frozen=True, eq=False)
class RawData:
    """Rows as the person has them.

    Attributes:
        x: a pandas frame; or an array, (rows, columns) or pictures in any layout.
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
        missing: whether the reader marks missing cells, by NaN.
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
    missing: bool = False


def fit(
    raw: RawData,
    binarize: Binarize = "none",
    standardize: bool = True,
    missing: bool = False,
    kinds: Kinds = "real",
    bend: bool = True,
    measured: bool = False,
) -> Dataset:
    """Learn a schema from the rows and encode them by it.

    Args:
        raw: what a reader found.
        binarize: how grey values become bits; of no effect where all values are 0 or 1.
        standardize: bring continuous columns to mean 0 and standard deviation 1.
        missing: whether NaN marks a missing value.
        kinds: of a frame's columns: "real" takes all for real numbers, "infer" finds each from its
            values; a mapping says some by name, and the others are found.
        bend: whether such columns may have a spline to normal scores.
        measured: whether labels are numbers to be predicted, and no classes.

    Raises:
        DataError: the rows cannot be modeled; the message says why.
    """
    names: tuple[str, ...] = ()
    label, target, measurement = None, None, None
    if raw.labels is not None and measured:
        target, measurement = encode_measurements(raw.labels)
    elif raw.labels is not None:
        label, names = encode_labels(raw.labels, raw.class_names)
    if hasattr(raw.x, "columns"):
        pixels_in_columns = raw.levels is not None or binarize != "none"
        if kinds == "real" or pixels_in_columns:
            schema = _table_schema(raw, binarize, standardize, missing)
        else:
            hints = {} if kinds == "infer" else kinds
            schema = _kinds_schema(raw, hints, standardize, missing, bend)
    else:
        raw = replace(raw, x=as_array(raw.x))
        images = raw.x.ndim in (3, 4)
        if images:
            schema = _image_schema(raw, missing)
        else:
            schema = _vector_schema(raw, binarize, standardize, missing)
    schema = replace(
        schema,
        class_names=names,
        measurement=measurement,
        binarize=_needed(binarize, schema),
        missing=missing,
    )
    return _dataset(raw, schema, label, target)


def encode(raw: RawData, schema: Schema) -> Dataset:
    """The rows by the schema of an earlier fit.

    Raises:
        DataError: they do not fit it; the message says where.
    """
    label, target = None, None
    if raw.labels is not None and schema.measurement is not None:
        target, _ = encode_measurements(raw.labels, schema.measurement)
    elif raw.labels is not None:
        label, _ = encode_labels(raw.labels, schema.class_names)
    return _dataset(raw, schema, label, target)


def _dataset(raw: RawData, schema: Schema, label: Tensor | None, target: Tensor | None) -> Dataset:
    packed, observed = schema.pack(raw.x)
    factors = None if raw.factors is None else torch.as_tensor(raw.factors, dtype=torch.long)
    return Dataset(
        schema,
        packed,
        observed=observed,
        label=label,
        target=target,
        ids=raw.ids,
        source=raw.source,
        factors=factors,
        factor_names=raw.factor_names,
    )


def _needed(binarize: Binarize, schema: Schema) -> Binarize:
    return "none" if schema.levels == 2 else binarize


def _image_schema(raw: RawData, missing: bool) -> Schema:
    channels = raw.channels or find_channels(raw.x.shape)
    levels, white = find_levels(_seen(raw.x, missing), raw.levels)
    return Schema(
        kind="images",
        event_shape=channels_first(raw.x, channels).shape[1:],
        levels=levels,
        white=white,
        dtype=str(raw.x.dtype),
        image=ImageFormat(channels, raw.resize),
    )


def _table_schema(raw: RawData, binarize: Binarize, standardize: bool, missing: bool) -> Schema:
    """A frame whose columns are all taken for real numbers."""
    names = [str(name) for name in raw.x.columns]
    dtypes = [numpy_name(dtype) for dtype in raw.x.dtypes]
    values = frame_numbers(raw.x)
    schema = _column_schema(values, names, dtypes, raw.levels, binarize, standardize, missing)
    return replace(schema, kind="table", label_column=raw.label_column, left_out=raw.left_out)


def _kinds_schema(
    raw: RawData, hints: Mapping[str, Hint], standardize: bool, missing: bool, bend: bool
) -> Schema:
    """A frame whose columns are of the kinds that their values, or the person, tell."""
    check_hints(hints, raw.x.columns)
    found = [understood(raw.x[name], hints.get(name), standardize, bend) for name in raw.x.columns]
    columns = tuple(column for column in found if column.kind != "identifier")
    identifiers = [column.name for column in found if column.kind == "identifier"]
    if identifiers:
        warnings.warn(
            f"{named(identifiers)}: never the same twice, so it names rows; left out",
            UserWarning,
            stacklevel=3,
        )
    if identifiers and not columns:
        raise DataError(f"{named(identifiers)} names rows, and the table has no column to model")
    check_variation(columns, len(raw.x))
    return Schema(
        kind="table",
        event_shape=(sum(column.modeled for column in columns),),
        columns=columns,
        label_column=raw.label_column,
        left_out=(*raw.left_out, *identifiers),
    )


def _vector_schema(raw: RawData, binarize: Binarize, standardize: bool, missing: bool) -> Schema:
    if raw.x.ndim != 2:
        raise DataError(
            f"expected (rows, columns) or pictures, found an array of shape {raw.x.shape}. "
            "Reshape your data: X.reshape(-1, 1) if it has one column, X.reshape(1, -1) if one row"
        )
    names = [f"x{i}" for i in range(raw.x.shape[1])]
    dtypes = [str(raw.x.dtype)] * len(names)
    return _column_schema(raw.x, names, dtypes, raw.levels, binarize, standardize, missing)


def _column_schema(
    values: Array,
    names: list[str],
    dtypes: list[str],
    levels: int | None,
    binarize: Binarize,
    standardize: bool,
    missing: bool,
) -> Schema:
    """Columns that are pictures in disguise keep all their cells; others lose their constants."""
    white = 1.0
    seen = _seen(values, missing)
    if levels is not None or binarize != "none":
        levels, white = find_levels(seen, levels)
        columns = tuple(Column(n, dtype=d) for n, d in zip(names, dtypes, strict=True))
    else:
        bits = is_whole(seen) and seen.min() >= 0 and seen.max() <= 1
        columns = real_columns(
            values, names, dtypes, standardize=standardize and not bits, missing=missing
        )
        levels = 2 if bits else None
    return Schema(
        kind="vectors",
        event_shape=(sum(column.modeled for column in columns),),
        columns=columns,
        levels=levels,
        white=white,
        dtype=str(np.result_type(*set(dtypes))),
    )


def _seen(values: Array, missing: bool) -> Array:
    """The values that were observed, in one row where some were not."""
    if not missing or values.dtype.kind != "f" or not np.isnan(values).any():
        return values
    seen = values[~np.isnan(values)]
    if not len(seen):
        raise DataError("every value is missing: there is nothing to learn from")
    return seen
