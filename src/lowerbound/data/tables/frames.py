"""Tables as pandas frames: the modeled columns and the label, in the types of the fitted table.

Some of these are types of pandas that numpy has not.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.levels import in_level_type
from lowerbound.data.columns.matrix import named
from lowerbound.data.columns.values import check_numbers, parsed_numbers, with_room_for_gaps
from lowerbound.data.raw import RawData
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError, counted

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


def from_frame(
    frame: Any,
    label: str | None = None,
    schema: Schema | None = None,
    source: str = "",
    numbers_only: bool = False,
) -> RawData:
    """Separate a frame into its features and its label.

    Args:
        frame: a pandas frame.
        label: name of the label's column; None: that of ``schema``, if the frame has it.
        schema: of an earlier fit; columns are then matched by name, in any order.
        source: for reports.
        numbers_only: leave out columns that are not numeric, with a warning.

    Raises:
        DataError: there are no rows, two columns have the same name, the label does not exist, no
            column can be modeled, or a column of numbers has text in some rows.
    """
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    check_filled(frame, source)
    names = list(frame.columns)
    check_unique(names)
    label = _label_column(names, label, schema)
    labels = None if label is None else frame[label]
    features = frame.drop(columns=[label] if label is not None else [])
    if schema is not None:
        features = _known_columns(features, schema)
    text: list[str] = []
    if numbers_only and schema is None:
        features, text = _numeric(features)
        if text:
            _warn_text(frame, text)
    if not features.shape[1] and schema is not None:
        wanted = [column.name for column in schema.columns]
        raise DataError(
            f"the table has none of the model's columns ({listed(wanted)}); it has {listed(names)}"
        )
    if not features.shape[1]:
        kind = "of numbers" if numbers_only else "to model"
        raise DataError(f"the table has no column {kind}; it has {listed(names)}")
    return RawData(features, labels=labels, label_column=label, left_out=tuple(text), source=source)


def check_filled(frame: Any, source: str = "") -> None:
    """Raise DataError if a frame has no row or no column."""
    rows, columns = frame.shape
    if not rows or not columns:
        where = f" in {source}" if source else ""
        raise DataError(f"the table{where} is empty: {rows:,} rows, {counted(columns, 'column')}")


def check_unique(names: Sequence[str]) -> None:
    """Raise DataError if two columns have the same name."""
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise DataError(f"several columns are named {listed(twice)}; rename them")


def _label_column(names: list[str], label: str | None, schema: Schema | None) -> str | None:
    if label is None:
        known = None if schema is None else schema.label_column
        return known if known in names else None
    if label not in names:
        close = difflib.get_close_matches(label, names, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"the table has {listed(names)}"
        raise DataError(f"there is no column {label!r} for the label; {hint}")
    return label


def _known_columns(frame: Any, schema: Schema) -> Any:
    """Drop the columns that the schema does not have; a warning names unexpected ones."""
    if matched_by_place(frame.columns, schema):
        return frame
    wanted = {column.name for column in schema.columns}
    extra = [name for name in frame.columns if name not in wanted]
    unexpected = [n for n in extra if n not in schema.left_out and n != schema.label_column]
    if unexpected:
        warnings.warn(
            f"the model was not fitted on {named(unexpected)}: ignored",
            UserWarning,
            stacklevel=3,
        )
    return frame.drop(columns=extra)


def matched_by_place(names: Iterable[str], schema: Schema) -> bool:
    """Whether columns of these names are those of an array, which have no names of their own."""
    wanted = {column.name for column in schema.columns}
    return not schema.data_kind.named_columns and not wanted <= set(names)


def _numeric(frame: Any) -> tuple[Any, list[str]]:
    """(the numeric columns, the names of the others)."""
    import pandas as pd

    numbers: dict[str, Any] = {}
    text: list[str] = []
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            numbers[name] = column
        elif (parsed := _parsed(column)) is not None:
            numbers[name] = parsed
        else:
            text.append(name)
    return pd.DataFrame(numbers, index=frame.index), text


def _parsed(column: Any) -> Any:
    """A numeric column written as text or objects; None for text, dates or categories.

    Raises:
        DataError: most cells are numbers and some are not, probably an unknown missing marker.
    """
    import pandas as pd

    if not (
        pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype)
    ):
        return None
    values, text = parsed_numbers(column)
    if text.any():
        check_numbers(column, text)
        return None
    return pd.Series(values, index=column.index)


def _warn_text(frame: Any, text: Iterable[str]) -> None:
    examples = [f"{name!r} (such as {frame[name].iloc[0]!r})" for name in text]
    warnings.warn(
        f"only numbers are modeled: left out {listed(examples)}", UserWarning, stacklevel=3
    )


def to_frame(schema: Schema, x: Any, rounded: bool = True, within_range: bool = False) -> Any:
    """Convert rows in model units to a pandas frame in original units and types.

    Args:
        schema: of a table or of vectors.
        x: (rows, *event_shape); NaN is a missing cell.
        rounded: False returns floats for integer columns, for example for the mean of a prediction.
        within_range: set numbers and dates outside the range of the fitted rows to its nearer end.
    """
    import pandas as pd

    units = np.asarray(x)
    gaps = schema.data_kind.laid_out(schema, np.isnan(units))
    gaps |= np.array([column.blank for column in schema.columns])
    values = schema.decode(np.nan_to_num(units, nan=0.0), rounded)
    if within_range:
        ranges = [column.observed or (-np.inf, np.inf) for column in schema.columns]
        values = np.clip(values, *np.transpose(ranges))
    columns = enumerate(schema.columns)
    frame = pd.DataFrame({c.name: c.rules.typed(values[:, i], rounded) for i, c in columns})
    frame = _with_gaps(frame, gaps) if gaps.any() else frame
    for column in schema.columns:
        frame[column.name] = in_frame_type(frame[column.name], column, rounded)
    return frame


def _with_gaps(frame: Any, gaps: Array) -> Any:
    """The frame without some cells; columns of whole numbers or bits get pandas' own types."""
    frame = frame.copy()
    for place, name in enumerate(frame.columns):
        if not gaps[:, place].any():
            continue
        frame[name] = with_room_for_gaps(frame[name]).mask(gaps[:, place])
    return frame
