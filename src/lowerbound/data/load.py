"""One way in: a path, a name, an array, a tensor or a frame becomes a ``Dataset``."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from lowerbound.data import raw as raw_data
from lowerbound.data.arrays import as_array
from lowerbound.data.audio.clips import SUFFIX as WAV, is_audio
from lowerbound.data.audio.rows import read_rows
from lowerbound.data.audio.spectrograms import read_spectrograms
from lowerbound.data.catalog.names import CATALOG
from lowerbound.data.dataset import Dataset
from lowerbound.data.npz import read_npz
from lowerbound.data.pictures import folders as images
from lowerbound.data.pictures.pixels import Resize
from lowerbound.data.pictures.range_images import is_sweeps, read_sweeps
from lowerbound.data.raw import RawData
from lowerbound.data.schema import Binarize, Schema
from lowerbound.data.sequences.series import at_all_times, cut, has_windows, read_series
from lowerbound.data.sequences.windows import Windows
from lowerbound.data.tables.duckdb import is_address, is_relation, relation_frame
from lowerbound.data.tables.files import CSV_SUFFIXES, PARQUET_SUFFIXES, read_frame, table_suffix
from lowerbound.data.tables.frames import from_frame
from lowerbound.errors import DataError, OptionError, unknown

Missing = Literal["error", "model"]


def load(
    source: Any,
    *,
    label: Any = None,
    schema: Schema | None = None,
    image_size: int | tuple[int, int] | None = None,
    resize: Resize | None = None,
    on_error: images.OnError = "raise",
    binarize: Binarize | None = None,
    missing: Missing | None = None,
    kinds: raw_data.Kinds = "infer",
    split: str | None = None,
    levels: int | None = None,
    standardize: bool = True,
    windows: Windows | None = None,
    bend: bool = True,
    spectrograms: bool = False,
    measured: bool = False,
) -> Dataset:
    """Read ``source`` and learn its schema, or encode it by the ``schema`` of an earlier fit.

    Args:
        source: a folder of pictures or of .wav files, one of either, a LiDAR sweep (.bin) or a
            folder of them, a csv, parquet, npz or npy file, the name of a set in ``CATALOG``
            (./name for a folder of that name), the address of a table in a DuckDB database or a
            relation of its client, an array, a tensor or a pandas frame.
        label: a table's label column; for arrays, one value per row.
        schema: of an earlier fit; the data has to match it.
        image_size: height and width that pictures are brought to; None: the most common size.
        resize: "pad" (default), "crop", "stretch" or "tiles".
        on_error: "skip" leaves out pictures and sounds that cannot be read, and counts them.
        binarize: "dynamic" (new bits at each visit), "threshold" or "none".
        missing: "model": NaN marks a missing value, and the model learns to do without; "error":
            NaN is refused. Tables and sweeps default to the first, arrays and pictures to the
            second.
        kinds: of a table's columns: "infer" finds each from its values, "real" takes all for real
            numbers; a mapping from names says some of them, as a kind ("categorical",
            "datetime:%d/%m/%Y") or as a mapping of kind, levels, low, high, atom and format, and
            the others are found.
        split: the part of a set that has several, such as "test".
        levels: number of levels of whole-number values, where their type does not tell.
        standardize: bring real columns to mean 0 and standard deviation 1.
        windows: a table's rows are points in time, and are cut so; the label's column is left out.
            Sound is cut so too; see ``audio.usual_windows`` for how, unless it is said here.
            The schema remembers it. What is said of a column by ``kinds`` holds at each of its
            times.
        bend: bring a column that is far from normal nearer to it by a spline through its quantiles;
            False where the values that are missing would not lie on it.
        spectrograms: each clip of sound is a picture, ``image_size`` large, instead of being cut
            into rows; subfolders then name classes. The schema remembers it.
        measured: the label is a number to be predicted, and no class.

    Raises:
        DataError: the data cannot be read, or cannot be modeled, or does not match ``schema``.
        OptionError: an option has an unknown value.
    """
    _check_options(resize, on_error, binarize, missing, schema)
    if spectrograms and not is_audio(source):
        raise OptionError(f"spectrograms are of sound, and {source} is no {WAV} file or folder")
    if is_audio(source) and (spectrograms or (schema is not None and schema.clip_length)):
        return _heard(source, label, schema, image_size, on_error, binarize, split)
    if is_audio(source):
        _check_sound(label, resize, binarize, levels, image_size)
        return read_rows(source, schema, windows, on_error, split)
    if windows is not None:
        source, label = cut(read_series(source), windows, label), None
        kinds = at_all_times(kinds, windows)
    found = _read(source, label, schema, image_size, resize, on_error, split, kinds == "real")
    if levels is not None:
        found = replace(found, levels=levels)
    if schema is not None:
        return raw_data.encode(found, schema)
    gaps = found.missing or (hasattr(found.x, "columns") and kinds != "real")
    missing = missing or ("model" if gaps else "error")
    fitted = raw_data.fit(
        found, binarize or "none", standardize, missing == "model", kinds, bend, measured
    )
    return replace(fitted, schema=replace(fitted.schema, windows=windows))


def _heard(
    source: Any,
    label: Any,
    schema: Schema | None,
    image_size: int | tuple[int, int] | None,
    on_error: images.OnError,
    binarize: Binarize | None,
    split: str | None,
) -> Dataset:
    """Clips as pictures."""
    size, _, _ = _picture_shape(schema, image_size, None)
    found, rate, length = read_spectrograms(source, schema, size, on_error, split)
    found = _labeled(found, label)
    if schema is not None:
        return raw_data.encode(found, schema)
    fitted = raw_data.fit(found, binarize or "none")
    heard = replace(fitted.schema, sample_rate=rate, clip_length=length)
    return replace(fitted, schema=heard)


def _check_options(
    resize: str | None,
    on_error: str,
    binarize: str | None,
    missing: str | None,
    schema: Schema | None,
) -> None:
    allowed = {
        "resize": (resize, get_args(Resize)),
        "on_error": (on_error, get_args(images.OnError)),
        "binarize": (binarize, get_args(Binarize)),
        "missing": (missing, get_args(Missing)),
    }
    for name, (value, known) in allowed.items():
        if value is not None and value not in known:
            raise unknown(f"value for {name}:", value, known)
    if schema is not None and binarize not in (None, schema.binarize):
        raise OptionError(
            f"binarize={binarize!r}, but the model was fitted with {schema.binarize!r}"
        )


def _check_sound(label: Any, *others: Any) -> None:
    """Refuse what can be said of tables and pictures only."""
    if label is not None:
        raise DataError(f"only tables have columns, so there is no column {label!r} for the label")
    if any(value not in (None, "none") for value in others):
        raise OptionError("sound takes neither levels nor bits, and has no pictures to resize")


def _read(
    source: Any,
    label: Any,
    schema: Schema | None,
    image_size: int | tuple[int, int] | None,
    resize: Resize | None,
    on_error: images.OnError,
    split: str | None,
    numbers_only: bool,
) -> RawData:
    if is_address(source):
        return _from_table(read_frame(source), label, schema, source, numbers_only)
    if is_relation(source):
        source = relation_frame(source)
    named = isinstance(source, str) and source in CATALOG
    path = Path(source).expanduser() if isinstance(source, (str, Path)) and not named else None
    if path and is_sweeps(path):
        _check_parts(None, split)
        size, _, _ = _picture_shape(schema, image_size, resize)
        return _labeled(read_sweeps(path, size), label)
    if path and (path.is_dir() or (path.suffix.lower() in images.SUFFIXES and path.is_file())):
        _check_parts(path, split)
        size, channels, how = _picture_shape(schema, image_size, resize)
        if path.is_dir():
            found = images.read_folder(path, size, channels, how, on_error, split)
        else:
            found = images.read_file(path, size, channels, how)
        return _labeled(found, label)
    there = path is None or path.exists()
    if there and (image_size is not None or resize is not None):
        raise OptionError("image_size and resize are for folders of pictures and picture files")
    if named:
        return _labeled(CATALOG[source](split), label)
    _check_parts(path, split)
    if path:
        return _read_file(path, label, schema, split, numbers_only)
    if hasattr(source, "columns"):
        return _from_table(source, label, schema, "", numbers_only)
    return _labeled(RawData(as_array(source)), label)


def _check_parts(path: Path | None, split: str | None) -> None:
    """Only folders, npz files and named sets come in parts."""
    if split is None or (path is not None and (path.is_dir() or not path.exists())):
        return
    if path is None or path.suffix.lower() != ".npz":
        raise DataError(f"{path or 'an array'} has no parts, so no {split!r}; leave split out")


def _read_file(
    path: Path, label: Any, schema: Schema | None, split: str | None, numbers_only: bool
) -> RawData:
    if not path.exists():
        raise DataError(_nothing_there(path))
    if path.suffix.lower() in (".npz", ".npy"):
        return _labeled(read_npz(path, split), label)
    if table_suffix(path) in (*CSV_SUFFIXES, *PARQUET_SUFFIXES):
        return _from_table(read_frame(path), label, schema, str(path), numbers_only)
    raise DataError(
        f"{path} is of no known kind: give a folder of pictures, a picture, or a file that ends in "
        f"{', '.join((*CSV_SUFFIXES, *PARQUET_SUFFIXES))}, .npz, .npy or {WAV}"
    )


def _from_table(
    frame: Any, label: Any, schema: Schema | None, source: str, numbers_only: bool
) -> RawData:
    if schema is not None and schema.windows is not None and not has_windows(frame, schema):
        frame = cut(frame, schema.windows, label)
    if label is None or isinstance(label, str):
        return from_frame(frame, label, schema, source, numbers_only)
    return replace(from_frame(frame, None, schema, source, numbers_only), labels=label)


def _labeled(found: RawData, label: Any) -> RawData:
    if isinstance(label, str):
        raise DataError(f"only tables have columns, so there is no column {label!r} for the label")
    return found if label is None else replace(found, labels=label, class_names=None)


def _picture_shape(
    schema: Schema | None, image_size: int | tuple[int, int] | None, resize: Resize | None
) -> tuple[tuple[int, int] | None, int | None, Resize]:
    """(size, channels, how to get there): those of the schema where there is one."""
    if isinstance(image_size, int):
        image_size = (image_size, image_size)
    if schema is not None and schema.kind == "images" and schema.image is not None:
        channels, height, width = schema.event_shape
        if image_size not in (None, (height, width)):
            raise OptionError(f"the model was fitted on {width}x{height}; leave image_size out")
        return (height, width), channels, resize or schema.image.resize
    if image_size is not None and min(image_size) < 1:
        raise OptionError(f"image_size must be at least 1, not {image_size}")
    return image_size, None, resize or "pad"


def _nothing_there(path: Path) -> str:
    close = difflib.get_close_matches(path.name, list(CATALOG), n=1)
    if not close and path.parent.is_dir():
        beside = [entry.name for entry in path.parent.iterdir()]
        close = difflib.get_close_matches(path.name, beside, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f" (named sets: {', '.join(CATALOG)})"
    return f"there is no file, folder or named data set {str(path)!r}{hint}"
