"""The kind of a column, inferred from its values or given by a hint."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lowerbound.config import from_mapping
from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.dates import is_date_type
from lowerbound.data.columns.kind import COLUMN_KINDS
from lowerbound.data.columns.values import (
    EXACT,
    Level,
    are_texts,
    are_whole,
    check_numbers,
    distinct_levels,
    distinct_values,
    exact_whole,
    factorized,
    finite_numbers,
    level_name,
    markers_of,
    marks_of,
    missing,
    parsed_numbers,
    scalar,
)
from lowerbound.errors import DataError, OptionError, unknown

Hint = str | Mapping[str, Any]

MOST_MIXED = 20  # distinct whole numbers and texts that are levels together
FEWEST_CODES = 5  # distinct texts with digits, from which the numbers among them are codes too
MOST_WORDS = 0.05  # share of the distinct texts beside numbers that have no digit, among codes
FEWEST_MARKED = 2  # cells with one number, from which it may mark missing values
_PADDED = re.compile(r"0\d+")
HINT_FIELDS = ("kind", "levels", "low", "high", "atom", "format")  # fields that a hint may contain


def _beyond_floats(series: Any) -> bool:
    """Whether a column of whole numbers has some that float64 cannot tell from their neighbors."""
    present = series.dropna()
    return bool(len(present)) and bool(present.max() > EXACT or present.min() < -EXACT)


def _exact(series: Any) -> Any:
    """A column of text with whole numbers as such numbers; None: some are others, or too long."""
    import pandas as pd

    text = series.where(~missing(series)).map(
        lambda cell: cell.strip() if isinstance(cell, str) else cell, na_action="ignore"
    )
    if not are_whole(text):
        return None
    found = exact_whole(text)
    return None if found is text else pd.Series(found, index=series.index, name=series.name)


@dataclass(frozen=True, eq=False)
class Sample:
    """The cells of a column, in the forms that distinguish kinds.

    Attributes:
        series: the cells.
        column: its name and type.
        numeric: whether they are numbers, possibly written as text.
        written: whether they are text and not numbers.
        padded: whether this text is whole numbers, some with leading zeros, such as 02139.
    """

    series: Any
    column: Column
    numeric: bool
    written: bool = False
    padded: bool = False

    @classmethod
    def of(cls, series: Any) -> Sample:
        """The sample of a frame's column.

        Raises:
            DataError: some rows of a column of numbers contain text.
        """
        import pandas as pd

        column = Column(str(series.name), dtype=numpy_name(series.dtype))
        types, dtype = pd.api.types, series.dtype
        if types.is_object_dtype(dtype) and types.infer_dtype(series, skipna=True) == "boolean":
            # truth values with missing cells, as pandas reads TRUE, FALSE and blanks
            return cls(series, replace(column, dtype="bool"), numeric=False)
        if types.is_integer_dtype(dtype) and _beyond_floats(series):
            return cls(series, column, numeric=False, written=True)
        if (
            is_date_type(dtype)
            or isinstance(dtype, pd.CategoricalDtype)
            or types.is_bool_dtype(dtype)
        ):
            return cls(series, column, numeric=False)
        if types.is_numeric_dtype(dtype):
            return cls(series, column, numeric=True)
        values, text = parsed_numbers(series)
        if not text.any() and has_leading_zeros(series):
            return cls(series, column, numeric=False, written=True, padded=True)
        if not text.any():
            typed = replace(column, dtype=dtype_of_numbers(values[~missing(series)]))
            if np.abs(values).max(initial=0.0, where=~np.isnan(values)) > EXACT:
                exact = _exact(series)
                if exact is not None:
                    typed = replace(column, dtype=numpy_name(exact.dtype))
                    return cls(exact, typed, numeric=False, written=True)
            return cls(series, typed, numeric=True)
        if not _are_codes(series, text) and not _are_few(series, values, text):
            check_numbers(series, text)
        return cls(series, column, numeric=False, written=True)

    @cached_property
    def present(self) -> Any:
        """The cells that are not missing."""
        return self.series[~missing(self.series)]

    @cached_property
    def numbers(self) -> Array:
        """The present cells as numbers, float64."""
        values = finite_numbers(self.series)
        return values[~np.isnan(values)]

    @cached_property
    def distinct(self) -> Array:
        """The distinct numbers, increasing."""
        return np.unique(self.numbers)

    @cached_property
    def whole(self) -> bool:
        """Whether the cells are integers."""
        numbers = self.numeric or self.padded
        return numbers and bool((self.distinct == np.rint(self.distinct)).all())

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The distinct values in order; a pandas category keeps its own order."""
        categories = getattr(self.series.dtype, "categories", None)
        if categories is not None:
            names = [level_name(level) for level in categories]
            marks = marks_of(self.series, names, are_texts(names))
            return tuple(
                scalar(level) for level, mark in zip(categories, marks, strict=True) if not mark
            )
        return distinct_levels(self.series, are_texts(map(level_name, factorized(self.series)[1])))

    @property
    def varieties(self) -> int:
        """The number of distinct values."""
        return len(self.distinct) if self.numeric else len(self.levels)


