"""Labels and rows that the user selects: the data's label or another column of a table; rows by
number, counted from 0, or by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from lowerbound.applications.form import OnError
from lowerbound.applications.io.sources import conditioned, open_data
from lowerbound.data import load
from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import encode_labels
from lowerbound.data.pictures.folders import classes_of
from lowerbound.data.tables.files import CSV_SUFFIXES, is_table, read_frame, table_suffix
from lowerbound.data.tables.parquet import PARQUET_SUFFIXES
from lowerbound.errors import DataError, unknown
from lowerbound.fitting import Fitted


@dataclass(frozen=True, eq=False)
class Labeled:
    """Rows as the model's input, with a label that the model need not know.

    Attributes:
        dataset: the rows, with their class if the model is conditional.
        label: class indices, (rows,), -1 if unknown; None without labels.
        names: class names, in the order of their indices.
    """

    dataset: Dataset
    label: Tensor | None
    names: tuple[str, ...]

    def as_dataset(self) -> Dataset:
        """The rows with this label, for a classifier."""
        schema = replace(self.dataset.schema, class_names=self.names, condition=None)
        return replace(self.dataset, label=self.label, schema=schema)


def open_labeled(
    source: str, fitted: Fitted, column: str = "", on_error: OnError = "raise"
) -> Labeled:
    """Open data of the model's kind, labeled by ``column`` if it is given.

    The column may be unknown to the model, one that it models, or its label. Folders of pictures
    whose classes are all unknown to the model keep these classes.

    Raises:
        DataError: as ``open_data``; or the data is no table; or the column has fractions.
        OptionError: there is no column of that name; the message suggests the nearest.
    """
    if not column or column == fitted.schema.label_column:
        dataset = open_data(source, fitted, on_error=on_error)
        label, names = dataset.label, fitted.schema.class_names
        pictures = dataset.schema.data_kind.pictures and Path(source).expanduser().is_dir()
        if pictures and (label is None or bool((label < 0).all())):
            folders = classes_of([Path(name) for name in dataset.ids or ()])
            label, names = (label, names) if folders is None else encode_labels(folders)
        return Labeled(dataset, label, names)
    if not is_table(source):
        if table_suffix(Path(source)) in (*CSV_SUFFIXES, *PARQUET_SUFFIXES):
            raise DataError(f"there is no file {source!r}")
        raise DataError(
            f"only tables have columns, so {source} has no column {column!r}; the classes of "
            "pictures are the names of their folders"
        )
    frame = read_frame(source)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if column not in frame:
        raise unknown("column", column, frame.columns)
    label, names = encode_labels(frame[column])
    kept = {one.name for one in fitted.schema.columns} | {fitted.schema.label_column}
    features = frame if column in kept else frame.drop(columns=[column])
    dataset = load(features, schema=replace(fitted.schema, condition=None), on_error=on_error)
    if len(dataset) != len(frame):
        raise DataError(
            f"{len(frame) - len(dataset):,} rows of {source} cannot be read, so that the classes "
            f"of {column!r} are not those of the rows that are left: remove these rows"
        )
    return Labeled(conditioned(replace(dataset, source=source), fitted), label, names)


def row_name(dataset: Dataset, row: int) -> str:
    """The row's own name; otherwise its number."""
    return dataset.ids[row] if dataset.ids else f"row {row}"
