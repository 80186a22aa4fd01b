"""Declarations that are copied from the rows themselves, as far as k rows or more share them.

Epsilon covers no copied fact. A level that fewer than k rows have is not copied, and a range ends
at the k-th value from each end; this protects the rows with rare values, but is no differential
privacy.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.dates import DAY, ISO, as_text
from lowerbound.data.columns.inference import recognized
from lowerbound.data.columns.values import distinct_levels, finite_numbers, level_codes, missing
from lowerbound.data.protection.identity import Identity, identifying
from lowerbound.data.protection.record import LEAST_PEOPLE, ColumnProtection, Protection, Role
from lowerbound.errors import DataError, unknown
from lowerbound.training.private.declarations import (
    Declarations,
    cell_days,
    cell_type,
    date_format,
    level_cells,
)
from lowerbound.training.private.grid import ATOM_SHARE, SKEWED, NumberRange

FEWEST_NUMBERS = 3  # distinct numbers below which they are levels
DIGITS = 2  # of the width of a range, to which its ends are rounded
LEAST_OF = {"positive": math.ulp(0.0), "count": 0.0}  # number of a column of that kind
LEVELED = {"ordinal": "ordinal"}  # kinds of levels that stay; others are categorical or binary
MOST_STEPS = 10  # by which an end of a range moves inwards
LEFT_OUT = "left out"
RARE = "levels of fewer rows are not copied; their cells count as {}"
FAR = "values beyond the range count as its ends"


def declarations_of(
    frame: Any,
    least_people: int = LEAST_PEOPLE,
    leave_out: Collection[str] = (),
    kinds: Mapping[str, Mapping[str, Any]] | None = None,
) -> Declarations:
    """Ranges and categories of the columns of a frame, which its owner declares public.

    Columns without a value, or without one that ``least_people`` rows share, are left out.

    Args:
        frame: a pandas frame; each row counts as one person.
        least_people: k.
        leave_out: names of columns that are not declared.
        kinds: of columns, if their types do not tell, as declarations.

    Raises:
        OptionError: a column to leave out does not exist, k is below 1, or a kind is unknown.
        DataError: a column identifies people and is not left out, or mixes numbers and text; or no
            column is left.
    """
    frame = without(frame, leave_out)
    refuse_identifying(
        frame, "--public-schema data would publish the values of such columns as they are"
    )
    record = Protection(least_people, entities=len(frame))
    columns: dict[str, Mapping[str, Any]] = {}
    protected: list[ColumnProtection] = []
    for name in frame.columns:
        hint = (kinds or {}).get(name, {})
        said, about = _copied(frame[name], least_people, hint)
        columns |= {} if said is None else {name: {**said, **hint}}
        protected += [] if about is None else [about]
    if not columns:
        raise DataError(
            f"no column has values that {least_people:,} rows share: none is left to declare"
        )
    return Declarations(columns, copied=replace(record, columns=tuple(protected)))


def without(frame: Any, leave_out: Collection[str]) -> Any:
    """The frame without some columns, names as text.

    Raises:
        OptionError: a column does not exist; the message suggests the nearest name.
    """
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    for name in leave_out:
        if name not in frame.columns:
            raise unknown("column", name, frame.columns)
    return frame.drop(columns=[*leave_out])


def refuse_identifying(frame: Any, why: str, names: Collection[str] | None = None) -> None:
    """Refuse columns that identify people, and free text; no single cell raises or warns here.

    Args:
        frame: the rows.
        why: what would happen to such columns, a clause.
        names: of the columns to check; None: all.

    Raises:
        DataError: there is one; the message names all, and how to leave them out.
    """
    checked = [name for name in frame.columns if names is None or name in names]
    found = {name: who for name in checked if (who := _identity(frame[name])) is not None}
    if found:
        words = "; ".join(f"column {name!r} has {who.what}" for name, who in found.items())
        flags = " ".join(f"--leave-out {_quoted(name)}" for name in found)
        raise DataError(
            f"{words}; {why}: leave {'it' if len(found) == 1 else 'them'} out with {flags}"
        )


def identifying_levels(declared: Declarations) -> tuple[str, ...]:
    """A sentence about each column whose declared levels are values of single people."""
    import pandas as pd

    levels = {name: said["levels"] for name, said in declared.columns.items() if "levels" in said}
    found = {name: _identity(pd.Series(each, name=name)) for name, each in levels.items()}
    return tuple(
        f"the {len(levels[name]):,} declared levels of column {name!r} are {who.what}, and drawn "
        "rows bear them: take the column out, unless each of them is public"
        for name, who in found.items()
        if who is not None
    )


def _quoted(name: str) -> str:
    return name if name.isidentifier() else repr(name)


def _identity(series: Any) -> Identity | None:
    found = identifying(str(series.name), series)
    if found is not None or missing(series).all() or _is_kept(series):
        return found
    return Identity("values that name rows", "hardly any value repeats")


def _is_kept(series: Any) -> bool:
    """Whether a column is no identifier of rows, as far as its kind tells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return recognized(series).rules.kept
        except DataError:  # some cells are no numbers
            return True


