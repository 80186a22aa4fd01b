"""Cells with a ' before a text that a spreadsheet would compute, as .csv files are written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from lowerbound.data.columns.text.notation import Notation
from lowerbound.data.columns.values import distinct_values, name
from lowerbound.data.schema import Schema
from lowerbound.data.tables.dialect import BEGINNINGS, MARK
from lowerbound.data.tables.markers import is_text, levels_of
from lowerbound.data.tables.numbers import notations_of


def unquoted(frame: Any, schema: Schema) -> Any:
    """The frame without the ' of cells that are a level, a class or a number of the schema."""
    if not frame.columns.is_unique:  # which is refused later
        return frame
    made = {}
    for column, known in _known(schema).items():
        if column not in frame.columns or not is_text(frame[column]):
            continue
        cells = (cell for cell in distinct_values(frame[column]) if isinstance(cell, str))
        plain = {
            cell: cell.strip()[1:]
            for cell in cells
            if _is_quoted(cell.strip()) and not known(cell) and known(cell.strip()[1:])
        }
        if plain:
            made[column] = frame[column].map(partial(_replaced, plain))
    return frame.assign(**made) if made else frame


def _is_quoted(text: str) -> bool:
    return text[:1] == MARK and text[1:2] != "" and text[1:2] in BEGINNINGS


def _known(schema: Schema) -> dict[str, Callable[[str], bool]]:
    """For each column of text, whether the model knows a cell."""
    found: dict[str, Callable[[str], bool]] = {
        column: partial(_is_number, notation) for column, notation in notations_of(schema).items()
    }
    for column, each in levels_of(schema).items():
        found[column] = partial(_is_level, each)
    return found


def _is_number(notation: Notation, cell: str) -> bool:
    return notation.fits([cell.strip()])


def _is_level(names: Collection[str], cell: str) -> bool:
    return name(cell) in names


def _replaced(plain: Mapping[str, str], cell: Any) -> Any:
    return plain.get(cell, cell)