def understood(
    series: Any, hint: Hint | None = None, standardize: bool = True, normal_scores: bool = True
) -> Column:
    """Fit the column of a frame: its kind and its map to model units.

    Args:
        series: the column, with its name.
        hint: a kind ("datetime:%d/%m/%Y" includes the format), or a mapping of a ``Column``'s
            fields (kind, levels, low, high, atom, format) as ``lowerbound schema`` writes them;
            None: infer the kind.
        standardize: False keeps continuous columns in original units.
        normal_scores: False omits what bends continuous columns: h, and the spline.

    Raises:
        DataError: some rows do not fit the kind; the message names them.
        OptionError: a kind or field is unknown, or a date format is invalid.
    """
    found = recognized(series) if hint is None else _hinted(series, hint)
    fitted = found.rules.fitted(series, standardize, normal_scores)
    return replace(fitted, markers=markers_of(series, fitted.levels))


def recognized(series: Any) -> Column:
    """The column of the first kind, by rank, that fits the values.

    Raises:
        DataError: most values are numbers, but not all.
    """
    sample, kinds = Sample.of(series), map(COLUMN_KINDS.__getitem__, COLUMN_KINDS)
    if sample.numeric:
        warn_of_marker(sample)
    for kind in sorted(kinds, key=lambda kind: kind.rank):
        if (found := kind.recognize(sample)) is not None:
            return found
    raise DataError(f"no kind of column fits column {series.name!r}: name its kind")


def warn_of_marker(sample: Sample) -> None:
    """Warn of a number that looks as if it marked missing values, such as -999."""
    if (marker := likely_marker(sample.distinct)) is None:
        return
    count = int((sample.numbers == marker).sum())
    others = sample.distinct[sample.distinct != marker]
    if count >= FEWEST_MARKED:
        warnings.warn(
            f"column {sample.series.name!r} has {marker:g} in {count:,} of {len(sample.series):,} "
            f"rows, and {others[0]:g} to {others[-1]:g} elsewhere: it is taken for a value; if "
            f"these cells have no value, empty them, or give fit --missing-value {marker:g}",
            UserWarning,
            stacklevel=4,
        )


def likely_marker(distinct: Array) -> float | None:
    """The smallest or largest number of a column if it may mark missing values: all its digits are
    9, and it is negative where no other is, or farther from the others than they are from each
    other.

    Args:
        distinct: the numbers, increasing.
    """
    if len(distinct) < 4:
        return None
    for end, rest in ((distinct[0], distinct[1:]), (distinct[-1], distinct[:-1])):
        gap, spread = np.abs(rest - end).min(), rest[-1] - rest[0]
        nines = end == np.rint(end) and set(f"{abs(end):.0f}") == {"9"}
        if nines and ((end < 0 <= rest[0]) or (gap > spread and abs(end) > 9)):
            return float(end)
    return None


