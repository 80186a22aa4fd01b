"""Columnar data: tables, whose columns have names, and vectors, whose columns have positions.

Advice says which columns are left out because they identify rows. A ' before a text that a
spreadsheet would compute is read as .csv files of this package have it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, listed, observed_values, without_nan
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.dates import formats
from lowerbound.data.columns.inference import (
    Hint,
    check_hints,
    has_leading_zeros,
    is_code,
    numpy_name,
    understood,
)
from lowerbound.data.columns.levels import level_type
from lowerbound.data.columns.matrix import (
    check_variation,
    decode_columns,
    encode_columns,
    frame_numbers,
    log_slopes,
    modeled_values,
    named,
    real_columns,
    table_values,
)
from lowerbound.data.columns.notation import Notation
from lowerbound.data.columns.unseen import beyond_cells, unseen_cells
from lowerbound.data.columns.values import (
    distinct_values,
    level_name,
    parsed_numbers,
    with_own_gaps,
)
from lowerbound.data.kinds import DATA_KINDS, DataKind, Default
from lowerbound.data.labels import label_names
from lowerbound.data.pictures import pixels
from lowerbound.data.raw import RawData
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.series import (
    at_all_times,
    cut,
    cut_as_fitted,
    has_windows,
    warn_of_times,
    without_times,
)
from lowerbound.data.tables.arrow import arrow_types, is_other_frame, other_frame, plain_frame
from lowerbound.data.tables.dialect import BEGINNINGS, MARK, Dialect
from lowerbound.data.tables.duckdb import is_relation, relation_frame
from lowerbound.data.tables.files import is_table, read_table
from lowerbound.data.tables.frames import frame_dtype, from_frame, to_frame
from lowerbound.data.tables.markers import is_text, kept_by, levels_of, note_of_words
from lowerbound.data.tables.numbers import (
    Notations,
    found_notations,
    notations_of,
    other_notations,
    with_numbers,
)
from lowerbound.data.tables.workbooks import WORKBOOKS
from lowerbound.errors import DataError, counted

MARKS = dict.fromkeys(map(ord, " \u00a0\u202f.,'%$\u20ac\u00a3"))  # that numbers may have
SIGNS = "+-"  # before or after a number; inside a text they are of dates, ranges or codes
NO_NUMBERS = ("categorical", "ordinal", "binary", "datetime", "identifier")
PROFILE_FEATURES = 24  # number of features above which reports draw vectors as curves


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
        # whether a cell is digits, with the marks that a number may have
        numbers = [cell.translate(MARKS).strip(SIGNS).isdecimal() for cell in cells]
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
    return level_name(cell) in names


def _replaced(plain: Mapping[str, str], cell: Any) -> Any:
    return plain.get(cell, cell)


class ColumnarKind(DataKind):
    """Rows of columns, each with its own map to model units; constant columns are left out."""

    matrix = True
    fits_quickly = True

    def pack(self, schema: Schema, raw: Any) -> tuple[Tensor, Tensor | None]:
        if schema.levels is not None or schema.binarize != "none":
            inside, observed = without_nan(self.values(schema, raw), schema.missing)
            return pixels.pack(inside, schema.levels, schema.white), observed
        values = table_values(raw, schema.columns, by_name=self.named_columns)
        units = encode_columns(values, schema.columns, schema.missing)
        inside, observed = without_nan(units, schema.missing)
        return torch.from_numpy(inside), observed

    def unseen(self, schema: Schema, raw: Any, observed: Tensor | None) -> Tensor | None:
        seen = None if observed is None else observed.numpy()
        found = unseen_cells(raw, schema.columns, seen, by_name=self.named_columns)
        return None if found is None else torch.from_numpy(found)

    def beyond(self, schema: Schema, raw: Any, packed: Tensor) -> Tensor | None:
        found = beyond_cells(raw, schema.columns, packed.numpy(), by_name=self.named_columns)
        return None if found is None else torch.from_numpy(found)

    def values(self, schema: Schema, raw: Any) -> Array:
        values = table_values(raw, schema.columns, by_name=self.named_columns)
        return modeled_values(values, schema.columns, schema.missing)

    def decode(self, schema: Schema, units: Array, rounded: bool) -> Array:
        if schema.levels is not None:
            units = pixels.unpack(units, schema.levels, schema.white, "float64", rounded)
        values = decode_columns(units, schema.columns, rounded)
        return values.astype(schema.dtype) if rounded else values

    def check_written(self, schema: Schema) -> None:
        super().check_written(schema)
        if not (schema.mixed or self.named_columns):
            return
        for cells in (0.0, np.nan):  # of which a missing one may need another type
            to_frame(schema, np.full((1, *schema.event_shape), cells))

    def laid_out(self, schema: Schema, cells: Array) -> Array:
        wide = np.zeros((len(cells), len(schema.columns)), dtype=bool)
        wide[:, [column.modeled for column in schema.columns]] = cells
        return wide

    def as_event(self, schema: Schema, cells: Array) -> Array:
        if cells.shape[-1:] == (len(schema.columns),):
            cells = cells[..., [column.modeled for column in schema.columns]]
        return cells

    def log_slopes(self, schema: Schema, x: Tensor) -> Tensor:
        if schema.levels is not None:
            return super().log_slopes(schema, x)
        if all(column.affine for column in schema.modeled):
            slopes = [-math.log(column.scale) for column in schema.modeled] or [0.0]
            return torch.tensor(slopes, dtype=torch.float64).expand(1, *schema.event_shape)
        return torch.from_numpy(log_slopes(x.detach().cpu().double().numpy(), schema.columns))

    def describe(self, schema: Schema) -> str:
        names = self.feature_names(schema)
        rows = f"rows of {counted(len(names), 'column')}"
        return (
            rows if schema.mixed else f"{rows} of {self.describe_values(schema)} ({listed(names)})"
        )

    def feature_names(self, schema: Schema) -> list[str]:
        return [column.name for column in schema.modeled] or super().feature_names(schema)

    def features(self, schema: Schema, units: Tensor) -> Array:
        decoded = np.asarray(schema.decode(units, rounded=False), dtype=float)
        return decoded[..., [i for i, column in enumerate(schema.columns) if column.modeled]]

    def default_network(self, schema: Schema, tabular: bool) -> Default:
        linear = any(len(column.rules.features()) for column in schema.modeled)
        if tabular and linear and (schema.mixed or schema.missing):
            return Default("tabular", "starts as factor analysis, for any missing cells")
        return Default("mlp", "columns have no neighbors")


@DATA_KINDS.register("vectors")
class VectorKind(ColumnarKind):
    """A matrix of numbers."""

    def holds(self, rows: Any) -> bool:
        return not hasattr(rows, "columns") and rows.ndim not in (3, 4)

    def learn(self, raw: RawData, how: Reading) -> Schema:
        if raw.x.ndim != 2:
            raise DataError(
                f"expected (rows, columns) or pictures, found an array of shape {raw.x.shape}. "
                "Reshape your data: X.reshape(-1, 1) if it has one column, X.reshape(1, -1) if one "
                "row"
            )
        names = [f"x{i}" for i in range(raw.x.shape[1])]
        return _of_numbers(raw.x, names, [str(raw.x.dtype)] * len(names), raw.levels, how)

    def report_style(self, schema: Schema) -> str:
        return "profiles" if len(self.feature_names(schema)) > PROFILE_FEATURES else "columns"


@DATA_KINDS.register("table")
class TableKind(ColumnarKind):
    """A pandas frame, a csv or parquet file, or a table or query of a database."""

    named_columns = True

    def reads(self, source: Any) -> bool:
        if isinstance(source, (str, Path)):
            return is_table(source)
        pandas = hasattr(source, "set_axis") and hasattr(source, "columns")  # a Series has none
        return pandas or is_relation(source) or is_other_frame(source)

    def read(self, source: Any, reading: Reading) -> RawData:
        """Read the columns of a table, or cut its rows into windows if they are points in time."""
        reading.refuse(source, "spectrograms", "image_size", "resize", "split")
        schema, label = reading.schema, reading.label
        if schema is not None and not schema.columns:
            _refuse_table(source, schema)
        frame, dialect = _frame(source, reading)
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        if schema is not None:
            frame = unquoted(frame, schema)
        elif isinstance(label, str) and label in frame.columns and not reading.regression:
            _check_classes(frame[[label]], dialect)
        notations = _notations(frame, reading, dialect)
        frame = with_numbers(frame, notations)
        if schema is not None:
            frame = _as_fitted(frame, schema)
        if schema is not None and schema.windows is not None and not has_windows(frame, schema):
            windows = reading.windows or schema.windows
            frame = cut_as_fitted(frame, schema, windows, label)
            warn_of_times(frame, windows, schema.left_out)
            label = None if reading.windows is not None else label
        elif reading.windows is not None:
            frame, label = cut(frame, reading.windows, label), None
        name = str(source) if isinstance(source, (str, Path)) else ""
        column = label if isinstance(label, str) else None
        found = from_frame(frame, column, schema, name, reading.kinds == "real")
        found = replace(found, notations=notations, dialect=dialect)
        if schema is not None:
            note_of_words(found.x, schema.columns)
        return found if label is column else replace(found, labels=label)

    def holds(self, rows: Any) -> bool:
        return hasattr(rows, "columns")

    def learn(self, raw: RawData, how: Reading) -> Schema:
        if how.kinds == "real" or how.binarize != "none" or raw.levels is not None:
            names = [str(name) for name in raw.x.columns]
            dtypes = [numpy_name(dtype) for dtype in raw.x.dtypes]
            schema = _of_numbers(frame_numbers(raw.x), names, dtypes, raw.levels, how)
        else:
            hints = {} if how.kinds == "infer" else how.kinds
            if how.windows is not None:
                raw = without_times(raw, how.windows, hints)
                hints = at_all_times(hints, how.windows)
            schema = _of_kinds(raw, hints, how)
        left_out = (*raw.left_out, *schema.left_out)
        notations = raw.notations
        if how.windows is not None:
            notations = at_all_times(notations, how.windows)
        note_of_words(raw.x, schema.columns, kept_by(how))
        in_arrow = arrow_types(raw.x)
        columns = tuple(
            replace(
                column if schema.levels is not None else column.rules.settled(raw.x[column.name]),
                notation=notations.get(column.name),
                frame_dtype=frame_dtype(raw.x[column.name]),
                arrow_type=in_arrow.get(column.name, ""),
                level_type=level_type(raw.x[column.name].dtype) if column.levels else "",
            )
            for column in schema.columns
        )
        return replace(
            schema,
            kind="table",
            label_column=raw.label_column,
            label_notation=notations.get(raw.label_column or ""),
            left_out=left_out,
            columns=columns,
        )

    def default_likelihood(self, schema: Schema) -> Default:
        if schema.levels is None and (schema.mixed or schema.missing):
            return Default("mixed", "each column by its kind")
        return super().default_likelihood(schema)


def _refuse_table(source: Any, schema: Schema) -> NoReturn:
    """Raise DataError for a table that is given to a model of rows without columns."""
    name = str(source) if isinstance(source, (str, Path)) else "the data"
    raise DataError(
        f"the model is of {schema.data_kind.describe(schema)}, and {name} is a table: give data of "
        "the model's kind"
    )


def _frame(source: Any, how: Reading) -> tuple[Any, Dialect | None]:
    """A path, an address, a relation or a frame as a pandas frame; the dialect of a text."""
    if isinstance(source, (str, Path)):
        known = None if how.schema is None else notations_of(how.schema)
        asked = how.text_dialect
        given = asked is not None and asked.sheet is not None and how.schema is None
        if given and Path(source).suffix.lower() not in WORKBOOKS:
            raise DataError(f"{source} is no workbook, so it has no sheet: leave --sheet out")
        return read_table(source, how.text_dialect, known, kept_by(how))
    if is_other_frame(source):
        source = with_own_gaps(other_frame(source))
    elif is_relation(source):
        source = with_own_gaps(relation_frame(source))
    return (how.text_dialect or Dialect()).emptied(plain_frame(source)), how.dialect


def _as_fitted(frame: Any, schema: Schema) -> Any:
    """The frame with numbers such as 07 in columns, and classes, that had none with leading
    zeros when the model was fitted."""
    import pandas as pd

    numeric = {
        one.name for one in schema.columns if one.dtype != "str" and not one.rules.has_format
    }
    if schema.label_column is not None and not any(map(is_code, schema.class_names)):
        numeric.add(schema.label_column)
    made = {}
    for name in frame.columns:
        series = frame[name] if name in numeric else None
        if series is None or getattr(series, "ndim", 1) != 1 or series.dtype.kind in "iufbMm":
            continue
        if has_leading_zeros(series):
            values, text = parsed_numbers(series)
            if not text.any():
                made[name] = pd.Series(values, index=series.index)
    return frame.assign(**made) if made else frame


def _notations(frame: Any, how: Reading, dialect: Dialect | None) -> Notations:
    """The notations of the schema, or else those that are found in the frame."""
    if how.schema is not None:
        others = other_notations(frame, dialect or how.schema.dialect, how.schema)
        return {**others, **notations_of(how.schema)}
    hints = how.kinds if isinstance(how.kinds, Mapping) else {}
    known = {name for name, hint in hints.items() if _kind_of(hint) in NO_NUMBERS}
    label = {how.label} if isinstance(how.label, str) else set()
    numbers = hints.keys() - known
    if how.regression:
        return found_notations(frame, dialect, known - label, numbers | label)
    return found_notations(frame, dialect, known | label, numbers - label)


def _check_classes(frame: Any, dialect: Dialect | None) -> None:
    """Raise an error if the label, a frame's only column, is fractions in some notation.

    Raises:
        DataError: a label is a fraction, such as 1,5 or $1.50.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the label stays text
        notations = found_notations(frame, dialect, ())
    for name, notation in notations.items():
        label_names(notation.numbers(frame[name]))


