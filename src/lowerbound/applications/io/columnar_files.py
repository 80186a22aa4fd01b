"""Files of columns that are written chunk by chunk, and are complete or absent."""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from lowerbound.applications.base import jsonable
from lowerbound.applications.io.files import replacing
from lowerbound.applications.io.formulas import quoted_formulas
from lowerbound.data import Dataset
from lowerbound.data.columns.notation import POINT
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.text_form import TextForm
from lowerbound.errors import OptionError

Columns = Mapping[str, Any]


class Columnar(ABC):
    """A table that is being written; the columns are those of the first chunk."""

    def __init__(self, place: Path, form: TextForm, rounded: bool) -> None:
        self.place, self.form, self.rounded = place, form, rounded

    @abstractmethod
    def add(self, columns: Columns) -> None:
        """Append rows: for each column, one value per row."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


class _Csv(Columnar):
    def __init__(self, place: Path, form: TextForm, rounded: bool) -> None:
        super().__init__(place, form, rounded)
        self._file: IO[str] = place.open("w", encoding="utf-8", newline="")
        self._bare = True
        self._formulas: dict[str, int] = {}

    def add(self, columns: Columns) -> None:
        import pandas as pd

        texts = self.form.written(columns, self.rounded)
        safe = {name: self._quoted(name, values) for name, values in texts.items()}
        dialect = self.form.dialect or Dialect()
        pd.DataFrame(safe).to_csv(
            self._file,
            index=False,
            header=self._bare,
            sep=dialect.separator,
            decimal=dialect.decimal or POINT,
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
        for name, count in self._formulas.items():
            warnings.warn(
                f"{count:,} texts of {name!r} begin as a formula of a spreadsheet, and are written "
                "with a ' before them (--keep-formulas writes them as they are)",
                UserWarning,
                stacklevel=2,
            )


class _Json(Columnar):
    def __init__(self, place: Path, form: TextForm, rounded: bool) -> None:
        super().__init__(place, form, rounded)
        self._file: IO[str] = place.open("w", encoding="utf-8")
        self._before = "["

    def add(self, columns: Columns) -> None:
        lists = {name: np.asarray(values).tolist() for name, values in columns.items()}
        for line in zip(*lists.values(), strict=True):
            record = jsonable(dict(zip(lists, line, strict=True)))
            self._file.write(self._before + json.dumps(record, allow_nan=False))
            self._before = ", "

    def close(self) -> None:
        self._file.write("[]" if self._before == "[" else "]")
        self._file.close()


class _Parquet(Columnar):
    def __init__(self, place: Path, form: TextForm, rounded: bool) -> None:
        super().__init__(place, form, rounded)
        self._writer: Any = None

    def add(self, columns: Columns) -> None:
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        frame = pd.DataFrame(dict(columns))
        if self._writer is None:
            schema = pa.Schema.from_pandas(frame, preserve_index=False)
            self._writer = pq.ParquetWriter(self.place, schema)
        table = pa.Table.from_pandas(frame, self._writer.schema, preserve_index=False)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Npz(Columnar):
    """Arrays, which can be written only after the last row."""

    def __init__(self, place: Path, form: TextForm, rounded: bool) -> None:
        super().__init__(place, form, rounded)
        self._parts: list[Columns] = []

    def add(self, columns: Columns) -> None:
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


def numbered(dataset: Dataset) -> dict[str, Any]:
    """The columns that identify a row: its number and, for rows from files, its name."""
    rows: dict[str, Any] = {"row": np.arange(len(dataset))}
    return rows if dataset.ids is None else {**rows, "name": list(dataset.ids)}


@contextmanager
def columnar(
    path: Path, form: TextForm | None = None, *, rounded: bool = False
) -> Iterator[Columnar]:
    """Context with a .csv, .parquet, .json or .npz file; it becomes ``path`` at the end.

    After an error or an interruption, ``path`` is unchanged.

    Args:
        path: the file.
        form: how a table is written in a .csv file, which is UTF-8; None: as usual.
        rounded: as in ``TextForm.written``.
    """
    with replacing(path) as place:
        file = _KINDS[path.suffix.lower()](place, form or TextForm(), rounded)
        try:
            yield file
        finally:
            file.close()