def _copied(
    series: Any, least: int, hint: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, ColumnProtection | None]:
    """(the declaration of a column, what of it was not copied); None: it has none."""
    present = series[~missing(series)]
    gaps = {"missing": True} if len(present) < len(series) else {}
    name, type = str(series.name), cell_type(series, hint)
    if not len(present):
        return None, ColumnProtection(name, "level", f"{LEFT_OUT}: it has no value", 0, 0)
    if type == "dates" and present.nunique() >= FEWEST_NUMBERS:
        return _dates(series, least, gaps, hint.get("format") or date_format(series))
    values = finite_numbers(present) if type == "numbers" else np.zeros(0)
    if type == "dates" or len(np.unique(values)) < FEWEST_NUMBERS:
        return _levels(series, least, gaps)
    kind = recognized(series).kind
    fractions = int((values != np.rint(values)).sum())
    whole = fractions < least and fractions <= len(values) / 2
    ends = _ends(np.rint(values) if whole else values, least, whole)
    if ends is None:
        return _too_few(name, "number", values, least)
    low, high = ends
    skewed = float(np.median(values)) - low < SKEWED * (high - low)
    common, counts = np.unique(values, return_counts=True)
    share = max(least - 1, ATOM_SHARE * len(values))
    atom = float(common[counts.argmax()]) if counts.max() > share else None
    found = NumberRange(low, high, whole, skewed, missing=bool(gaps), atom=atom)
    said = {**found.declaration, **gaps}
    if "atom" not in said:
        said["kind"] = kind if low >= LEAST_OF.get(kind, math.inf) else "real"
    return said, _beyond(name, "number", values, low, high)


def _levels(
    series: Any, least: int, gaps: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, ColumnProtection | None]:
    name, cells = str(series.name), level_cells(series)
    levels = distinct_levels(cells)
    codes = level_codes(cells, name, levels)
    counts = np.bincount(codes[~np.isnan(codes)].astype(np.int64), minlength=len(levels))
    kept = [level for level, count in zip(levels, counts, strict=True) if count >= least]
    rare, hidden = int((counts < least).sum()), int(counts[counts < least].sum())
    if not kept:
        how = f"{LEFT_OUT}: no value is that of {least:,} rows"
        return None, ColumnProtection(name, "level", how, rare, hidden)
    # many rare cells count as missing, and the few of them as the first level
    gaps = {"missing": True} if hidden >= least else gaps
    kind = LEVELED.get(recognized(series).kind, "categorical")
    said = {"kind": "binary" if len(kept) == 2 else kind, "levels": kept, **gaps}
    if not rare:
        return said, None
    how = RARE.format("missing" if gaps else repr(kept[0]))
    return said, ColumnProtection(name, "level", how, rare, hidden)


def _dates(
    series: Any, least: int, gaps: Mapping[str, Any], form: str
) -> tuple[dict[str, Any] | None, ColumnProtection | None]:
    """The range of dates: each of them would be public as a level, and many have one row only."""
    name = str(series.name)
    days = cell_days(series, form)
    read = days[~np.isnan(days)]
    ends = _ends(np.floor(read), least, whole=True)
    if ends is None:
        return _too_few(name, "date", read, least)
    whole = bool((read != np.floor(read)).sum() < least)
    low, high = as_text(np.array(ends) * DAY, ISO, DAY)
    gaps = {"missing": True} if len(read) < len(days) else gaps
    said = {"kind": "datetime", "low": str(low), "high": str(high), "format": form, "whole": whole}
    return {**said, **gaps}, _beyond(name, "date", np.floor(read), *ends)


def _ends(values: Array, least: int, whole: bool) -> tuple[float, float] | None:
    """The k-th value from each end, moved inwards to two digits of the width and on until k rows or
    none have it, so that no end is the value of few; None: there are too few values."""
    if len(values) < 2 * least:
        return None
    ordered = np.sort(values)
    low, high = float(ordered[least - 1]), float(ordered[-least])
    if not low < high:
        return None
    if least > 1:
        places = DIGITS - math.floor(math.log10(high - low))
        places = min(places, 0) if whole else places
        low, high = _inwards(values, low, places, least), -_inwards(-values, -high, places, least)
    return (low, high) if low < high else None


def _inwards(values: Array, end: float, places: int, least: int) -> float:
    """The first number with so many decimals from an end upwards that no value is, or ``least``
    values are; the end itself if it is one."""
    step, tried = 10.0**-places, _up(end, places)
    if (values == end).sum() >= least:
        return end
    for number in range(MOST_STEPS):
        if not 0 < (values == (moved := round(tried + number * step, places))).sum() < least:
            return moved
    return tried


def _up(value: float, places: int) -> float:
    """The smallest number with so many decimals that is not below a value."""
    nearest = round(value, places)
    return nearest if nearest >= value else round(nearest + 10.0**-places, places)


def _too_few(name: str, role: Role, values: Array, least: int) -> tuple[None, ColumnProtection]:
    how = f"{LEFT_OUT}: a range needs {2 * least:,} values and more that differ"
    return None, ColumnProtection(name, role, how, len(np.unique(values)), len(values))


def _beyond(
    name: str, role: Role, values: Array, low: float, high: float
) -> ColumnProtection | None:
    far = values[(values < low) | (values > high)]
    if not len(far):
        return None
    return ColumnProtection(name, role, FAR, len(np.unique(far)), len(far))
