r"""Exact conversion of columns of numbers to model units and back.

A constant column is not part of the event, and is added again after decoding.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array, as_array, check_finite, check_no_inf, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import BULKS, RealKind, bulk_of, moments
from lowerbound.data.columns.values import numbers
from lowerbound.errors import DataError

FARTHEST = 1e18  # model units, whose square is a number of float32


def real_columns(
    values: Array,
    names: Sequence[str],
    dtypes: Sequence[str],
    *,
    standardize: bool = True,
    missing: bool = False,
    far: bool = False,
) -> tuple[Column, ...]:
    """Fit the columns of (rows, columns) data as real numbers.

    Args:
        values: NaN if missing.
        names, dtypes: of the columns.
        standardize: scale them to mean 0 and standard deviation 1.
        missing: whether NaN is allowed.
        far: whether the map of a column with values far from the others may be logarithmic there.

    Raises:
        DataError: a value is infinite, NaN is not allowed, or no column varies.
    """
    check_values(values, names, missing)
    columns = tuple(
        _real_column(values[:, i], name, dtype, standardize, far)
        for i, (name, dtype) in enumerate(zip(names, dtypes, strict=True))
    )
    check_variation(columns, len(values))
    return columns


def _real_column(values: Array, name: str, dtype: str, standardize: bool, far: bool) -> Column:
    present = values if values.dtype.kind != "f" else values[~np.isnan(values)]
    if not len(present):
        return Column(name, "constant", dtype=dtype, missing_share=1.0)
    low, high = present.min(), present.max()
    if low == high:
        return Column(name, "constant", float(low), 1.0, dtype)
    if not standardize:
        return Column(name, "real", dtype=dtype)
    # a pixel that is mostly black has values far from black, and all of them are usual
    bulk = bulk_of(present.astype(np.float64), BULKS[:1]) if far else None
    column = Column(name, "real", dtype=dtype, bulk=bulk)
    shift, scale = moments(present if bulk is None else RealKind(column).h(present))
    return replace(column, shift=shift, scale=scale)


def check_variation(columns: Sequence[Column], rows: int) -> None:
    """Warn about constant and empty columns, and raise an error if there are no others.

    Raises:
        DataError: no column varies.
    """
    blank = [column.name for column in columns if column.blank]
    constant = [c.name for c in columns if not (c.modeled or c.blank)]
    if not any(column.modeled for column in columns):
        raise DataError(_nothing_varies(rows))
    if constant:
        warnings.warn(
            f"no variation in {named(constant)}: the model leaves this out, and its results have "
            "the constant value",
            UserWarning,
            stacklevel=3,
        )
    if blank:
        warnings.warn(
            f"no value in {named(blank)}: the model leaves this out, and it stays empty",
            UserWarning,
            stacklevel=3,
        )


def check_values(values: Array, names: Sequence[str], missing: bool) -> None:
    """Raise an error for infinite values, and for NaN unless it marks missing values.

    Raises:
        DataError: the message names the column and the first rows.
    """
    (check_no_inf if missing else check_finite)(values, names)


def modeled_values(values: Array, columns: Sequence[Column], missing: bool = False) -> Array:
    """Select the modeled columns of (rows, all columns), untransformed.

    A warning names constant columns that now have another value.

    Raises:
        DataError: as in ``check_values``.
    """
    check_values(values, [column.name for column in columns], missing)
    _warn_changed_constants(values, columns)
    kept = [i for i, column in enumerate(columns) if column.modeled]
    return values if len(kept) == len(columns) else values[:, kept]


def encode_columns(values: Array, columns: Sequence[Column], missing: bool = False) -> Array:
    """Convert (rows, all columns) in original units to (rows, modeled columns) in model units.

    float32 stays float32. Other types become float64, so that integers are restored exactly.
    Missing cells stay NaN. Values in whose place float32, in which networks compute, has no square
    are moved to ``FARTHEST``, and a note names them.

    Raises:
        DataError: as in ``check_values``.
    """
    modeled = [column for column in columns if column.modeled]
    inside = modeled_values(values, columns, missing).astype(np.float64)
    with np.errstate(over="ignore"):
        if all(column.affine for column in modeled):
            units = (inside - _each(modeled, "shift")) / _each(modeled, "scale")
        else:
            units = np.stack([c.encode(inside[:, i]) for i, c in enumerate(modeled)], axis=1)
    units = _near(units, inside, modeled)
    return units.astype(np.float32) if values.dtype == np.float32 else units


def _near(units: Array, values: Array, columns: Sequence[Column]) -> Array:
    """The model units, at most ``FARTHEST`` from 0; a note names a value that was farther.

    Columns that are not standardized are for models that compute in their units, such as PCA.
    """
    standardized = [column.shift != 0 or column.scale != 1 for column in columns]
    with np.errstate(invalid="ignore"):
        far = (np.abs(units) > FARTHEST) & standardized
    if not far.any():
        return units
    row, place = np.argwhere(far)[0].tolist()
    warnings.warn(
        f"column {columns[place].name!r} has {values[row, place]:g} in row {row}, counted from 0, "
        f"so far from the fitted rows that it counts as {FARTHEST:g} of their standard deviations",
        UserWarning,
        stacklevel=3,
    )
    return np.where(far, np.clip(units, -FARTHEST, FARTHEST), units)


def decode_columns(units: Array, columns: Sequence[Column], rounded: bool) -> Array:
    """Convert (..., modeled columns) in model units to (..., all columns) in original units.

    The result is float64; columns with levels have their codes, and columns without any fitted
    value NaN. ``rounded`` rounds columns of integers to the nearest value of their type.
    """
    modeled = [i for i, column in enumerate(columns) if column.modeled]
    values = np.empty((*units.shape[:-1], len(columns)))
    values[:] = [np.nan if column.blank else column.shift for column in columns]
    inside = units.astype(np.float64)
    if all(columns[i].affine for i in modeled):
        kept = [columns[i] for i in modeled]
        values[..., modeled] = inside * _each(kept, "scale") + _each(kept, "shift")
    else:
        for position, i in enumerate(modeled):
            values[..., i] = columns[i].decode(inside[..., position])
    for i, column in enumerate(columns if rounded else ()):
        values[..., i] = column.rules.rounded(values[..., i])
    return values


def log_slopes(units: Array, columns: Sequence[Column]) -> Array:
    """log dT/dv of each cell in nats, (rows, modeled columns); 0 for a probability mass."""
    modeled = [column for column in columns if column.modeled]
    slopes = [column.log_slope(units[:, i]) for i, column in enumerate(modeled)]
    return np.stack(slopes, axis=1)


def table_values(raw: Any, columns: Sequence[Column], by_name: bool) -> Array:
    """The (rows, columns) values of a frame (matched by name) or an array (matched by position).

    Columns with levels have codes; missing cells are NaN.

    Raises:
        DataError: a column is missing or has values of another kind, or the number of columns
            differs.
    """
    names = [column.name for column in columns]
    if hasattr(raw, "columns"):
        found = [str(name) for name in raw.columns]
        if by_name:
            return _frame_values(raw.iloc[:, _positions(names, found)], columns)
        raw = frame_numbers(raw)
    values = as_array(raw)
    if values.ndim != 2:
        raise DataError(f"expected (rows, {len(names)} columns), found shape {values.shape}")
    if values.shape[1] != len(names):
        raise DataError(
            f"the data has {values.shape[1]} columns, expected {len(names)}: {listed(names)}"
        )
    if any(column.levels for column in columns):
        import pandas as pd

        return _frame_values(pd.DataFrame(values, columns=names), columns)
    return values


def matched(raw: Any, columns: Sequence[Column], by_name: bool) -> Any:
    """The columns of the fit as a frame; those of an array are matched by position.

    Raises:
        DataError: a column is missing.
    """
    import pandas as pd

    names = [column.name for column in columns]
    if not hasattr(raw, "columns"):
        return pd.DataFrame(as_array(raw), columns=names)
    return raw.iloc[:, _positions(names, [str(name) for name in raw.columns])] if by_name else raw


def frame_numbers(frame: Any) -> Array:
    """Convert a numeric frame to one array; pandas' missing value becomes NaN."""
    types = {str(dtype).lower() for dtype in frame.dtypes}
    kind = types.pop() if len(types) == 1 else "float64"
    if kind == "float32":
        return as_array(frame.to_numpy(dtype=np.float32, na_value=np.nan))
    return as_array(np.stack([numbers(frame.iloc[:, i]) for i in range(frame.shape[1])], axis=1))


