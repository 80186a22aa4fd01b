"""One way in: a path, a name, an array, a tensor or a frame becomes a ``Dataset``."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from lowerbound.config import renamed_keywords
from lowerbound.data.arrays import as_array
from lowerbound.data.catalog.names import CATALOG
from lowerbound.data.dataset import Dataset
from lowerbound.data.kinds import newest_kinds
from lowerbound.data.npz import read_npz
from lowerbound.data.pictures.folders import OnError
from lowerbound.data.pictures.pixels import Resize
from lowerbound.data.raw import Kinds, RawData
from lowerbound.data.reading import Missing, Reading
from lowerbound.data.schema import Binarize, Schema
from lowerbound.data.sequences.windows import Windows
from lowerbound.data.tables.files import CSV_SUFFIXES, PARQUET_SUFFIXES
from lowerbound.errors import DataError

ARRAYS = (".npz", ".npy")


@renamed_keywords(bend="normal_scores", measured="regression")
def load(
    source: Any,
    *,
    label: Any = None,
    schema: Schema | None = None,
    image_size: int | tuple[int, int] | None = None,
    resize: Resize | None = None,
    on_error: OnError = "raise",
    binarize: Binarize | None = None,
    missing: Missing | None = None,
    kinds: Kinds = "infer",
    split: str | None = None,
    levels: int | None = None,
    standardize: bool = True,
    windows: Windows | None = None,
    normal_scores: bool = True,
    spectrograms: bool = False,
    regression: bool = False,
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
        normal_scores: map a column that is far from normal to normal scores, by a spline through
            its quantiles; False where the missing values would not lie on that spline.
        spectrograms: each clip of sound is a picture, ``image_size`` large, instead of being cut
            into rows; subfolders then name classes. The schema remembers it.
        regression: the label is a number to predict, and no class.

    Raises:
        DataError: the data cannot be read, or cannot be modeled, or does not match ``schema``.
        OptionError: an option has an unknown value.
    """
    reading = Reading(
        label=label,
        schema=schema,
        image_size=image_size,
        resize=resize,
        on_error=on_error,
        binarize=binarize,
        missing=missing,
        kinds=kinds,
        split=split,
        levels=levels,
        standardize=standardize,
        windows=windows,
        normal_scores=normal_scores,
        spectrograms=spectrograms,
        regression=regression,
    )
    if not (isinstance(source, str) and source in CATALOG):
        for kind in newest_kinds():
            if kind.reads(source):
                return kind.load(source, reading)
    return reading.encoded(_read_arrays(source, reading))


def _read_arrays(source: Any, reading: Reading) -> RawData:
    """Numbers in memory, in a file, or of a named set: their shape says what they are.

    Raises:
        DataError: they cannot be read, or there is nothing of that name.
    """
    named = isinstance(source, str) and source in CATALOG
    path = Path(source).expanduser() if isinstance(source, (str, Path)) and not named else None
    if path and not path.exists():
        raise DataError(_nothing_there(path))
    reading.refuse(source, "windows", "spectrograms", "image_size", "resize")
    if named:
        return reading.labeled(CATALOG[source](reading.split))
    if path and path.suffix.lower() == ".npz":
        return reading.labeled(read_npz(path, reading.split))
    reading.refuse(path or "an array", "split")
    if path is None:
        return reading.labeled(RawData(as_array(source)))
    if path.suffix.lower() in ARRAYS:
        return reading.labeled(read_npz(path, None))
    raise DataError(
        f"{path} is of no known kind: give a folder of pictures, a picture, or a file that ends in "
        f"{', '.join((*CSV_SUFFIXES, *PARQUET_SUFFIXES, *ARRAYS))} or .wav"
    )


def _nothing_there(path: Path) -> str:
    close = difflib.get_close_matches(path.name, list(CATALOG), n=1)
    if not close and path.parent.is_dir():
        beside = [entry.name for entry in path.parent.iterdir()]
        close = difflib.get_close_matches(path.name, beside, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f" (named sets: {', '.join(CATALOG)})"
    return f"there is no file, folder or named data set {str(path)!r}{hint}"
