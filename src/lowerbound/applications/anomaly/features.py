"""What rows have in each of their columns, in their own units."""

from __future__ import annotations

from typing import Any

from lowerbound.data import Dataset
from lowerbound.data.tables.frames import to_frame


def feature_values(rows: Dataset) -> dict[str, list[Any]]:
    """What each row has in each column; nothing for pictures, whose pixels are looked at."""
    schema = rows.schema
    if not schema.columns:
        return {}
    frame = to_frame(schema, rows.all().filled)
    values = {column.name: frame[column.name].tolist() for column in schema.modeled}
    if rows.observed is not None:
        hidden = (~rows.observed).cpu().tolist()
        for place, column in enumerate(schema.modeled):
            cells = values[column.name]
            values[column.name] = [
                "missing" if gone[place] else value
                for value, gone in zip(cells, hidden, strict=True)
            ]
    return {name: [_short(value) for value in cells] for name, cells in values.items()}


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
