"""Tables whose rows are points in time, as tables of windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lowerbound.data.columns.inference import Hint
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.windows import Windows


def cut(frame: Any, windows: Windows, label: Any = None) -> Any:
    """The windows of a frame, without the column of the label, where it has one."""
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    return windows.frame(frame.drop(columns=[label] if label in frame.columns else []))


def has_windows(frame: Any, schema: Schema) -> bool:
    """Whether a frame holds windows already, by the names of its columns."""
    return bool({column.name for column in schema.columns} & {str(n) for n in frame.columns})


def at_all_times(kinds: Mapping[str, Hint], windows: Windows) -> dict[str, Hint]:
    """What was said of a series' columns, said of each of their times."""
    return {column: hint for name, hint in kinds.items() for column in windows.columns(name)}
