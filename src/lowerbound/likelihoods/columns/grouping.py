"""Which columns are computed together."""

from __future__ import annotations

from collections.abc import Sequence

from lowerbound.data.columns.column import Column
from lowerbound.errors import DataError
from lowerbound.likelihoods.columns.atom import AtomColumns
from lowerbound.likelihoods.columns.binary import BinaryColumns
from lowerbound.likelihoods.columns.categorical import CategoricalColumns
from lowerbound.likelihoods.columns.continuous import ContinuousColumns
from lowerbound.likelihoods.columns.count import CountColumns
from lowerbound.likelihoods.columns.embedded import EmbeddedColumn
from lowerbound.likelihoods.columns.group import ColumnGroup
from lowerbound.likelihoods.columns.ordinal import OrdinalColumns

Key = tuple[str, int]  # a family of columns, and what sets its members apart from the others'


def group_columns(
    columns: Sequence[Column], floor: float, embedding: int
) -> list[tuple[list[int], ColumnGroup]]:
    """The groups in the order of their first column, each with the indices of its columns.

    Args:
        columns: modeled ones.
        floor: the least sigma of a continuous column, model units.
        embedding: the most levels of a categorical column that owes a logit for each; with more
            it has an embedding of that width.

    Raises:
        DataError: a column is not modeled, or has no levels where its kind needs them.
    """
    members: dict[Key, list[int]] = {}
    for index, column in enumerate(columns):
        members.setdefault(_key(index, column, embedding), []).append(index)
    return [
        (indices, _group(key, [columns[index] for index in indices], floor, embedding))
        for key, indices in members.items()
    ]


def _key(index: int, column: Column, embedding: int) -> Key:
    if column.kind in ("ordinal", "categorical") and not column.levels:
        raise DataError(f"column {column.name!r} is {column.kind} and has no levels; name them")
    if column.kind == "categorical":
        levels = len(column.levels)
        return ("categorical", levels) if levels <= embedding else ("embedded", index)
    plain = column.continuous and column.kind != "mixed"
    return "continuous" if plain else column.kind, 0


def _group(key: Key, columns: list[Column], floor: float, embedding: int) -> ColumnGroup:
    family, number = key
    match family:
        case "continuous":
            return ContinuousColumns(columns, floor)
        case "mixed":
            return AtomColumns(columns, floor)
        case "count":
            return CountColumns(columns)
        case "binary":
            return BinaryColumns(columns)
        case "ordinal":
            return OrdinalColumns(columns)
        case "categorical":
            return CategoricalColumns(columns, number)
        case "embedded":
            return EmbeddedColumn(columns[0], embedding)
    raise DataError(f"column {columns[0].name!r} is of the kind {family!r}, which is not modeled")
