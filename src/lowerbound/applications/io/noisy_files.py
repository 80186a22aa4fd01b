"""Noisy rows from files, as numbers in the data's own units, and the rows without noise written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.applications.io import rows
from lowerbound.applications.io.files import replacing
from lowerbound.applications.io.grids import grid
from lowerbound.applications.io.incomplete import DRAWS_SHOWN, SHOWN
from lowerbound.applications.io.sources import OnError, conditioned
from lowerbound.data import Dataset, Schema, load
from lowerbound.data.arrays import as_array
from lowerbound.data.columns.matrix import table_values
from lowerbound.data.noisy import noisy_rows
from lowerbound.data.npz import read_npz
from lowerbound.data.pictures.pixels import restore_channels
from lowerbound.data.tables.files import is_table, read_frame
from lowerbound.fitting import Fitted

Array = np.ndarray[Any, Any]


def open_noisy(source: str, fitted: Fitted, on_error: OnError = "raise") -> tuple[Array, Dataset]:
    """(the rows as given, NaN where missing; the same in model units).

    Pictures in files hold whole numbers in their range: noise that leaves it comes in an array.

    Raises:
        DataError: the data cannot be read, or does not fit the model.
    """
    schema = replace(fitted.schema, condition=None)
    values, labels = _values(source, schema, on_error)
    dataset = noisy_rows(values, schema, source)
    if labels is not None:
        dataset = dataset.with_labels(labels)
    return values, conditioned(
        replace(dataset, schema=_conditional(dataset.schema, fitted)), fitted
    )


def write_clean(
    path: Path, schema: Schema, given: Array, clean: Array, draws: Array | None
) -> list[str]:
    """Write the rows without noise, and draws of them, as the suffix of ``path`` says.

    Args:
        path: .png (a sheet), .npz or a folder for pictures; .csv, .parquet or .npz for tables.
        schema: of the rows.
        given: noisy, (rows, ...), in the data's own units, as all are.
        clean: likewise.
        draws: (draws, rows, ...), or None.
    """
    drawn = [] if draws is None else list(draws)
    if path.suffix.lower() == ".npz":
        stacked = {"draws": np.stack(drawn)} if drawn else {}
        return list(rows.write_columns(path, {"x": clean, **stacked}))
    if schema.kind == "images":
        return _write_pictures(path, schema, given, clean, drawn)
    files: list[str] = []
    for number, values in enumerate([clean, *drawn]):
        names = [column.name for column in schema.columns]
        place = path.with_stem(f"{path.stem}-{number}") if number else path
        files += rows.write_columns(place, dict(zip(names, values.T, strict=True)))
    return files


def _write_pictures(
    path: Path, schema: Schema, given: Array, clean: Array, drawn: list[Array]
) -> list[str]:
    shown = [_eight_bit(some[:SHOWN], schema) for some in (given, *drawn[:DRAWS_SHOWN], clean)]
    above = ["noisy", *(f"draw {i + 1}" for i in range(len(shown) - 2)), "mean"]
    sheet = path if path.suffix else path / "sheet.png"
    with replacing(sheet) as place:
        pictures = grid([list(row) for row in zip(*shown, strict=True)], above=above)
        pictures.save(place, format="PNG")
    files = [str(sheet)]
    for number, values in enumerate([] if path.suffix else [clean, *drawn]):
        ending = f"-{number}" if number else ""
        for i, picture in enumerate(_eight_bit(values, schema)):
            files += rows.write_picture(path / f"{i:05d}{ending}.png", picture)
    return files


def _values(source: str, schema: Schema, on_error: OnError) -> tuple[Array, Any]:
    """(numbers in the data's own units, labels or None)."""
    path = Path(source).expanduser()
    if path.suffix.lower() in (".npz", ".npy") and path.is_file():
        raw = read_npz(path)
        return as_array(raw.x), raw.labels
    if is_table(source):
        return table_values(
            read_frame(source), schema.columns, by_name=schema.kind == "table"
        ), None
    schema = _of_files(schema)
    found = load(source, schema=schema, on_error=on_error)
    values = schema.decode(schema.units(found.x)).astype(np.float32)
    if found.observed is not None and schema.image is not None:
        seen = restore_channels(found.observed.numpy(), schema.image.channels)
        values = np.where(seen, values, np.float32(np.nan))
    if found.label is None:
        return values, None
    return values, [schema.class_names[label] for label in found.label.tolist()]


def _of_files(schema: Schema) -> Schema:
    """By which noisy pictures in files are read: 8 bits, also where the clean ones had fewer."""
    if schema.kind == "images" and schema.white == 255:
        return replace(schema, levels=256, binarize="none", dtype="uint8")
    return schema


def _conditional(schema: Schema, fitted: Fitted) -> Schema:
    return replace(schema, class_names=fitted.schema.class_names or schema.class_names)


def _eight_bit(values: Array, schema: Schema) -> Array:
    """(rows, H, W, C) uint8; what is missing is grey."""
    channels = schema.image.channels if schema.image else "first"
    if channels != "last":
        values = np.moveaxis(values[:, None] if channels == "squeezed" else values, 1, -1)
    shares = np.nan_to_num(values / schema.white, nan=0.5).clip(0, 1)
    pictures: Array = np.rint(shares * 255).astype(np.uint8)
    return pictures
