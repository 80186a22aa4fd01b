"""Conversion of tables whose rows are points in time to tables of windows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, TypeVar

from lowerbound.data.arrays import listed
from lowerbound.data.columns.matrix import named
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError

T = TypeVar("T")


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
