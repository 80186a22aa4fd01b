"""Files of columns that are written chunk by chunk, and are complete or absent."""

from __future__ import annotations

import csv
import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from lowerbound.applications.common.application import jsonable
from lowerbound.applications.common.files import replacing
from lowerbound.applications.common.formulas import quoted_formulas
from lowerbound.data.arrays import listed
from lowerbound.data.columns.levels import levels_as_text
from lowerbound.data.columns.notation import COMMA, POINT
from lowerbound.data.dataset import Dataset
from lowerbound.data.tables.arrow import in_arrow_types, widened
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.text_form import TextForm
from lowerbound.errors import DataError, OptionError
from lowerbound.untrusted import folders

Columns = Mapping[str, Any]

GROUP_ROWS, GROUP_BYTES = 1 << 16, 32 << 20  # where a row group of Parquet ends


class Columnar(ABC):
    """A table that is being written; the columns are those of the first chunk."""

    def __init__(self, place: Path, form: TextForm, rounded: bool) -> None:
        self.place, self.form, self.rounded = place, form, rounded

    def add(self, columns: Columns) -> None:
        """Append rows: for each column, one value per row."""
        self._append({name: levels_as_text(values) for name, values in columns.items()})

    @abstractmethod
    def _append(self, columns: Columns) -> None:
        """Write the rows, whose levels are text, numbers or truth values."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


class _Csv(Columnar):
    def __init__(self, place: Path, form: TextForm, rounded: bool) -> None:
        super().__init__(place, form, rounded)
        self._file: IO[str] = place.open("w", encoding="utf-8", newline="")
        self._bare = True
        self._formulas: dict[str, int] = {}
        self._names: list[str] = []  # of columns that begin as a formula

    def _append(self, columns: Columns) -> None:
        import pandas as pd

        texts = self.form.written(columns, self.rounded)
        names, _ = quoted_formulas(list(texts))
        self._names = [repr(name) for name, safe in zip(texts, names, strict=True) if name != safe]
        cells = [self._quoted(name, values) for name, values in texts.items()]
        safe = dict(zip(names, cells, strict=True))
        dialect = self.form.dialect or Dialect()
        if dialect.decimal == COMMA:
            safe = {name: _with_comma(values) for name, values in safe.items()}
        pd.DataFrame(safe).to_csv(
            self._file,
            index=False,
            header=self._bare,
            sep=dialect.separator,
            decimal=dialect.decimal or POINT,
            quoting=_quoting(safe),
        )
        self._bare = False

    def _quoted(self, name: str, values: Any) -> Any:
        """The values, with formulas of a spreadsheet quoted, and counted."""
        cells, found = quoted_formulas(values)
        if found:
            self._formulas[name] = self._formulas.get(name, 0) + found
        return cells

    def close(self) -> None:
        self._file.close()
        if self._names:
            warnings.warn(
                f"the names of columns {listed(self._names)} begin as a formula of a spreadsheet, "
                "and are written with a ' before them (--keep-formulas writes them as they are)",
                UserWarning,
                stacklevel=2,
            )
        for name, count in self._formulas.items():
            warnings.warn(
                f"{count:,} texts of {name!r} begin as a formula of a spreadsheet, and are written "
                "with a ' before them (--keep-formulas writes them as they are)",
                UserWarning,
                stacklevel=2,
            )


def _quoting(columns: Columns) -> int:
    """Which cells are in quotes: all text, if some has a carriage return, which Python's csv writes
    bare and every reader takes for the end of a line."""
    texts = [values for values in columns.values() if np.asarray(values).dtype.kind in "OUT"]
    cells = chain(columns, *texts)
    bare = any(isinstance(cell, str) and "\r" in cell for cell in cells)
    return csv.QUOTE_NONNUMERIC if bare else csv.QUOTE_MINIMAL


def _with_comma(values: Any) -> Any:
    """Numbers among text with a decimal comma; pandas writes it in columns of numbers alone."""
    if np.asarray(values).dtype.kind not in "OU":
        return values
    return [
        str(cell).replace(POINT, COMMA) if isinstance(cell, float) and cell == cell else cell
        for cell in values
    ]


class _Json(Columnar):
    def __init__(self, place: Path, form: TextForm, rounded: bool) -> None:
        super().__init__(place, form, rounded)
        self._file: IO[str] = place.open("w", encoding="utf-8")
        self._before = "["

    def _append(self, columns: Columns) -> None:
        lists = {name: np.asarray(values).tolist() for name, values in columns.items()}
        for line in zip(*lists.values(), strict=True):
            record = jsonable(dict(zip(lists, line, strict=True)))
            self._file.write(self._before + json.dumps(record, allow_nan=False))
            self._before = ", "

    def close(self) -> None:
        self._file.write("[]" if self._before == "[" else "]")
        self._file.close()


class _Parquet(Columnar):
    """A column has the type that holds all of its chunks, as if they had been written at once.

    Chunks wait until they fill a row group. A group for each would make the index of the groups,
    which stays in memory until the end, grow with the rows.
    """

    def __init__(self, place: Path, form: TextForm, rounded: bool) -> None:
        super().__init__(place, form, rounded)
        self._writer: Any = None
        self._schema: Any = None
        self._waiting: list[Any] = []
        self._rows = self._bytes = 0  # of the chunks that wait

    def _append(self, columns: Columns) -> None:
        import pandas as pd
        import pyarrow as pa

        table = pa.Table.from_pandas(pd.DataFrame(dict(columns)), preserve_index=False)
        table = in_arrow_types(table, self.form.types)
        if self._schema is None:
            self._schema = table.schema
        elif not table.schema.equals(self._schema, check_metadata=True):
            self._widen(widest(self._schema, table.schema))
        self._waiting.append(table)
        self._rows += len(table)
        self._bytes += table.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write_group()

    def _widen(self, schema: Any) -> None:
        if schema.equals(self._schema, check_metadata=True):
            return
        self._schema = schema
        if self._writer is not None:
            self._write_again(schema)

    def _write_group(self) -> None:
        """Write the chunks that wait as one row group."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(self.place, self._schema)
        group = pa.concat_tables([widened(each, self._schema) for each in self._waiting])
        self._waiting.clear()
        self._rows = self._bytes = 0
        self._writer.write_table(group)

    def _write_again(self, schema: Any) -> None:
        """Write the rows so far again with wider columns, part by part, and go on behind them."""
        import pyarrow.parquet as pq

        self._writer.close()
        made = self.place.with_name(f"{self.place.name}.wider")
        try:
            self._writer = pq.ParquetWriter(made, schema)
            with pq.ParquetFile(self.place, pre_buffer=False) as written:
                for group in range(written.num_row_groups):
                    self._writer.write_table(widened(written.read_row_group(group), schema))
            made.replace(self.place)  # the writer's handle follows the file
        finally:
            folders.remove(made)

    def close(self) -> None:
        if self._waiting:
            self._write_group()
        if self._writer is not None:
            self._writer.close()


