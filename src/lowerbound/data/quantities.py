"""Real numbers beside a row, standardized, NaN if unknown: predicted by its code, or its label.

Quantities are predicted by the code; regression targets are labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.columns.values import finite_numbers, numbers, parsed_numbers
from lowerbound.data.labels import label_column
from lowerbound.errors import DataError, counted, unknown

LEAST_KNOWN = 20


@dataclass(frozen=True)
class TargetScale:
    """The scale of a regression target: models see (value - mean) / deviation."""

    mean: float
    deviation: float

    def standardized(self, values: Tensor) -> Tensor:
        """Convert original units to model units."""
        return (values - self.mean) / self.deviation

    def restored(self, values: Tensor) -> Tensor:
        """Convert model units to original units."""
        return values * self.deviation + self.mean


def encode_targets(values: Any, scale: TargetScale | None = None) -> tuple[Tensor, TargetScale]:
    """Convert labels to (standardized numbers (rows,) float64, their scale).

    NaN, None, pandas' NA, empty text and the usual markers of missing values become NaN.

    Args:
        values: one label per row: numbers, also as text.
        scale: of an earlier fit; None: learned from the known labels.

    Raises:
        DataError: a label is text or infinite, no label is known, or all are equal.
    """
    import pandas as pd

    series = (
        values if isinstance(values, pd.Series) else pd.Series(label_column(values), name="label")
    )
    _check_kind(series)
    found = numbers(series)
    if np.isinf(found).any():
        raise DataError(f"the label contains infinity, such as in row {np.isinf(found).argmax()}")
    if scale is None:
        scale = _learned(found[~np.isnan(found)])
    return scale.standardized(torch.tensor(found)), scale


def _check_kind(series: Any) -> None:
    """Refuse classes.

    Raises:
        DataError: no label is a number, and some are text.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype):
        return
    found, text = parsed_numbers(series)
    if text.any() and np.isnan(found).all():
        raise DataError(
            f"the labels of {series.name!r} are text, such as {series[text].iloc[0]!r}, and a "
            "regression needs numbers: to fit classes, use --model semi_supervised"
        )


def _learned(known: np.ndarray[Any, Any]) -> TargetScale:
    if not len(known):
        raise DataError("no row has a label: label some rows, or fit a vae")
    if known.min() == known.max():
        raise DataError(
            f"all {len(known):,} labels are {known[0]:g}: a regression needs two different ones"
        )
    return TargetScale(float(known.mean()), float(known.std()))


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
