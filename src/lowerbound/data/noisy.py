"""Noisy rows, read with the schema of clean rows; their values may lie between the levels."""

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
    """Convert noisy rows to model units; grey values may lie between and beyond the levels.

    Args:
        raw: an array or a frame.
        schema: of the clean rows; if it allows missing cells, NaN marks them.
        source: origin of the rows.

    Raises:
        DataError: the rows do not fit the schema; the message names the position.
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
    # a copy, so that the caller's array does not change
    return Dataset(between, torch.from_numpy(np.array(units)), observed=observed, source=source)


def noise_in_units(schema: Schema, level: float) -> Tensor:
    """Convert a standard deviation from original units to model units, (*event | 1).

    Raises:
        DataError: a column's map is not affine, or its values are not real numbers.
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
