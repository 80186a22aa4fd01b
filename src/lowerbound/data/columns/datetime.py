"""Date columns: seconds since 1970, parsed and written in the column's format."""

from __future__ import annotations

import shlex
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import Continuous
from lowerbound.data.columns.dates import (
    DAY,
    ISO,
    as_dates,
    as_text,
    as_written,
    closest_format,
    compact_format,
    formats,
    in_strptime,
    in_zone,
    is_date_type,
    looks_like_date,
    of_cells,
    other_readings,
    rounding,
    seconds,
    without_zone,
)
from lowerbound.data.columns.inference import Sample
from lowerbound.data.columns.kind import COLUMN_KINDS
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.columns.values import distinct_values, factorized, level_name, refuse

OF_DATES = ("datetime64", "datetime", "date", "period")  # of pandas, for what a column holds


@COLUMN_KINDS.register("datetime")
class DatetimeKind(Continuous):
    """Dates or periods of pandas' types, or text with a format that fits every cell."""

    rank = 0
    straight = True
    has_format = True

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        if (sample.numeric and not sample.whole) or not len(sample.present):
            return None
        format: str | None
        if is_date_type(sample.series.dtype):
            format, dtype = ISO, "datetime64[ns]"
        elif sample.numeric:
            format, dtype = compact_format(sample.distinct), sample.column.dtype
        elif sample.written and all(looks_like_date(cell) for cell in _cells(sample.series)):
            format, dtype = _format(sample.series), "datetime64[ns]"
        else:
            return None
        if format is None:
            return None
        kind = "datetime" if sample.present.nunique() > 1 else "constant"
        return replace(sample.column, kind=kind, format=format, dtype=dtype)

    def completed(self, series: Any) -> Column:
        format = self.column.format
        if format is None:
            return replace(self.column, format=_format(series) or closest_format(_cells(series)))
        return replace(self.column, format=as_written(format, _cells(series)))

    def fitted_to(self, values: Array, standardize: bool, normal_scores: bool) -> Column:
        found = super().fitted_to(values, standardize, normal_scores)
        return found if found.format is None else replace(found, round_to=rounding(values))

    def read(self, series: Any, *, fitting: bool = False) -> Array:
        gone, format = self.missing(series), self.column.format
        if format is None or is_date_type(series.dtype):
            values = of_cells(series.mask(gone))
        else:
            codes, distinct = factorized(series)
            # pandas gives missing values the code -1, which selects the last entry
            values = np.append(seconds([level_name(value) for value in distinct], format), np.nan)
            values = np.where(gone, np.nan, values[codes])
        if not fitting and self._accepts_others(series):
            return self._of_dates(series, values, gone)
        how = "" if format in (None, ISO) else f" written as {in_strptime(format)}"
        words = f"column {series.name!r} holds dates{how}, but not"
        refuse(np.isnan(values) & ~gone, series, words)
        return values

    def _of_dates(self, series: Any, values: Array, gone: Array) -> Array:
        """Later numbers that are no dates, such as 0, are missing; a warning names them."""
        other = series[np.isnan(values) & ~gone]
        if len(other):
            warnings.warn(
                f"column {series.name!r} has numbers that are no dates: "
                f"{listed([level_name(value) for value in other.unique()])}; they count as missing",
                UserWarning,
                stacklevel=4,
            )
        return values

    def unseen(self, series: Any) -> Array:
        if not self._accepts_others(series):
            return super().unseen(series)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.isnan(self.read(series)) & ~self.missing(series)

    def localized(self, series: Any) -> Any:
        """Dates without a zone are in the zone of the fitted column."""
        import pandas as pd

        if not self.column.frame_dtype.startswith("datetime64["):
            return series
        zone = getattr(pd.api.types.pandas_dtype(self.column.frame_dtype), "tz", None)
        values = of_cells(series)
        if zone is None or np.isnan(values).any():
            return series
        local = np.where(without_zone(series), in_zone(values, zone), values)
        return as_dates(local, 0).dt.tz_localize("UTC").set_axis(series.index)

    def _accepts_others(self, series: Any) -> bool:
        """Whether numbers that are no dates are missing: not if the format is one of text."""
        import pandas as pd

        return self._of_numbers and bool(pd.api.types.is_numeric_dtype(series.dtype))

    @property
    def _of_numbers(self) -> bool:
        """Whether the format writes numbers such as 20240531."""
        format = self.column.format
        return format is not None and bool(as_text(np.zeros(1), format, 0)[0].isdecimal())

    @property
    def lattice(self) -> Lattice:
        return self.column.lattice or Lattice(float(self.column.round_to))

    def typed(self, values: Array, rounded: bool = True) -> Any:
        if self.column.format in (None, ISO):
            return as_dates(values, self.column.round_to).to_numpy()
        return _written(values, self.column.format, self.column.round_to, self.column.dtype)

    def with_room(self, series: Any, exact: bool) -> Any:
        import pandas as pd

        numbers = pd.api.types.is_numeric_dtype(series.dtype)  # also the type of an empty column
        if isinstance(series.dtype, pd.CategoricalDtype) or (numbers and not self._of_numbers):
            return series.astype(object)
        if pd.api.types.infer_dtype(series, skipna=True) != "datetime":
            return series.copy()
        return as_dates(of_cells(series.mask(self.missing(series))), 0).set_axis(series.index)

    def filling(self, answers: Array, like: Any, exact: bool) -> Any:
        """Dates of the type and zone of the cells, or text, or numbers such as 20240531."""
        import pandas as pd

        dtype = like.dtype
        if pd.api.types.infer_dtype(like, skipna=True) == "date":  # of Python
            return as_dates(answers, DAY).dt.date.astype(dtype).array
        if is_date_type(dtype):
            dates, zone = as_dates(answers, self.column.round_to), getattr(dtype, "tz", None)
            if zone is not None:
                dates = dates.dt.tz_localize("UTC").dt.tz_convert(zone)
            return dates.astype(dtype).array
        format = self.column.format or next(iter(formats(_cells(like))), ISO)
        return _written(answers, format, self.column.round_to, dtype)


def _written(values: Array, format: str, round_to: int, dtype: Any) -> Any:
    """Dates as text, or as numbers such as 20240531."""
    import pandas as pd

    text = as_text(values, format, round_to)
    if not pd.api.types.is_numeric_dtype(dtype):
        return text
    numbers = pd.to_numeric(text)
    return numbers if np.isnan(values).any() else numbers.astype(dtype)


def _format(series: Any) -> str | None:
    """The format that fits every cell; None: no format fits.

    A warning names other formats that also fit.
    """
    import pandas as pd

    if pd.api.types.infer_dtype(series, skipna=True) in OF_DATES:
        return ISO
    cells = _cells(series)
    found = formats(cells)
    if others := other_readings(cells, found):
        warnings.warn(
            f"column {series.name!r}: its dates fit {found[0]} and {listed(others)}, and are read "
            f"as {found[0]}; if that is wrong, use "
            f"--kind {shlex.quote(f'{series.name}=datetime:{others[0]}')}",
            UserWarning,
            stacklevel=5,
        )
    return as_written(found[0], cells) if found else None


def _cells(series: Any) -> list[str]:
    return [level_name(value) for value in distinct_values(series, words=False)]
