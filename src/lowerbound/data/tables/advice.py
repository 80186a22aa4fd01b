"""Advice on the columns of a table that are left out because they identify rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from lowerbound.data.columns.matrix import named
from lowerbound.data.columns.text.dates import formats
from lowerbound.data.columns.values import distinct_values

MARKS = dict.fromkeys(map(ord, " \u00a0\u202f.,'%$\u20ac\u00a3"))  # that numbers may have
SIGNS = "+-"  # before or after a number; inside a text they are of dates, ranges or codes


def advise_on_identifiers(frame: Any, names: Sequence[str]) -> None:
    """Warn of the columns that are left out because they identify rows."""
    if not names:
        return
    left = "it identifies rows and is" if len(names) == 1 else "they identify rows and are"
    warnings.warn(
        f"{named(names)}: no value repeats, so {left} left out" + _quantities_among(frame, names),
        UserWarning,
        stacklevel=4,
    )


def _quantities_among(frame: Any, identifiers: Sequence[str]) -> str:
    """What to do about a column that is left out though most of its cells hold a number, or all
    of them a date."""
    for name in identifiers:
        cells = [
            cell for cell in distinct_values(frame[name], words=False) if isinstance(cell, str)
        ]
        numbers = [_is_digits(cell) for cell in cells]
        if cells and not any(numbers) and formats(cells):
            return (
                f" (all cells of column {name!r} can be read as dates, such as {cells[0]!r}: to "
                f"model them, give it the kind datetime, by --kind '{name}=datetime')"
            )
        if 2 * sum(numbers) > len(cells):
            example = cells[numbers.index(True)]
            if all(numbers):
                return (
                    f" (all cells of column {name!r} are digits, such as {example!r}: if they are "
                    f"quantities, give it the kind real, by --kind '{name}=real')"
                )
            return (
                f" (most cells of column {name!r} are numbers, such as {example!r}, and others are "
                f"not, such as {cells[numbers.index(False)]!r}: if they are quantities, write all "
                "in one way)"
            )
    return ""


def _is_digits(cell: str) -> bool:
    """Whether a cell is digits, with the marks that a number may have."""
    return cell.translate(MARKS).strip(SIGNS).isdecimal()