def named(names: Sequence[str]) -> str:
    """The names of columns for a message, in quotation marks."""
    quoted = [repr(name) for name in names]
    return f"column {quoted[0]}" if len(names) == 1 else f"columns {listed(quoted)}"


def _frame_values(frame: Any, columns: Sequence[Column]) -> Array:
    if all(column.rules.any_number for column in columns):
        return frame_numbers(frame)
    parts = [column.rules.read(frame.iloc[:, i]) for i, column in enumerate(columns)]
    return np.stack(parts, axis=1)


def _positions(names: Sequence[str], found: Sequence[str]) -> list[int]:
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{named(missing)} missing; the data has {listed(found)}, and the model was fitted "
            f"on {listed(names)}"
        )
    return [found.index(name) for name in names]


def _each(columns: Sequence[Column], field: str) -> Array:
    return np.array([getattr(column, field) for column in columns])


def _warn_changed_constants(values: Array, columns: Sequence[Column]) -> None:
    fixed = [i for i, column in enumerate(columns) if not column.modeled]
    if not fixed:
        return
    shift = np.array([columns[i].shift for i in fixed]).astype(values.dtype)
    inside = values[:, fixed]
    changed = np.flatnonzero(((inside != shift) & (inside == inside)).any(axis=0))
    if len(changed):
        names = [columns[fixed[i]].name for i in changed]
        warnings.warn(
            f"{named(names)} did not vary when the model was fitted and now "
            f"{'has' if len(names) == 1 else 'have'} other values; "
            "the model ignores them",
            UserWarning,
            stacklevel=2,
        )


def _nothing_varies(rows: int) -> str:
    if rows == 1:
        return "the data has 1 sample (n_samples = 1), so no column varies; give more rows"
    return f"no column varies over the {rows:,} rows: there is nothing to model"
