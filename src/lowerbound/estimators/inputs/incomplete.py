"""Rows with missing cells in the user's form, before and after imputation."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowerbound.data.arrays import Array, as_array
from lowerbound.data.columns.values import missing, with_room_for_gaps
from lowerbound.estimators.inputs.rows import is_frame


def gone(X: Any) -> Array:
    """The mask of missing cells, (rows, columns)."""
    if is_frame(X):
        return np.stack([missing(X.iloc[:, i]) for i in range(X.shape[1])], axis=1)
    values = as_array(X)
    if values.dtype.kind != "f":
        return np.zeros(values.shape, dtype=bool)
    cells: Array = np.isnan(values)
    return cells


def with_gaps(X: Any, marker: Any) -> Any:
    """The rows with NaN instead of ``marker``."""
    import pandas as pd

    if pd.isna(marker):
        return X
    if is_frame(X):
        marked = (marker == X) & _alike(X, marker)
        made = X.copy(deep=False)
        for place in np.flatnonzero(marked.any()):
            # floats have too few digits for whole numbers above 2**53
            made.isetitem(place, with_room_for_gaps(X.iloc[:, place]))
        return made.mask(marked)
    marked = marker == X
    return np.where(marked, np.nan, X) if marked.any() else X


def _alike(X: Any, marker: Any) -> Array:
    """Which columns of a frame have truth values if the marker is one, and none if it is not: 0 and
    False are equal."""
    import pandas as pd

    truth = np.array([pd.api.types.is_bool_dtype(dtype) for dtype in X.dtypes], dtype=bool)
    return np.asarray(truth == isinstance(marker, (bool, np.bool_)))


def without(X: Any, empty: Array) -> Any:
    """The columns with an observed value in the fit."""
    if not empty.any():
        return X
    return X.loc[:, ~empty] if is_frame(X) else X[:, ~empty]


def with_zeros(filled: Any, X: Any, empty: Array) -> Any:
    """The rows with their empty columns in place; missing cells of these are zero in the type of
    the column, and stay missing in a type without a zero: text, levels, dates, objects."""
    if not empty.any():
        return filled
    if not is_frame(X):
        wide = np.where(gone(X), 0, X)
        wide[:, ~empty] = filled
        return wide
    import pandas as pd

    columns, rest = [], iter(range(filled.shape[1]))
    for i in range(X.shape[1]):
        columns.append(_zeros(X.iloc[:, i]) if empty[i] else filled.iloc[:, next(rest)])
    return pd.concat(columns, axis=1)


def _zeros(series: Any) -> Any:
    """A column with zero, or False, in its missing cells, if its type has these."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(series.dtype):
        return series
    return series.fillna(False if pd.api.types.is_bool_dtype(series.dtype) else 0)


def with_indicator(filled: Any, X: Any, columns: Array, names: list[str]) -> Any:
    """The rows with a mask of missing cells for some columns of X appended."""
    indicators = gone(X)[:, columns]
    if not is_frame(X):
        return np.hstack([filled, indicators.astype(filled.dtype)])
    import pandas as pd

    beside = pd.DataFrame(indicators, columns=names, index=X.index)
    return pd.concat([filled, beside], axis=1)
