"""Attributes and captions in files beside the data: one row for each row, in order or by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound import untrusted
from lowerbound.data.arrays import listed
from lowerbound.data.labels import UNKNOWN, encode_labels
from lowerbound.data.prompts.prompts import Prompts
from lowerbound.data.tables.files import read_frame
from lowerbound.errors import DataError, unknown

CAPTION = "caption"
BYTES_OF_LETTER = 8.0  # of memory, as text and as tokens  # column of a table of captions


def prompts_in_file(
    path: Path, names: Sequence[str] | None, rows: int, only: Sequence[str] = ()
) -> Prompts:
    """The attributes in a table, a field for each column.

    Args:
        path: a csv or parquet file.
        names: of the data's rows; the table may have a column of them, and is then read by name.
        rows: of the data.
        only: columns to read; empty: all.

    Raises:
        DataError: the table has other rows than the data, or a column that holds no attribute.
        OptionError: there is no column of that name; the message suggests the nearest.
    """
    frame = _rows_of_data(read_frame(path), path, names, rows)
    for name in only:
        if name not in frame:
            raise unknown("attribute", name, frame.columns)
    chosen = list(dict.fromkeys(only or frame.columns))
    if not chosen:
        raise DataError(f"{path} has no column of attributes")
    return Prompts.of_values({name: _attribute(frame[name], name, path) for name in chosen})


def captions_in_file(path: Path, names: Sequence[str] | None, rows: int) -> list[str]:
    """The caption of each row: the lines of a .txt file, or the column "caption" of a table.

    Raises:
        DataError: the file is missing, cannot be read, or has other rows than the data.
    """
    if path.suffix.lower() == ".txt":
        if not path.exists():
            raise DataError(f"there is no file {path}")
        try:
            most = int(untrusted.memory_limit() / BYTES_OF_LETTER)
            lines = untrusted.text(path, DataError, most).splitlines()
        except OSError as error:
            raise DataError(f"{path} cannot be read as lines of text: {error}") from error
        if len(lines) != rows:
            raise DataError(f"{path} has {len(lines):,} captions, and the data {rows:,} rows")
        return lines
    frame = _rows_of_data(read_frame(path), path, names, rows)
    texts = CAPTION if CAPTION in frame else next(iter(frame.columns), None)
    if texts is None or (texts != CAPTION and len(frame.columns) > 1):
        raise DataError(f"{path} has no column {CAPTION!r}; it has {', '.join(frame.columns)}")
    return ["" if text is None or text != text else str(text) for text in frame[texts]]


def _rows_of_data(frame: Any, path: Path, names: Sequence[str] | None, rows: int) -> Any:
    """The table's rows in the order of the data, without the column of names.

    Raises:
        DataError: a row of the data is not in the table, or their numbers differ.
    """
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    column = None if names is None else _column_of_names(frame, names)
    if column is not None and names is not None:
        return _by_name(frame, column, path, names)
    if len(frame) != rows:
        hint = "" if names is None else f", and no column of names such as {names[0]!r}"
        raise DataError(
            f"{path} has {len(frame):,} rows{hint}, and the data has {rows:,}: give one row for "
            "each row of the data, in its order, or a column with the names of the rows"
        )
    return frame


def _column_of_names(frame: Any, names: Sequence[str]) -> str | None:
    """The column that holds the names of most rows; None: there is none."""
    wanted = set(names)
    texts = [name for name in frame.columns if frame[name].dtype.kind not in "biuf"]
    found = {name: len(wanted & set(frame[name].astype(str))) for name in texts}
    best = max(texts, key=lambda name: found[name], default=None)
    return best if best is not None and 2 * found[best] >= len(wanted) else None


def _by_name(frame: Any, column: str, path: Path, names: Sequence[str]) -> Any:
    keys = frame[column].astype(str)
    twice = keys[keys.duplicated()].tolist()
    if twice:
        raise DataError(f"{path} has several rows of {twice[0]!r} in the column {column!r}")
    lacking = sorted(set(names) - set(keys))
    if lacking:
        raise DataError(
            f"{path} has no row for {len(lacking):,} of the data's {len(names):,} rows: "
            f"{listed(lacking)}; leave their attributes empty if they are unknown"
        )
    return frame.set_index(keys.to_numpy()).loc[list(names)].drop(columns=[column])


def _attribute(values: Any, name: str, path: Path) -> tuple[tuple[str, ...], Tensor]:
    """The names of a column's values, and the code of each row."""
    array = values.to_numpy()
    if array.dtype.kind == "f" and not np.all(np.isnan(array) | (array == np.floor(array))):
        raise DataError(
            f"the column {name!r} of {path} holds numbers that are not whole, and an attribute is "
            "one of a few values: round them, cut them into ranges, or leave the column out"
        )
    try:
        codes, found = encode_labels(values)
    except DataError:  # every value is unknown
        return (), torch.full((len(array),), UNKNOWN)
    if len(found) == len(array) > 2:
        raise DataError(
            f"the column {name!r} of {path} has another value in each row, so it holds names and "
            "no attribute: leave it out"
        )
    return found, codes
