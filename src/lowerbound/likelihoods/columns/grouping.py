"""Which columns are computed together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from lowerbound.data.columns.column import Column
from lowerbound.errors import DataError
from lowerbound.likelihoods.columns.group import COLUMN_FAMILIES, ColumnGroup


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
    members: dict[tuple[str, Hashable], list[int]] = {}
    for index, column in enumerate(columns):
        if not column.modeled:
            raise DataError(
                f"column {column.name!r} is of the kind {column.kind!r}, which is not modeled"
            )
        name = column.rules.family
        key = name, COLUMN_FAMILIES[name].key(column, index, embedding)
        members.setdefault(key, []).append(index)
    return [
        (indices, COLUMN_FAMILIES[name].of([columns[i] for i in indices], floor, embedding))
        for (name, _), indices in members.items()
    ]
