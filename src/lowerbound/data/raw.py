"""What a reader found before anything was learned from it, and the step to a ``Dataset``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from lowerbound.data.arrays import as_array
from lowerbound.data.columns.inference import Hint
from lowerbound.data.dataset import Dataset
from lowerbound.data.kinds import DATA_KINDS, DataKind, newest_kinds
from lowerbound.data.labels import encode_labels
from lowerbound.data.pictures.pixels import Channels, Resize
from lowerbound.data.regression_targets import encode_targets
from lowerbound.data.schema import Binarize, Schema

Kinds = Literal["real", "infer"] | Mapping[str, Hint]


@dataclass(frozen=True, eq=False)
class RawData:
    """Rows as the person has them.

    Attributes:
        x: a pandas frame; an array, (rows, columns) or pictures in any layout; or what ``kind``
            takes.
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
        kind: the name of their kind of data; "": found from x.
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
    kind: str = ""


@dataclass(frozen=True)
class Learning:
    """How a schema is learned from rows.

    Attributes:
        binarize: how grey values become bits; of no effect where all values are 0 or 1.
        standardize: bring continuous columns to mean 0 and standard deviation 1.
        missing: whether NaN marks a missing value.
        kinds: of a frame's columns: "real" takes all for real numbers, "infer" finds each from its
            values; a mapping says some by name, and the others are found.
        normal_scores: whether such columns may have a spline to normal scores.
    """

    binarize: Binarize = "none"
    standardize: bool = True
    missing: bool = False
    kinds: Kinds = "real"
    normal_scores: bool = True


def fit(raw: RawData, how: Learning | None = None, regression: bool = False) -> Dataset:
    """Learn a schema from the rows and encode them by it.

    Args:
        raw: what a reader found.
        how: the schema is learned.
        regression: whether labels are numbers to predict, and no classes.

    Raises:
        DataError: the rows cannot be modeled; the message says why.
    """
    how = how or Learning()
    names: tuple[str, ...] = ()
    label, target, scale = None, None, None
    if raw.labels is not None and regression:
        target, scale = encode_targets(raw.labels)
    elif raw.labels is not None:
        label, names = encode_labels(raw.labels, raw.class_names)
    if not raw.kind and not hasattr(raw.x, "columns"):
        raw = replace(raw, x=as_array(raw.x))
    schema = _kind_of(raw).learn(raw, how)
    schema = replace(
        schema,
        class_names=names,
        target=scale,
        binarize="none" if schema.levels == 2 else how.binarize,
        missing=how.missing,
    )
    return _dataset(raw, schema, label, target)


def _kind_of(raw: RawData) -> DataKind:
    """The kind that the reader says, else the latest that takes such rows."""
    if raw.kind:
        return DATA_KINDS[raw.kind]()
    return next(kind for kind in newest_kinds() if kind.holds(raw.x))


def encode(raw: RawData, schema: Schema) -> Dataset:
    """The rows by the schema of an earlier fit.

    Raises:
        DataError: they do not fit it; the message says where.
    """
    label, target = None, None
    if raw.labels is not None and schema.target is not None:
        target, _ = encode_targets(raw.labels, schema.target)
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
