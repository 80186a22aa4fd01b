"""Rows as objects of a design: how they are compared, judged and written down."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.data.loading import load
from lowerbound.data.schema import Schema
from lowerbound.data.sciences.smiles import canonical_smiles
from lowerbound.data.tables.frames import to_frame
from lowerbound.errors import DataError, UnsupportedError

AT_ONCE = 10_000  # rows of a data set that are in their original form together


class RowForm(ABC):
    """Rows of one schema in their original form, as a list of objects."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    @abstractmethod
    def rows(self, x: Tensor) -> list[Any]:
        """The rows of x, (rows, *event) in model units."""

    @abstractmethod
    def given(self, rows: Sequence[Any]) -> Any:
        """The rows as functions take them: a list of texts, or a frame."""

    @abstractmethod
    def columns(self, rows: Sequence[Any]) -> dict[str, list[Any]]:
        """The rows as columns of a table."""

    def key(self, row: Any) -> Hashable:
        """Equal for equal objects."""
        return repr(row)

    def problem(self, row: Any) -> str:
        """Why the row is no object to judge; "" if it is one."""
        return ""

    def standard(self, x: Tensor, rows: Sequence[Any]) -> Tensor:
        """The rows as the model saw rows like them in training, (rows, *event) in model units.

        Args:
            x: as they were decoded.
            rows: what ``rows`` made of x.
        """
        return x

    def dataset(self, rows: Sequence[Any]) -> tuple[Dataset | None, list[int]]:
        """(rows as data of the schema, which of them); None if the model can read none."""
        if not rows:
            return None, []
        return load(self.given(rows), schema=self.schema), list(range(len(rows)))

    def known(self, dataset: Dataset) -> list[Any]:
        """The rows of a data set; missing cells of a table are missing in them."""
        x = self.schema.units(dataset.x)
        if dataset.observed is not None:
            x = x.masked_fill(~dataset.observed, float("nan"))
        return self.rows(x)

    def known_parts(self, dataset: Dataset) -> Iterator[list[Any]]:
        """``known`` of a large data set, some rows at a time."""
        for start in range(0, len(dataset), AT_ONCE):
            stop = min(start + AT_ONCE, len(dataset))
            yield self.known(dataset.subset(range(start, stop)))


class KnownKeys:
    """The keys of many rows, in eight bytes each: they are kept as hashes.

    Args:
        form: of the rows.
        parts: the rows, some at a time.
    """

    def __init__(self, form: RowForm, parts: Iterable[Sequence[Any]]) -> None:
        hashes = [np.array([hash(form.key(row)) for row in rows], np.int64) for rows in parts]
        self._hashes = np.unique(np.concatenate(hashes))

    def __contains__(self, key: object) -> bool:
        place = int(np.searchsorted(self._hashes, hash(key)))
        return place < len(self._hashes) and bool(self._hashes[place] == hash(key))


class TextRows(RowForm):
    """Rows that decode to texts."""

    def rows(self, x: Tensor) -> list[Any]:
        return [str(text) for text in self.schema.decode(x)]

    def given(self, rows: Sequence[Any]) -> list[str]:
        return list(rows)

    def columns(self, rows: Sequence[Any]) -> dict[str, list[Any]]:
        return {"text": list(rows)}

    def dataset(self, rows: Sequence[Any]) -> tuple[Dataset | None, list[int]]:
        packed = {
            i: found for i, row in enumerate(rows) if (found := self._packed(row)) is not None
        }
        if not packed:
            return None, []
        return Dataset(self.schema, torch.cat(list(packed.values()))), list(packed)

    def _packed(self, row: str) -> Tensor | None:
        """The row as the model holds it, (1, ...); None if it cannot read the text."""
        try:
            return self.schema.pack([row])[0]
        except DataError:
            return None


class FormulaRows(TextRows):
    """Rows that decode to chemical formulas."""


class MoleculeRows(TextRows):
    """Rows that decode to SMILES: canonical, or unchanged where a text is not a molecule."""

    def rows(self, x: Tensor) -> list[Any]:
        return [self._canonical(text) for text in super().rows(x)]

    def standard(self, x: Tensor, rows: Sequence[Any]) -> Tensor:
        """Codes of the canonical SMILES; as decoded where the model cannot read these.

        Many texts are one molecule, and a model is fitted on the canonical one of each.
        """
        found = [self._packed(row) for row in rows]
        return torch.stack(
            [x[i] if f is None else self.schema.units(f)[0].to(x) for i, f in enumerate(found)]
        )

    def problem(self, row: Any) -> str:
        try:
            canonical_smiles(row)
        except DataError as error:
            return str(error)
        return ""

    def _canonical(self, text: str) -> str:
        try:
            return canonical_smiles(text)
        except DataError:
            return text


class ColumnRows(RowForm):
    """Rows of a table."""

    def rows(self, x: Tensor) -> list[Any]:
        return list(to_frame(self.schema, x).itertuples(index=False, name=None))

    def given(self, rows: Sequence[Any]) -> Any:
        import pandas as pd

        return pd.DataFrame(list(rows), columns=[column.name for column in self.schema.columns])

    def columns(self, rows: Sequence[Any]) -> dict[str, list[Any]]:
        frame: Mapping[str, Any] = self.given(rows)
        return {str(name): list(frame[name]) for name in frame}


def row_form(schema: Schema) -> RowForm:
    """The form of a schema's rows.

    Raises:
        UnsupportedError: they are neither texts nor rows of a table.
    """
    kind = schema.data_kind
    if kind.molecular(schema):
        return MoleculeRows(schema)
    if kind.parts_of_whole:
        return FormulaRows(schema)
    if kind.symbolic:
        return TextRows(schema)
    if schema.columns and schema.windows is None:
        return ColumnRows(schema)
    raise UnsupportedError(
        f"design judges molecules, other texts, compositions and rows of tables; the model was "
        f"fitted on {kind.describe(schema)}"
    )
