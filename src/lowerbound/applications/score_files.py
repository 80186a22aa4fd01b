"""Scores of rows as files that other programs read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.applications.base import jsonable
from lowerbound.applications.files import write_text
from lowerbound.applications.rows import write_frame
from lowerbound.errors import OptionError

Array = np.ndarray[Any, Any]

FORMATS = (".csv", ".parquet", ".json")


def check_suffix(path: Path) -> None:
    """Refuse an output name that says nothing we write, before any work is done.

    Raises:
        OptionError: names what is written.
    """
    if path.suffix.lower() not in FORMATS:
        raise OptionError(
            f"{path}: scores are written as {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        )


def write_scores(path: Path, named: Mapping[str, Array]) -> tuple[str, ...]:
    """One line per row, .csv, .parquet or .json."""
    if path.suffix.lower() != ".json":
        return write_frame(path, named)
    lists = {name: np.asarray(values).tolist() for name, values in named.items()}
    records = [dict(zip(lists, line, strict=True)) for line in zip(*lists.values(), strict=True)]
    write_text(path, json.dumps(jsonable(records), allow_nan=False))
    return (str(path),)