def _hinted(series: Any, hint: Hint) -> Column:
    fields = _fields(hint) if isinstance(hint, str) else dict(hint)
    kind = fields.get("kind")
    if kind not in COLUMN_KINDS:
        raise unknown(f"kind of column {series.name!r}:", kind, COLUMN_KINDS)
    known = {key: fields[key] for key in HINT_FIELDS if key in fields}
    bare = {"name": str(series.name), "dtype": numpy_name(series.dtype)}
    given = from_mapping(Column, {**known, **bare}).rules.completed(series)
    if given.format is not None and not given.rules.has_format:
        raise OptionError(f"column {given.name!r}: only datetime has a format, not {given.kind}")
    return given


def _fields(hint: str) -> dict[str, Any]:
    """Parse "KIND" or "KIND:FORMAT"."""
    kind, colon, format = hint.partition(":")
    return {"kind": kind, "format": format} if colon else {"kind": kind}


def check_hints(hints: Mapping[str, Hint], columns: Iterable[Any]) -> None:
    """Check that every hint names a column.

    Raises:
        OptionError: a column does not exist; the message suggests the nearest name.
    """
    names = [str(column) for column in columns]
    for hinted in hints:
        if hinted not in names:
            raise unknown("column", hinted, names)


def numpy_name(dtype: Any) -> str:
    """numpy's name of a pandas type, nullable types included; "str" for text and categories, and
    for types whose values become text."""
    import pandas as pd

    kind = str(dtype).lower().removesuffix("[pyarrow]")
    if kind.startswith("datetime64"):
        return "datetime64[ns]"
    if kind in ("object", "str", "string", "category"):
        return "str"
    kind = {"boolean": "bool", "double": "float64", "float": "float32"}.get(kind, kind)
    try:
        return str(np.dtype(kind))
    except (TypeError, ValueError):  # numpy has none: half floats of Arrow, or intervals as text
        return "float64" if pd.api.types.is_numeric_dtype(dtype) else "str"


def dtype_of_numbers(values: Array) -> str:
    """numpy's type of numbers that are written as text: "int64" if it can represent all of them."""
    whole = (values == np.rint(values)).all() and np.abs(values).max(initial=0.0) < 2**63
    return "int64" if whole else "float64"


def has_leading_zeros(series: Any) -> bool:
    """Whether a column of text has codes such as 02139: whole numbers that begin with 0."""
    return any(
        isinstance(cell, str) and is_code(cell) for cell in distinct_values(series, words=False)
    )


def is_code(cell: str) -> bool:
    """Whether a text is a whole number that begins with 0, such as 02139."""
    return _PADDED.fullmatch(cell.strip()) is not None


def _are_codes(series: Any, text: Array) -> bool:
    """Whether a column of text and numbers contains codes such as "V57", not markers of missing
    values: then its texts are many, and nearly all contain digits."""
    odd = {level_name(value) for value in series[text].unique()}
    words = sum(not any(map(str.isdigit, value)) for value in odd)
    return len(odd) >= FEWEST_CODES and words <= MOST_WORDS * len(odd)


def _are_few(series: Any, values: Array, text: Array) -> bool:
    """Whether a column has few whole numbers and, again and again, texts such as "3+", which are
    levels together; a warning names the texts.

    Args:
        series: the column.
        values: its numbers.
        text: mask of text that is not a number.
    """
    numbers = np.unique(values[~np.isnan(values)])
    counts = series[text].map(level_name).value_counts()
    few = len(numbers) + len(counts) <= MOST_MIXED and 3 * len(numbers) <= len(values)
    if not (few and len(numbers) and counts.min() > 1 and (numbers == np.rint(numbers)).all()):
        return False
    texts = listed([repr(each) for each in counts.index])
    warnings.warn(
        f"column {series.name!r} has {texts} beside few whole numbers: all are levels without an "
        "order (if these cells have no value, empty them)",
        UserWarning,
        stacklevel=3,
    )
    return True
