"""Conversion of numbers to numpy arrays, and checks of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lowerbound.errors import DataError, NotFiniteError

Array = np.ndarray[Any, Any]

GAPS_MODELED = (
    ", or have missing cells modeled by missing='model' (data_options={'missing': 'model'} of an "
    "estimator)"
)
SHOWN = 5  # rows, names or files listed in a message before "and n more"


def as_array(raw: Any, what: str = "the data") -> np.ndarray[Any, Any]:
    """Convert to a numpy array of booleans, integers or floats, without a copy if possible.

    Args:
        raw: numpy array, torch tensor (any device), nested lists, or another input of
            ``np.asarray``.
        what: name of the data in messages.

    Raises:
        DataError: the data is ragged, sparse, complex, text, or empty.
    """
    if raw is None:
        raise DataError(f"{what} is None: give an array, a frame or a path")
    if isinstance(raw, Mapping):
        raise DataError(f"{what} is a dict, which is no table: give pandas.DataFrame(values)")
    raw = without_mask(raw)
    if isinstance(raw, torch.Tensor):
        raw = raw.detach().cpu()
        raw = raw.float().numpy() if raw.dtype is torch.bfloat16 else raw.numpy()
    if hasattr(raw, "toarray"):
        raise DataError(f"{what} is a sparse matrix; pass a dense one: X.toarray()")
    try:
        array = np.asarray(raw)
    except ValueError as error:
        raise DataError(_ragged_message(raw, what)) from error
    if array.dtype == object:
        array = _from_objects(array, what)
    if array.dtype.kind not in "buif":
        frame = ", or a pandas frame with columns of text" if array.dtype.kind == "U" else ""
        raise DataError(
            f"{what} holds {_kind_name(array.dtype)}; only real numbers can be modeled{frame}"
        )
    if array.size == 0:
        raise DataError(f"{what} is empty: its shape is {array.shape}, with 0 sample(s)")
    return array.astype(_native(array.dtype), copy=False)


def without_mask(raw: Any) -> Any:
    """A masked array of numpy with NaN in its masked cells; anything else unchanged."""
    if not isinstance(raw, np.ma.MaskedArray):
        return raw
    if not np.ma.is_masked(raw) or raw.dtype.kind not in "biufO":
        return raw.data
    return np.ma.filled(raw.astype(np.float64) if raw.dtype.kind in "biu" else raw, np.nan)


def listed(items: Sequence[object], total: int | None = None) -> str:
    """The first few items and the number of the others: "3, 17 and 4 more"."""
    count = len(items) if total is None else total
    shown = ", ".join(str(item) for item in items[:SHOWN])
    return f"{shown} and {count - SHOWN:,} more" if count > SHOWN else shown


def row_numbers(rows: Sequence[int]) -> str:
    """The numbers of some rows: "row 3" or "rows 3, 17 and 4 more"."""
    return f"row{'s' * (len(rows) != 1)} {listed(rows)}"


def check_finite(values: np.ndarray[Any, Any], names: Sequence[str]) -> None:
    """Raise an error for NaN and infinities in (rows, columns).

    The message names the column and the first rows.

    Raises:
        DataError: a value is NaN or infinite.
    """
    with np.errstate(all="ignore"):
        if values.dtype.kind != "f" or np.isfinite(values.sum()):
            return  # if the sum is finite, so is every value
    finite = np.isfinite(values)
    columns = np.flatnonzero(~finite.all(axis=0))
    if not len(columns):
        return  # the sum overflowed, the values did not
    first = int(columns[0])
    bad = values[~finite[:, first], first]
    rows = np.flatnonzero(~finite[:, first])
    kind = "NaN" if np.isnan(bad).all() else "inf" if np.isinf(bad).all() else "NaN and inf"
    others = f" ({len(columns) - 1} more columns too)" if len(columns) > 1 else ""
    raise DataError(
        f"column {names[first]!r} has {kind} in {row_numbers(rows.tolist())}, counted from 0"
        f"{others}; fill or drop those rows{GAPS_MODELED if kind == 'NaN' else ''}"
    )


def check_no_inf(values: np.ndarray[Any, Any], names: Sequence[str]) -> None:
    """Raise an error for infinite values in (rows, columns).

    Raises:
        DataError: a value is infinite.
    """
    if values.dtype.kind == "f" and np.isinf(values).any():
        check_finite(np.where(np.isnan(values), 0, values), names)


def check_finite_rows(values: np.ndarray[Any, Any], what: str) -> None:
    """Raise an error for NaN and infinities in an array of any shape.

    Raises:
        DataError: a value is NaN or infinite.
    """
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    rows = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    raise DataError(
        f"{what} has NaN or inf in {row_numbers(rows.tolist())}, counted from 0; fill or drop them"
    )


def without_nan(
    values: np.ndarray[Any, Any], missing: bool
) -> tuple[np.ndarray[Any, Any], torch.Tensor | None]:
    """(values with 0 in place of NaN, observed mask); the mask is None without missing values."""
    if not missing or values.dtype.kind != "f":
        return values, None
    observed = ~np.isnan(values)
    if observed.all():
        return values, None
    return np.where(observed, values, values.dtype.type(0)), torch.from_numpy(observed)


def observed_values(values: np.ndarray[Any, Any], missing: bool) -> np.ndarray[Any, Any]:
    """The observed values, flattened if some are missing.

    Raises:
        DataError: no value is observed.
    """
    if not missing or values.dtype.kind != "f" or not np.isnan(values).any():
        return values
    seen: np.ndarray[Any, Any] = values[~np.isnan(values)]
    if not len(seen):
        raise DataError("every value is missing: there is nothing to learn from")
    return seen


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A type that torch supports: native byte order, floats of 32 or 64 bits."""
    if dtype.kind == "f":
        return np.dtype(np.float64 if dtype.itemsize > 4 else np.float32)
    return dtype.newbyteorder("=")


def check_numbers(x: torch.Tensor, gaps: bool = False) -> None:
    """Check values that a model computed, before they are written.

    Args:
        x: the values.
        gaps: whether NaN is a missing cell, unless all cells are.

    Raises:
        NotFiniteError: one is NaN or infinite, as those of a model that overflows.
    """
    if not x.is_floating_point() or not x.numel():
        return
    absent = x.isnan()
    if bool(x.isinf().any()) or bool(absent.all() if gaps else absent.any()):
        raise NotFiniteError("the model gives values that are NaN or infinite")


def _from_objects(array: np.ndarray[Any, Any], what: str) -> np.ndarray[Any, Any]:
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        if array.ndim == 1 and any(hasattr(row, "__len__") for row in array):
            raise DataError(_ragged_message(array, what)) from error
        # numpy's message names the wrong value
        raise DataError(f"{what} holds values that are not numbers: {error}") from error


def _ragged_message(raw: Any, what: str) -> str:
    lengths = [len(row) if hasattr(row, "__len__") else 0 for row in raw]
    odd = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
    if odd is None:
        return f"{what} is ragged: its rows do not all have the same shape"
    return f"{what} is ragged: row {odd} has {lengths[odd]} values, row 0 has {lengths[0]}"


def _kind_name(dtype: np.dtype[Any]) -> str:
    names = {"c": "complex data", "U": "text", "S": "bytes", "M": "dates", "m": "time differences"}
    return names.get(dtype.kind, f"values of type {dtype}")
