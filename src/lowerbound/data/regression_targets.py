"""Regression targets: labels that are real numbers, standardized, NaN if unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.columns.values import numbers, parsed_numbers
from lowerbound.data.labels import label_column
from lowerbound.errors import DataError


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
