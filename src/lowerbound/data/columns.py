r"""Columns of numbers: standardized for the model, put back exactly for the person.

A real column enters the model as u = (v - shift) / scale with the mean and the standard deviation
of the data it was fitted on, so log p(v) = log p(u) - log(scale). A column that never varies says
nothing about a row: it is not part of the event, and is put back on the way out.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lowerbound.data.arrays import as_array, check_finite, listed
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Column:
    """One column of a table or of an array.

    Attributes:
        name: its name; ``x0, x1, ...`` where the data has none.
        kind: "real", or "constant" when it never varied in the data it was fitted on.
        shift: subtracted on the way in; the value itself for a constant.
        scale: divided by on the way in; positive.
        dtype: numpy's name of the type that the person gave.
    """

    name: str
    kind: Literal["real", "constant"] = "real"
    shift: float = 0.0
    scale: float = 1.0
    dtype: str = "float64"


def fit_columns(
    values: Array, names: Sequence[str], dtypes: Sequence[str], standardize: bool
) -> tuple[Column, ...]:
    """The columns of (rows, columns) data; a warning names those that never vary.

    Raises:
        DataError: a value is NaN or infinite, or no column varies.
    """
    check_finite(values, names)
    low, high = values.min(axis=0), values.max(axis=0)
    columns = tuple(
        Column(name, "constant", float(low[i]), 1.0, dtype)
        if low[i] == high[i]
        else Column(name, "real", *(_moments(values[:, i]) if standardize else (0.0, 1.0)), dtype)
        for i, (name, dtype) in enumerate(zip(names, dtypes, strict=True))
    )
    constant = [column.name for column in columns if column.kind == "constant"]
    if len(constant) == len(columns):
        raise DataError(_nothing_varies(values))
    if constant:
        warnings.warn(
            f"no variation in {_columns(constant)}: no information there, so left out of the model "
            "and put back in its answers",
            UserWarning,
            stacklevel=2,
        )
    return columns


def real_values(values: Array, columns: Sequence[Column]) -> Array:
    """(rows, all columns) to (rows, real columns), untransformed.

    A constant column that now has another value is named in a warning.

    Raises:
        DataError: a value is NaN or infinite.
    """
    check_finite(values, [column.name for column in columns])
    _warn_changed_constants(values, columns)
    kept = [i for i, column in enumerate(columns) if column.kind == "real"]
    return values if len(kept) == len(columns) else values[:, kept]


def encode_columns(values: Array, columns: Sequence[Column]) -> Array:
    """(rows, all columns) in the person's units to (rows, real columns) in model units.

    float32 stays float32; everything else becomes float64, so that integers come back exactly.

    Raises:
        DataError: a value is NaN or infinite.
    """
    _, shift, scale = _real(columns)
    units = (real_values(values, columns).astype(np.float64) - shift) / scale
    return units.astype(np.float32) if values.dtype == np.float32 else units


def decode_columns(units: Array, columns: Sequence[Column], rounded: bool) -> Array:
    """(..., real columns) in model units to (..., all columns) in the person's units, float64.

    ``rounded`` brings columns of integers to the nearest value of their type.
    """
    kept, shift, scale = _real(columns)
    values = np.empty((*units.shape[:-1], len(columns)))
    values[:] = [column.shift for column in columns]
    values[..., kept] = units.astype(np.float64) * scale + shift
    for i, column in enumerate(columns if rounded else ()):
        kind = np.dtype(column.dtype)
        if kind.kind in "biu":
            low, high = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
            values[..., i] = np.rint(values[..., i]).clip(low, high)
    return values


def matrix(raw: Any, columns: Sequence[Column], by_name: bool) -> Array:
    """The (rows, columns) values of a frame (matched by name) or an array (matched by position).

    Raises:
        DataError: a named column is missing or not numeric, or the number of columns differs.
    """
    names = [column.name for column in columns]
    if hasattr(raw, "columns"):
        found = [str(name) for name in raw.columns]
        if by_name:
            return frame_values(raw.iloc[:, _positions(names, found)])
        raw = frame_values(raw)
    values = as_array(raw)
    if values.ndim != 2:
        raise DataError(f"expected (rows, {len(names)} columns), found shape {values.shape}")
    if values.shape[1] != len(names):
        raise DataError(
            f"the data has {values.shape[1]} columns, expected {len(names)}: {listed(names)}"
        )
    return values


def frame_values(frame: Any) -> Array:
    """A numeric frame as one array; pandas' own missing value becomes NaN."""
    types = {str(dtype).lower() for dtype in frame.dtypes}
    kind = types.pop() if len(types) == 1 else "float64"
    if kind == "float32":
        return as_array(frame.to_numpy(dtype=np.float32, na_value=np.nan))
    try:
        return as_array(frame.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        text = [str(name) for name in frame.select_dtypes(exclude="number").columns]
        raise DataError(
            f"{_columns(text)} held numbers before and now does not: {error}"
        ) from error


def _positions(names: Sequence[str], found: Sequence[str]) -> list[int]:
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{_columns(missing)} missing; the data has {listed(found)}, and the model was fitted "
            f"on {listed(names)}"
        )
    return [found.index(name) for name in names]


def _moments(values: Array) -> tuple[float, float]:
    """Mean and standard deviation, safe for values near the largest float."""
    values = values.astype(np.float64)
    centre = values.min() / 2 + values.max() / 2
    radius = values.max() / 2 - values.min() / 2
    inside = (values - centre) / radius  # in [-1, 1]
    scale = max(float(radius * inside.std()), np.finfo(np.float64).tiny)
    return float(centre + radius * inside.mean()), scale


def _real(columns: Sequence[Column]) -> tuple[list[int], Array, Array]:
    kept = [i for i, column in enumerate(columns) if column.kind == "real"]
    shift = np.array([columns[i].shift for i in kept])
    return kept, shift, np.array([columns[i].scale for i in kept])


def _warn_changed_constants(values: Array, columns: Sequence[Column]) -> None:
    fixed = [i for i, column in enumerate(columns) if column.kind == "constant"]
    shift = np.array([columns[i].shift for i in fixed]).astype(values.dtype)
    changed = np.flatnonzero((values[:, fixed] != shift).any(axis=0))
    if len(changed):
        names = [columns[fixed[i]].name for i in changed]
        warnings.warn(
            f"{_columns(names)} never varied when the model was fitted and now has other values; "
            "the model does not see them",
            UserWarning,
            stacklevel=2,
        )


def _nothing_varies(values: Array) -> str:
    if len(values) == 1:
        return (
            "the data has 1 sample (n_samples = 1), and nothing varies within one; give more rows"
        )
    return f"no column varies over the {len(values):,} rows: there is nothing to model"


def _columns(names: Sequence[str]) -> str:
    quoted = [repr(name) for name in names]
    return f"column {quoted[0]}" if len(names) == 1 else f"columns {listed(quoted)}"
