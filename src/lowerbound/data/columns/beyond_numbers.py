"""Numbers that no measurement has, such as 1.8e308, by which programs mark missing cells."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array, row_numbers
from lowerbound.errors import DataError, counted

LARGEST = 1e150  # numbers with larger ones have no squares, and so no variance
LARGEST_OF_32_BITS = float(np.finfo(np.float32).max)
WRITTEN = 1e-6  # relative error of this number as programs write it


def without_beyond(frame: Any) -> Any:
    """The frame with such cells missing; a note names them."""
    made = frame
    for place in range(frame.shape[1]):
        series = frame.iloc[:, place]
        if series.dtype.kind != "f":
            continue
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        beyond = _beyond(values)
        if beyond.any():
            made = frame.copy(deep=False) if made is frame else made
            made.isetitem(place, series.mask(beyond))
            _note(str(frame.columns[place]), values[beyond])
    return made


def array_without_beyond(values: Any, missing: bool) -> Any:
    """The rows of numbers with such cells as NaN, where cells may be missing; a column that has
    such numbers alone stays.

    Raises:
        DataError: a column has such numbers beside others, and no cell may be missing.
    """
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind != "f":
        return values
    beyond = _beyond(values)
    beyond &= ~(beyond | np.isnan(values)).all(axis=0)
    if not beyond.any():
        return values
    for place in np.flatnonzero(beyond.any(axis=0)):
        name, rows = f"x{place}", np.flatnonzero(beyond[:, place])
        if not missing:
            raise DataError(
                f"column {name!r} has {values[rows[0], place]:.6g} in "
                f"{row_numbers(rows.tolist())}, counted from 0, too large to compute with: correct "
                "those rows, or have such cells modeled as missing by missing='model' "
                "(data_options={'missing': 'model'} of an estimator)"
            )
        _note(name, values[rows, place])
    return np.where(beyond, np.nan, values)


def _beyond(values: Array) -> Array:
    sizes, found = np.abs(values), np.zeros(values.shape, dtype=bool)
    if values.dtype == np.float32:
        found = sizes >= np.float32(LARGEST_OF_32_BITS * (1 - WRITTEN))
    elif values.dtype == np.float64:
        found = (sizes > LARGEST) | (np.abs(sizes / LARGEST_OF_32_BITS - 1) < WRITTEN)
    return np.asarray(found & np.isfinite(values))


def _note(name: str, cells: Array) -> None:
    warnings.warn(
        f"column {name!r}: {cells[0]:.6g} in {counted(len(cells), 'row')}, taken for missing, as "
        f"are the largest number of 32 bits and all beyond {LARGEST:g}",
        UserWarning,
        stacklevel=5,
    )