def widest(one: Any, other: Any) -> Any:
    """The Arrow schema whose columns hold those of both, with the wider types of pandas.

    Raises:
        DataError: a column is numbers in one and text in the other, for example.
    """
    import pyarrow as pa

    try:
        wider = pa.unify_schemas([one, other], promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
        raise DataError(
            f"a column has values of several types, which Parquet cannot hold ({error}): write a "
            ".csv file"
        ) from error
    return wider.with_metadata(_wider_types(wider, one, other))


def _wider_types(wider: Any, one: Any, other: Any) -> dict[bytes, bytes]:
    """What a file says of the types of pandas: of each column those of the schema that holds both,
    and of two alike, the one that can be missing, such as Int64."""
    said = [json.loads(schema.metadata[b"pandas"]) for schema in (one, other)]
    columns = []
    for place, (before, after) in enumerate(zip(*(s["columns"] for s in said), strict=True)):
        kept = wider.field(place).type == one.field(place).type
        nullable = after["numpy_type"][:1].isupper() or after["numpy_type"] == "boolean"
        columns.append(after if nullable or not kept else before)
    return {b"pandas": json.dumps({**said[0], "columns": columns}).encode()}


class _Npz(Columnar):
    """Arrays, which can be written only after the last row."""

    def __init__(self, place: Path, form: TextForm, rounded: bool) -> None:
        super().__init__(place, form, rounded)
        self._parts: list[Columns] = []

    def _append(self, columns: Columns) -> None:
        self._parts.append(columns)

    def close(self) -> None:
        names = self._parts[0] if self._parts else ()
        arrays: dict[str, Any] = {
            name: np.concatenate([np.asarray(part[name]) for part in self._parts]) for name in names
        }
        with self.place.open("wb") as file:
            np.savez_compressed(file, **arrays)


_KINDS: Mapping[str, type[Columnar]] = {
    ".csv": _Csv,
    ".parquet": _Parquet,
    ".json": _Json,
    ".npz": _Npz,
}
SCORES = (".csv", ".parquet", ".json")


def check_suffix(path: Path) -> None:
    """Check the suffix of an output file, before any work is done.

    Raises:
        OptionError: the suffix is unknown; the message names those that can be written.
    """
    *others, last = SCORES
    if path.suffix.lower() not in SCORES:
        raise OptionError(f"{path}: scores are written as {', '.join(others)} or {last}")


def numbered(dataset: Dataset, first: int = 0) -> dict[str, Any]:
    """The columns that identify a row: its number, from that of the first row on, and, for rows
    from files, its name."""
    rows: dict[str, Any] = {"row": np.arange(first, first + len(dataset))}
    return rows if dataset.ids is None else {**rows, "name": list(dataset.ids)}


@contextmanager
def columnar(
    path: Path, form: TextForm | None = None, *, rounded: bool = False
) -> Iterator[Columnar]:
    """Context with a .csv, .parquet, .json or .npz file; it becomes ``path`` at the end.

    After an error or an interruption, ``path`` is unchanged.

    Args:
        path: the file.
        form: how a table is written in a .csv file, which is UTF-8, and the types of a .parquet
            file; None: as usual.
        rounded: as in ``TextForm.written``.
    """
    with replacing(path) as place:
        file = _KINDS[path.suffix.lower()](place, form or TextForm(), rounded)
        try:
            yield file
        finally:
            file.close()
