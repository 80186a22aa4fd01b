"""Quantities: numbers beside a row, which its code predicts, standardized, NaN if unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.columns.values import finite_numbers
from lowerbound.data.regression_targets import TargetScale
from lowerbound.errors import DataError, counted, unknown

LEAST_KNOWN = 20


@dataclass(frozen=True)
class Quantity:
    """A quantity of rows: its name, and the scale that gives it mean 0 and deviation 1."""

    name: str
    scale: TargetScale


def encode_quantities(values: Mapping[str, Any]) -> tuple[Tensor, tuple[Quantity, ...]]:
    """Standardize quantities.

    Args:
        values: name -> (rows,) numbers, also as text; NaN and the usual markers are unknown.

    Returns:
        (rows, quantities) float32, NaN where unknown, and what they are.

    Raises:
        DataError: a quantity has text, infinity, too few known values, or is constant.
    """
    import pandas as pd

    found = {name: finite_numbers(pd.Series(column, name=name)) for name, column in values.items()}
    each = tuple(Quantity(name, _scale(name, column)) for name, column in found.items())
    columns = [
        one.scale.standardized(torch.tensor(column))
        for one, column in zip(each, found.values(), strict=True)
    ]
    return torch.stack(columns, 1).float(), each


def columns_of(frame: Any, names: Sequence[str]) -> dict[str, Any]:
    """Columns of a table by name.

    Raises:
        OptionError: there is no such column; the message names the nearest one.
    """
    known = [] if frame is None else list(frame.columns)
    for name in names:
        if name not in known:
            raise unknown("column for --predict", name, known)
    return {name: frame[name] for name in names}


def _scale(name: str, values: Array) -> TargetScale:
    known = values[~np.isnan(values)]
    if len(known) < LEAST_KNOWN:
        raise DataError(
            f"{name} is known for {counted(len(known), 'row')}: a prediction needs at least "
            f"{LEAST_KNOWN}"
        )
    if known.min() == known.max():
        raise DataError(f"{name} is {known[0]:g} in all rows: there is nothing to predict")
    return TargetScale(float(known.mean()), float(known.std()))
