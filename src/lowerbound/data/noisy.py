"""Rows with noise on them, read by the schema of rows without: values may lie anywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, check_finite_rows
from lowerbound.data.dataset import Dataset
from lowerbound.data.load import load
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError


def noisy_rows(raw: Any, schema: Schema, source: str = "") -> Dataset:
    """Rows in model units, whose grey values may lie between and beyond the levels.

    Args:
        raw: an array or a frame.
        schema: of the rows without noise; NaN marks a missing cell where it knows missing ones.
        source: where they came from.

    Raises:
        DataError: the rows do not fit the schema; the message says where.
    """
    kind = schema.data_kind
    if schema.levels is None and not schema.binary and not kind.pictures:
        return replace(load(raw, schema=schema), source=source)
    values = kind.values(schema, raw)
    units: Array = np.asarray(values, np.float64) / schema.white
    if values.dtype != np.float64:
        units = units.astype(np.float32)
    observed = None
    if schema.missing and np.isnan(units).any():
        observed = torch.from_numpy(~np.isnan(units))
        units = np.nan_to_num(units, nan=0.0)
    check_finite_rows(units, source or "the data")
    between = replace(schema, levels=None, binarize="none")
    # a copy: the person's stays theirs
    return Dataset(between, torch.from_numpy(np.array(units)), observed=observed, source=source)


def noise_in_units(schema: Schema, level: float) -> Tensor:
    """A standard deviation in the person's units as one per cell in model units, (*event | 1).

    Raises:
        DataError: a column's way in is bent, or its values are no real numbers.
    """
    if not schema.modeled or schema.levels is not None:
        return torch.tensor(level / schema.white)
    for column in schema.modeled:
        if not column.plain:
            raise DataError(
                f"noise on column {column.name!r} is not Gaussian in the units that the model "
                "sees; fit it again with --likelihood gaussian, which takes columns as plain "
                "numbers"
            )
    return torch.tensor([level / column.scale for column in schema.modeled], dtype=torch.float32)
