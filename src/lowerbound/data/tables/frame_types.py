"""The types of pandas that numpy has not, and columns in the types of the fitted table."""

from __future__ import annotations

import re
from typing import Any

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.text.level_types import in_level_type

_DECIMAL = re.compile(r"decimal(128|256)\((\d+), (\d+)\)\[pyarrow\]")
DATE = "date"  # of pandas' infer_dtype
ORDERED = "ordered category"
OF_PANDAS = (
    *("boolean", "string", "Float32", "Float64"),
    *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)),
)


def frame_dtype(series: Any) -> str:
    """pandas' name of a type that numpy has not, or of dates that are not in nanoseconds, or of
    periods; ``DATE`` for Python's dates; "" for others."""
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        return ORDERED if series.dtype.ordered else "category"
    name = str(series.dtype)
    if name == "object" and pd.api.types.infer_dtype(series, skipna=True) == DATE:
        return DATE
    dates = name.startswith(("datetime64[", "period[")) and name != "datetime64[ns]"
    return name if dates or name in OF_PANDAS else ""


def decimal_type(name: str) -> Any:
    """Arrow's type of decimals, which pandas does not make from its name; None: another type."""
    found = _DECIMAL.fullmatch(name)
    if found is None:
        return None
    import pandas as pd
    import pyarrow as pa

    make = pa.decimal256 if found[1] == "256" else pa.decimal128
    return pd.ArrowDtype(make(int(found[2]), int(found[3])))


def in_frame_type(series: Any, column: Column, rounded: bool = True) -> Any:
    """Values of a column in its type; expectations of whole numbers stay floats, of pandas' own
    types in Float64.

    Args:
        series: of pandas, some cells may be missing.
        column: of the fitted table.
        rounded: whether the values are possible ones, not expectations.
    """
    import pandas as pd

    name, made = column.frame_dtype, series
    if column.notation is not None:
        made = column.notation.in_type(series)
    if name in ("category", ORDERED):
        kind = pd.CategoricalDtype(list(column.levels) or None, ordered=name == ORDERED)
        made = series.astype(kind)
    elif name == DATE and series.dtype.kind == "M":
        made = series.dt.date
    elif name.startswith("datetime64[") and series.dtype.kind == "M":
        made = _dates_in_type(series, name)
    elif not rounded and made.dtype.kind == "f":
        made = _expectations_in_type(made, column)
    elif name and not name.startswith("date"):
        made = series.astype(name)
    return in_level_type(made, column.level_type)


def _expectations_in_type(series: Any, column: Column) -> Any:
    """Expectations in the type of a column of fractions, or of nullable whole numbers as Float64;
    others unchanged."""
    import pandas as pd

    nullable = column.frame_dtype in OF_PANDAS
    own = pd.api.types.pandas_dtype(column.frame_dtype if nullable else column.dtype)
    if pd.api.types.is_float_dtype(own):
        return series.clip(*column.rules.type_range).astype(own)
    return series.astype("Float64") if nullable and pd.api.types.is_integer_dtype(own) else series


def _dates_in_type(series: Any, name: str) -> Any:
    """Dates in a type of pandas, and in its time zone."""
    import pandas as pd

    zone = getattr(pd.api.types.pandas_dtype(name), "tz", None)
    dates = series.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else series
    # dates that nanoseconds cannot express come in microseconds
    keep = name.startswith("datetime64[ns") and series.dt.unit != "ns"
    return dates if keep else dates.astype(name)
