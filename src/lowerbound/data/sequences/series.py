"""Conversion of tables whose rows are points in time to tables of windows.

Columns that only give the time of each point are left out. Times of new points lie beyond those of
the fit, so a model of them finds every new point odd.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.dates import in_time
from lowerbound.data.columns.inference import Sample
from lowerbound.data.columns.kind import COLUMN_KINDS
from lowerbound.data.columns.matrix import named
from lowerbound.data.raw import RawData
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError

ROUNDING = 1e-9  # of the largest number of a counter
EVEN = 0.01  # of the usual step, by which an even step may differ from it
T = TypeVar("T")


def without_times(raw: RawData, windows: Windows, hinted: Collection[str]) -> RawData:
    """The windows of a series without the columns that only give the time of a point.

    Raises:
        DataError: there are no others.
    """
    found = time_axes(raw.x, windows, hinted)
    columns = [column for name in found for column in windows.columns(name)]
    if len(columns) == raw.x.shape[1]:
        raise DataError(f"{named(found)} only gives the time, and no column to model remains")
    left_out = (*raw.left_out, *columns)
    return replace(raw, x=raw.x.drop(columns=columns), left_out=left_out)


def time_axes(frame: Any, windows: Windows, hinted: Collection[str]) -> list[str]:
    """Names of the columns that give the time of each point, in the frame of its windows.

    These are dates of which none repeats, and numbers that grow by one step from point to point.
    A warning names each, and says whether its times ascend, and are evenly spaced.

    Args:
        frame: of windows, a row each.
        windows: how they were cut.
        hinted: names of columns with a given kind, which are left out of the search.
    """
    found = []
    for name in windows.names(map(str, frame.columns)):
        if name in hinted:
            continue
        columns = windows.columns(name)
        times = _dates(frame, columns)
        if times is not None and len(np.unique(times[:, 0])) == len(times):
            found.append(name)
            said = _about_order(times)
            _warn(f"column {name!r} gives the time of each point: the model leaves it out{said}")
        elif times is None and _counts(frame, columns):
            found.append(name)
            _warn(f"column {name!r} counts the points: the model leaves it out")
    return found


def warn_of_times(frame: Any, windows: Windows, left_out: Collection[str]) -> None:
    """Warn of times that do not ascend, or not evenly, in rows of a series like those of a fit.

    Args:
        frame: of windows, a row each.
        windows: how they were cut.
        left_out: the columns of the frame that the fit left out.
    """
    for name in windows.names(each for each in map(str, frame.columns) if each in left_out):
        times = _dates(frame, windows.columns(name))
        said = "" if times is None else _about_order(times)
        if said:
            _warn(f"column {name!r} gives the time of each point{said}")


def _dates(frame: Any, columns: tuple[str, ...]) -> Array | None:
    """Seconds, (windows, length); None if the cells are no dates, or one is missing."""
    first = frame[columns[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit gives them
        column = _column_of_dates(first)
        if column is None:
            return None
        try:
            times = np.stack([column.rules.read(frame[each]) for each in columns], 1)
        except DataError:
            return None
    return times if np.isfinite(times).all() else None


def _column_of_dates(series: Any) -> Column | None:
    sample = Sample.of(series)
    for kind in COLUMN_KINDS:
        rules = COLUMN_KINDS[kind]
        if rules.has_format and (found := rules.recognize(sample)) is not None:
            return found.rules.completed(series)
    return None


def _counts(frame: Any, columns: tuple[str, ...]) -> bool:
    """Whether numbers grow by one step from point to point, in windows and between them."""
    if frame[columns[0]].dtype.kind not in "iuf" or len(columns) < 2 or len(frame) < 2:
        return False
    values = frame[list(columns)].to_numpy(dtype=np.float64)
    steps = np.diff(values, axis=1)
    one, rounding = steps[0, 0], ROUNDING * np.abs(values).max()
    even = one > rounding and (np.abs(steps - one) <= rounding).all()
    return bool(even and (np.diff(values[:, 0]) > 0).all())


def _about_order(times: Array) -> str:
    """What the times of the points in windows, (windows, length), say of their order."""
    steps = np.diff(times, axis=1)
    if not steps.size:
        return ""
    back = int((steps < 0).any(1).sum())
    if back:
        return (
            f". Its times do not ascend in {back:,} of {len(times):,} windows: points are in the "
            "order of the rows, so sort the rows by time"
        )
    usual = float(np.median(steps))
    uneven = int((np.abs(steps - usual) > EVEN * usual).any(1).sum())
    if not uneven or usual <= 0:
        return ""
    return (
        f". In {uneven:,} of {len(times):,} windows a step differs from the usual one of "
        f"{in_time(usual)} (the longest is {in_time(float(steps.max()))}): windows count "
        "points and not time"
    )


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=5)


def cut(frame: Any, windows: Windows, label: Any = None) -> Any:
    """The windows of a frame, without its label column."""
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    return windows.frame(frame.drop(columns=[label] if label in frame.columns else []))


def cut_as_fitted(frame: Any, schema: Schema, windows: Windows, label: Any = None) -> Any:
    """The windows of a series for a model of windows, without columns that it was not fitted on.

    Raises:
        DataError: the series has none of the model's columns, or too few points.
    """
    wanted = Windows.names(column.name for column in schema.columns)
    names = [str(name) for name in frame.columns]
    if not set(wanted) & set(names):
        raise DataError(
            f"the series has none of the model's columns ({listed(wanted)}); it has {listed(names)}"
        )
    known = {*wanted, *Windows.names(schema.left_out), label}
    unexpected = [name for name in names if name not in known]
    if unexpected:
        warnings.warn(
            f"the model was not fitted on {named(unexpected)}: ignored", UserWarning, stacklevel=3
        )
    if len(frame) < windows.length:
        raise DataError(
            f"the model was fitted to windows of {windows.length} points, and the series has "
            f"{len(frame):,}: give a longer one"
        )
    return cut(frame.set_axis(names, axis=1).drop(columns=unexpected), windows, label)


def has_windows(frame: Any, schema: Schema) -> bool:
    """Whether the columns of a frame are those of windows."""
    return bool({column.name for column in schema.columns} & {str(n) for n in frame.columns})


def at_all_times(each: Mapping[str, T], windows: Windows) -> dict[str, T]:
    """Copy what is given for each column of a series to all its times."""
    return {column: one for name, one in each.items() for column in windows.columns(name)}
