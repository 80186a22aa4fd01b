"""``lowerbound schema``: print the kinds of a table's columns, and write them to a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound import durable
from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.common.files import write_text
from lowerbound.applications.fit.requests import SchemaRequest
from lowerbound.data.arrays import listed
from lowerbound.data.columns.column import Column
from lowerbound.data.loading import load
from lowerbound.data.schema import Schema
from lowerbound.data.tables.on_disk import exceeds_memory, is_streamed, schema_on_disk
from lowerbound.errors import DataError

MOST_LEVELS = 100  # most levels of a column that are written, for the user to reorder


@dataclass(frozen=True)
class SchemaReport(Report):
    """The columns of a table.

    Attributes:
        data: the table.
        rows: number of rows.
        columns: for each column its kind, the share of its cells that is missing, and its levels,
            bounds or atom if it has them.
        left_out: columns that name rows, and are not modeled.
        output: the file written; empty if none is requested.
    """

    data: str
    rows: int
    columns: Mapping[str, Mapping[str, Any]]
    left_out: tuple[str, ...]
    output: str

    def text(self) -> str:
        width = max(map(len, self.columns), default=0)
        lines = [f"{self.data}: {self.rows:,} rows"]
        lines += [f"  {name:{width}}  {_described(said)}" for name, said in self.columns.items()]
        if self.output:
            lines.append(f"correct {self.output} and pass it to lowerbound fit --columns")
        return "\n".join(lines)


def schema(request: SchemaRequest, reporter: Reporter) -> SchemaReport:
    """Report the kind of each column of a table.

    Raises:
        DataError: the data is not a table, or cannot be read.
    """
    learned, rows = _learned(request)
    if not learned.data_kind.named_columns:
        raise DataError(f"{request.data} is not a table: only tables have columns of several kinds")
    columns = {column.name: _said(column) for column in learned.columns}
    columns |= {name: {"kind": "identifier"} for name in learned.left_out}
    if request.output is not None:
        text = json.dumps({"columns": columns}, indent=2, ensure_ascii=False)
        write_text(Path(request.output), text + "\n")
    return SchemaReport(
        data=request.data,
        rows=rows,
        columns=columns,
        left_out=learned.left_out,
        output=request.output or "",
    )


def _learned(request: SchemaRequest) -> tuple[Schema, int]:
    """The schema of a table and its number of rows; one beyond the memory is read part by part."""
    label, dialect = request.label, request.file.dialect
    if is_streamed(request.data) and exceeds_memory(request.data, dialect):
        with durable.passing_folder() as folder:
            return schema_on_disk(request.data, folder, label=label, dialect=dialect)
    dataset = load(request.data, label=label, dialect=dialect)
    return dataset.schema, len(dataset)


def _said(column: Column) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": column.kind}
    if column.modeled and column.missing_share:
        said |= {"missing": round(column.missing_share, 4)}
    if 0 < len(column.levels) <= MOST_LEVELS:
        said["levels"] = list(column.levels)
    for name in ("low", "high", "atom", "format"):
        value = getattr(column, name)
        said |= {} if value is None else {name: value}
    return said


def _described(said: Mapping[str, Any]) -> str:
    words = [f"{said['kind']:12}"]
    if "levels" in said:
        words.append(f"{len(said['levels'])} levels: {listed(said['levels'])}")
    if "atom" in said:
        words.append(f"{said['atom']:g} apart")
    if "format" in said:
        words.append(f"written as {said['format']}")
    if "low" in said:
        words.append(f"between {said['low']:g} and {said['high']:g}")
    if "missing" in said:
        words.append(f"{said['missing']:.1%} missing")
    return " ".join(words).rstrip()