def _kind_of(hint: Hint) -> str:
    return hint.partition(":")[0] if isinstance(hint, str) else str(hint.get("kind", ""))


def _of_kinds(raw: RawData, hints: Mapping[str, Hint], how: Reading) -> Schema:
    """The schema of a frame, with the kinds of columns from their values or the hints."""
    check_hints(hints, raw.x.columns)
    found = [
        understood(raw.x[name], hints.get(name), how.standardize, how.normal_scores)
        for name in raw.x.columns
    ]
    columns = tuple(column for column in found if column.rules.kept)
    identifiers = [column.name for column in found if not column.rules.kept]
    advise_on_identifiers(raw.x, identifiers)
    if identifiers and not columns:
        verb = "identifies" if len(identifiers) == 1 else "identify"
        raise DataError(f"{named(identifiers)} {verb} rows, and no column to model remains")
    check_variation(columns, len(raw.x))
    shape = (sum(column.modeled for column in columns),)
    return Schema("table", shape, columns=columns, left_out=tuple(identifiers))


def _of_numbers(
    values: Array, names: list[str], dtypes: list[str], levels: int | None, how: Reading
) -> Schema:
    """The schema of numeric columns; flattened pictures keep constant columns, others do not."""
    white = 1.0
    seen = observed_values(values, how.gaps)
    if levels is not None or how.binarize != "none":
        levels, white = pixels.find_levels(seen, levels)
        columns = tuple(Column(n, dtype=d) for n, d in zip(names, dtypes, strict=True))
    else:
        bits = pixels.is_whole(seen) and seen.min() >= 0 and seen.max() <= 1
        standardize = how.standardize and not bits
        far = how.normal_scores and how.kinds != "real"
        columns = real_columns(
            values, names, dtypes, standardize=standardize, missing=how.gaps, far=far
        )
        levels = 2 if bits else None
    return Schema(
        kind="vectors",
        event_shape=(sum(column.modeled for column in columns),),
        columns=columns,
        levels=levels,
        white=white,
        dtype=str(np.result_type(*set(dtypes))),
    )
