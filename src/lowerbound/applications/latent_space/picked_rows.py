"""Rows that a person points at: by number, counted from 0, or by name where rows have one."""

from __future__ import annotations

from lowerbound.data.dataset import Dataset
from lowerbound.errors import OptionError, unknown


def picked_rows(text: str, dataset: Dataset, flag: str = "--rows") -> list[int]:
    """Row numbers from "3,17" or from "a.png,b.png".

    Raises:
        OptionError: no number and no row's name, or beyond the data.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise OptionError(f"{flag} takes row numbers such as 3,17, not {text!r}")
    return [picked_row(word, dataset, flag) for word in words]


def picked_row(word: str, dataset: Dataset, flag: str = "--rows") -> int:
    """One of them.

    Raises:
        OptionError: no number and no row's name, or beyond the data.
    """
    names = dataset.ids or ()
    if word in names:
        return names.index(word)
    if word.isdecimal():
        if int(word) < len(dataset):
            return int(word)
        raise OptionError(
            f"{flag}: there is no row {word}; the data has rows 0 to {len(dataset) - 1:,}"
        )
    if names:
        raise unknown("row", word, names[:20])
    raise OptionError(f"{flag} takes row numbers from 0 to {len(dataset) - 1:,}, not {word!r}")


def row_name(dataset: Dataset, row: int) -> str:
    """What a row is called: its own name, else its number."""
    return dataset.ids[row] if dataset.ids else f"row {row}"
