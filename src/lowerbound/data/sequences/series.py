"""Conversion of tables whose rows are points in time to tables of windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from lowerbound.data.schema import Schema
from lowerbound.data.sequences.windows import Windows

T = TypeVar("T")


def cut(frame: Any, windows: Windows, label: Any = None) -> Any:
    """The windows of a frame, without its label column."""
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    return windows.frame(frame.drop(columns=[label] if label in frame.columns else []))


def has_windows(frame: Any, schema: Schema) -> bool:
    """Whether the columns of a frame are those of windows."""
    return bool({column.name for column in schema.columns} & {str(n) for n in frame.columns})


def at_all_times(each: Mapping[str, T], windows: Windows) -> dict[str, T]:
    """Copy what is given for each column of a series to all its times."""
    return {column: one for name, one in each.items() for column in windows.columns(name)}
