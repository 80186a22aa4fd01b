"""What kind of column a column is: found from its values, or said by the person."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from lowerbound.config import from_mapping
from lowerbound.data.arrays import listed
from lowerbound.data.columns.column import LEVELED, Column, Kind, moments
from lowerbound.data.columns.dates import ISO, closest_format, formats, other_readings, rounding
from lowerbound.data.columns.quantile_normal import QuantileNormal
from lowerbound.data.columns.values import (
    distinct_values,
    missing,
    name,
    parsed_numbers,
    read_values,
)
from lowerbound.errors import DataError, OptionError, unknown

Array = np.ndarray[Any, Any]
Hint = str | Mapping[str, Any]

MOST_ORDINAL = 20  # distinct whole numbers that are levels rather than measurements
ATOM_SHARE, ATOM_LEAD = 0.1, 3.0  # of a value with mass of its own: among the rows, over the next
COUNT_LEAST, COUNT_MEDIAN = 1, 20  # counts begin at 0 or 1 and are mostly small
NAMES_SHARE, NAMES_ROWS = 0.9, 20  # text that (nearly) never repeats names rows
FEWEST_CODES = 5  # distinct texts with digits among numbers that make the numbers codes too
SAID = ("kind", "levels", "low", "high", "atom", "format")  # what a person may say of a column
SKEWED = 1.0  # skewness from which positive numbers are better seen through their logarithm
BOUNDED_REACH = 0.1  # numbers inside (0, 1) that come so near to both ends are bounded by them
SPLINE_GAIN = 0.05  # nats per row by which a bent map has to beat a straight one


def understood(
    series: Any, hint: Hint | None = None, standardize: bool = True, bend: bool = True
) -> Column:
    """The column of a frame, its kind and its way into model units.

    Args:
        series: with its name.
        hint: the person's word: a kind ("datetime:%d/%m/%Y" says the format too), or a mapping of
            a ``Column``'s fields (kind, levels, low, high, atom, format) as ``lowerbound schema``
            writes them.
        standardize: False keeps continuous columns in their own units.
        bend: False leaves them without a spline to normal scores.

    Raises:
        DataError: some rows do not fit the kind; they are named.
        OptionError: an unknown kind or field, or what is no format of dates.
    """
    found = _inferred(series) if hint is None else _told(series, hint)
    if not found.modeled or found.kind in LEVELED:
        return found
    values = read_values(series, found, fitting=True)
    values = values[~np.isnan(values)]
    if found.kind == "count":
        return found
    if found.format is not None:
        found = replace(found, round_to=rounding(values))
    return _fitted(found, values, standardize, bend)


def _told(series: Any, hint: Hint) -> Column:
    fields = _fields(hint) if isinstance(hint, str) else dict(hint)
    kind = fields.get("kind")
    if kind not in get_args(Kind):
        raise unknown(f"kind of column {series.name!r}:", kind, get_args(Kind))
    known = {key: fields[key] for key in SAID if key in fields}
    told = from_mapping(
        Column, {**known, "name": str(series.name), "dtype": numpy_name(series.dtype)}
    )
    if told.kind in LEVELED and not told.levels:
        told = replace(told, levels=_levels(series))
        _warn_names(series, told)
    if told.format is not None and told.kind != "datetime":
        raise OptionError(f"column {told.name!r}: only datetime has a format, not {told.kind}")
    if told.kind == "datetime" and told.format is None:
        told = replace(told, format=_format(series) or closest_format(_cells(series)))
    if told.kind == "bounded" and (told.low is None or told.high is None):
        raise DataError(f"column {told.name!r} is bounded: say its low and high")
    if told.kind == "mixed" and told.atom is None:
        values = read_values(series, replace(told, kind="real"))
        told = replace(told, atom=_most_common(values[~np.isnan(values)])[0])
    return told


def _fields(hint: str) -> dict[str, Any]:
    """A kind, and after a colon how it writes dates."""
    kind, colon, format = hint.partition(":")
    return {"kind": kind, "format": format} if colon else {"kind": kind}


def _inferred(series: Any) -> Column:
    import pandas as pd

    column = Column(str(series.name), dtype=numpy_name(series.dtype))
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return replace(column, kind="datetime", format=ISO)
    if isinstance(series.dtype, pd.CategoricalDtype):
        kind: Kind = "ordinal" if series.dtype.ordered else "categorical"
        levels = tuple(_scalar(level) for level in series.dtype.categories)
        return _leveled(replace(column, kind=kind, levels=levels))
    if pd.api.types.is_bool_dtype(series.dtype):
        return _leveled(replace(column, kind="binary", levels=_levels(series)))
    if pd.api.types.is_numeric_dtype(series.dtype):
        return _numeric(series, column)
    return _written(series, column)


def _written(series: Any, column: Column) -> Column:
    """A column of text or objects: numbers, dates, levels or names of rows."""
    values, text = parsed_numbers(series)
    present = ~missing(series)
    if not text.any():
        whole = bool((values[present] == np.rint(values[present])).all())
        return _numeric(series, replace(column, dtype="int64" if whole else "float64"))
    if not _are_codes(series, text):
        check_numbers(series, text)
    if _look_like_dates(series[present]) and (format := _format(series)):
        return replace(column, kind="datetime", dtype="datetime64[ns]", format=format)
    levels = _levels(series)
    if len(levels) >= NAMES_ROWS and len(levels) > NAMES_SHARE * present.sum():
        return replace(column, kind="identifier")
    return _leveled(replace(column, kind="categorical", levels=levels))


def check_numbers(series: Any, text: Array) -> None:
    """Refuse a column of numbers with text in some rows: a marker for missing values, probably.

    Args:
        series: the column.
        text: where text stands that is no number.

    Raises:
        DataError: most cells are numbers and some are not.
    """
    rows = np.flatnonzero(text)
    if len(rows) and 2 * len(rows) <= (~missing(series)).sum():
        raise DataError(
            f"column {series.name!r} holds numbers, but not in rows {listed(rows.tolist())}, "
            f"counted from 0 (row {rows[0]}: {series.iloc[rows[0]]!r}); fill or drop those rows, "
            "or say what kind of column it is"
        )


def _numeric(series: Any, column: Column) -> Column:
    values = read_values(series, column)
    values = values[~np.isnan(values)]
    distinct = np.unique(values)
    if len(distinct) <= 1:
        return replace(column, kind="constant", shift=float(distinct[0]) if len(distinct) else 0.0)
    whole = bool((distinct == np.rint(distinct)).all())
    if len(distinct) == 2:
        return replace(column, kind="binary", levels=_levels(series))
    if whole and _names_rows(column.name, values, distinct):
        return replace(column, kind="identifier")
    if whole and len(distinct) <= MOST_ORDINAL and np.ptp(distinct) <= 2 * MOST_ORDINAL:
        return replace(column, kind="ordinal", levels=_levels(series))
    atom, share, lead = _most_common(values)
    if share > ATOM_SHARE and lead > ATOM_LEAD:
        return replace(column, kind="mixed", atom=atom)
    if whole and 0 <= distinct[0] <= COUNT_LEAST and np.median(values) <= COUNT_MEDIAN:
        return replace(column, kind="count")
    if 0 < distinct[0] < BOUNDED_REACH and 1 - BOUNDED_REACH < distinct[-1] < 1:
        return replace(column, kind="bounded", low=0.0, high=1.0)
    if distinct[0] > 0 and _skewness(values) > SKEWED:
        return replace(column, kind="positive")
    return column


def _leveled(column: Column) -> Column:
    if len(column.levels) == 2:
        return replace(column, kind="binary")
    return column if len(column.levels) > 1 else replace(column, kind="constant")


def _levels(series: Any) -> tuple[Any, ...]:
    """Distinct values in order: numbers by size, text by name; NaN is none of them."""
    distinct = {name(value): _scalar(value) for value in distinct_values(series)}
    try:
        return tuple(sorted(distinct.values(), key=float))
    except ValueError:
        return tuple(distinct[key] for key in sorted(distinct))


def _fitted(column: Column, values: Array, standardize: bool, bend: bool) -> Column:
    """With the way into model units that the values give it."""
    if column.kind == "mixed":
        values = values[values != column.atom]
    bare = replace(column, shift=0.0, scale=1.0, spline=None)
    units = replace(bare, kind="real" if column.kind == "mixed" else column.kind).encode(values)
    if not standardize or len(units) < 2 or np.ptp(units) == 0:
        return column
    shift, scale = moments(units)
    standardized = (units - shift) / scale
    spline = QuantileNormal.fit(standardized) if bend else None
    if spline is not None and _gain(spline, standardized) < SPLINE_GAIN:
        spline = None
    distinct = np.unique(standardized)
    gaps = np.diff(distinct if spline is None else spline(distinct))
    resolution = float(np.quantile(gaps, 0.05)) if len(gaps) else 0.0
    return replace(column, shift=shift, scale=scale, spline=spline, resolution=resolution)


def _gain(spline: QuantileNormal, standardized: Array) -> float:
    """Nats per row of a normal density through the spline above one without it."""
    bent = spline.log_slope(standardized) - 0.5 * spline(standardized) ** 2
    return float((bent + 0.5 * standardized**2).mean()) - len(spline.values) / len(standardized)


def _most_common(values: Array) -> tuple[float, float, float]:
    """(the most common value, its share, how many times more common than the next)."""
    distinct, counts = np.unique(values, return_counts=True)
    order = np.argsort(counts)
    first, second = counts[order[-1]], counts[order[-2]] if len(order) > 1 else 1
    return float(distinct[order[-1]]), float(first / len(values)), float(first / second)


def _names_rows(label: str, values: Array, distinct: Array) -> bool:
    """Whole numbers that never repeat name rows if they are called so or simply count up."""
    if len(distinct) < len(values) or len(values) < NAMES_ROWS:
        return False
    words = label.lower().replace("-", "_").split("_")
    return "id" in words or bool(distinct[-1] - distinct[0] == len(distinct) - 1)


def _are_codes(series: Any, text: Array) -> bool:
    """Whether the cells that are no numbers are many and hold digits, as in "V57": codes of text,
    most of which happen to look like numbers, rather than a few markers."""
    odd = {name(value) for value in series[text].unique()}
    return len(odd) >= FEWEST_CODES and all(any(c.isdigit() for c in value) for value in odd)


def _look_like_dates(series: Any) -> bool:
    return bool(series.astype(str).str.match(r"^\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}").all())


def _format(series: Any) -> str | None:
    """The one format by which every cell is a date; None: there is none.

    A warning says so where another one fits too.
    """
    import pandas as pd

    if pd.api.types.infer_dtype(series, skipna=True) in ("datetime64", "datetime", "date"):
        return ISO
    cells = _cells(series)
    found = formats(cells)
    if others := other_readings(cells, found):
        warnings.warn(
            f"column {series.name!r}: its dates fit {found[0]} and {listed(others)}, and are read "
            f"as {found[0]}; if that is wrong, say "
            f"--kind {shlex.quote(f'{series.name}=datetime:{others[0]}')}",
            UserWarning,
            stacklevel=4,
        )
    return found[0] if found else None


def _cells(series: Any) -> list[str]:
    return [name(value) for value in distinct_values(series)]


def _skewness(values: Array) -> float:
    shift, scale = moments(values)
    return float((((values - shift) / scale) ** 3).mean())


def _warn_names(series: Any, column: Column) -> None:
    if len(column.levels) > NAMES_SHARE * max(len(series), 1):
        warnings.warn(
            f"column {column.name!r} has {len(column.levels):,} levels in {len(series):,} rows: it "
            "names rows rather than classes, and the model can only learn it by heart; kind "
            "'identifier' leaves it out",
            UserWarning,
            stacklevel=4,
        )


def numpy_name(dtype: Any) -> str:
    """numpy's name of a pandas type, its own nullable ones (Int64, boolean) included; "str" for
    text and categories."""
    kind = str(dtype).lower().removesuffix("[pyarrow]")
    if kind.startswith("datetime64"):
        return "datetime64[ns]"
    if kind in ("object", "str", "string", "category"):
        return "str"
    kind = {"boolean": "bool", "double": "float64", "float": "float32"}.get(kind, kind)
    try:
        return str(np.dtype(kind))
    except TypeError:  # decimals and the like have been turned into floats
        return "float64"


def check_hints(hints: Mapping[str, Hint], columns: Iterable[Any]) -> None:
    """Refuse kinds of columns that are not there.

    Raises:
        OptionError: the nearest name is suggested.
    """
    names = [str(column) for column in columns]
    for hinted in hints:
        if hinted not in names:
            raise unknown("column", hinted, names)


def _scalar(value: Any) -> Any:
    """A level as JSON can hold it."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, (bool, int, float, str)) else str(value)
