"""Loading a path, a name, an array, a tensor or a frame as a ``Dataset``."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any

from lowerbound import untrusted
from lowerbound.config import keywords_of, renamed_keywords
from lowerbound.data.arrays import as_array
from lowerbound.data.batches import collected, is_batched
from lowerbound.data.catalog import CATALOG
from lowerbound.data.dataset import Dataset
from lowerbound.data.kinds import newest_kinds
from lowerbound.data.npz import read_npz
from lowerbound.data.pictures.folders import SUFFIXES
from lowerbound.data.pictures.shards import shards_of
from lowerbound.data.raw import RawData
from lowerbound.data.reading import Reading
from lowerbound.data.tables.files import CSV_SUFFIXES
from lowerbound.data.tables.parquet import PARQUET_SUFFIXES, is_parquet, refuse_partitions
from lowerbound.data.tables.refused import refuse_sparse_file
from lowerbound.data.tables.workbooks import WORKBOOKS
from lowerbound.errors import DataError

PATTERN = frozenset("*?[{")  # characters of a shell's patterns for several files
ARRAYS = (".npz", ".npy")


@renamed_keywords(bend="normal_scores", measured="regression")
@keywords_of(Reading)
def load(source: Any, **options: Any) -> Dataset:
    """Read ``source`` and learn its schema, or encode it with the ``schema`` of an earlier fit.

    Args:
        source: a picture, a .wav file, a LiDAR sweep (.bin) or a folder of one of them; a csv,
            parquet, npz or npy file; the name of a data set in ``CATALOG`` (./name for a folder of
            that name); the address of a table in a DuckDB database or a relation of its client; an
            array, a tensor or a pandas frame; a torch data set or loader, or an iterator of
            batches, whose rows are collected in memory, with their labels unless ``label`` is
            given.
        label: a table's label column; for arrays, one value per row.
        schema: of an earlier fit; the data must match it.
        image_size: height and width of the resized pictures; None: the most common size.
        resize: "pad" (default), "crop", "stretch" or "tiles".
        on_error: "raise" (default), or "skip" to leave out unreadable pictures and sounds.
        binarize: "dynamic" (new bits at each visit), "threshold" or "none".
        missing: "model": NaN marks a missing value, which the model handles; "error": NaN raises an
            error. The default is "model" for tables and sweeps, "error" for arrays and pictures.
        kinds: of a table's columns: "infer" chooses each from its values; "real" treats all as real
            numbers; a mapping gives some of them by name, as a kind ("categorical",
            "datetime:%d/%m/%Y") or as a mapping of kind, levels, low, high, atom and format, and
            the others are inferred.
        split: a part of a data set that has several, such as "test".
        levels: number of levels of integer values, if their type does not determine it.
        standardize: scale real columns to mean 0 and standard deviation 1.
        windows: how to cut a table whose rows are points in time, without its label column, or how
            to cut sound (default: ``audio.usual_windows``). The schema stores it. The kind of a
            column in ``kinds`` applies to all times.
        normal_scores: map a column that is far from normal to normal scores with a spline through
            its quantiles; False if the missing values would not fit that spline.
        spectrograms: convert each sound clip to a picture of ``image_size`` instead of cutting it
            into rows; subfolders are then classes. The schema stores it.
        regression: the label is a number to predict, not a class.
        entity: of a table whose rows are events: the column that names the entity of an event, such
            as a customer. A row of the data set is then the history of an entity. The schema stores
            it.
        time: of such a table: the column with the time of an event.
        formula: of a table: the column with chemical formulas. A row of the data set is then the
            composition of a formula, and other columns, except for the label, are left out.
        tokens: rows are texts, and a text is a sequence of tokens: "characters", "words", "smiles"
            or "selfies" (the texts are then SMILES). The schema stores it.
        text: of a table: the column with the texts; None: its only column.
        longest: leave out texts with more tokens.
        predict: numbers that the code of a row is to predict beside it: columns of the table of
            texts or formulas, or properties of molecules (``PROPERTIES``), which are computed for
            at most 100,000 rows. The schema stores their names and scales.
        dialect: how a table is written as text: ``Dialect.asked(delimiter=";", decimal=",")``; what
            is not given is inferred.
        least_people: of a table of events: entities that a value needs to stay in it (``protect``);
            1: all values stay.

    Raises:
        DataError: the data cannot be read or modeled, or does not match ``schema``.
        OptionError: an option has an unknown value.
    """
    return read(source, Reading(**options))


def read(source: Any, reading: Reading) -> Dataset:
    """As ``load``."""
    if not isinstance(source, str | Path):
        return _loaded(source, reading)
    if source == "":  # pathlib reads it as the working directory
        raise DataError("the data is an empty path: give a file, a folder or a named data set")
    if str(source).startswith("~"):
        _check_home(str(source))
    with untrusted.guarded(str(source), DataError):
        return _loaded(source, reading)


def _check_home(source: str) -> None:
    """Raise DataError if ~ or ~user has no meaning on this machine."""
    try:
        Path(source).expanduser()
    except RuntimeError as error:
        user = source.split("/")[0]
        raise DataError(f"{source}: there is no home folder {user} on this machine") from error


def _loaded(source: Any, reading: Reading) -> Dataset:
    if is_batched(source):
        source, labels = collected(source)
        reading = reading if reading.label is not None else replace(reading, label=labels)
    if not (isinstance(source, str) and source in CATALOG):
        refuse_partitions(source)
        for kind in newest_kinds():
            if kind.takes(source, reading):
                return kind.load(source, reading)
    return reading.encoded(_read_arrays(source, reading))


def _read_arrays(source: Any, reading: Reading) -> RawData:
    """Read arrays in memory, in a file, or of a named data set.

    Raises:
        DataError: they cannot be read, or the name does not exist.
    """
    named = isinstance(source, str) and source in CATALOG
    path = Path(source).expanduser() if isinstance(source, (str, Path)) and not named else None
    if path and not path.exists():
        raise DataError(_nothing_there(path))
    if path:
        untrusted.check_regular(path, DataError)
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
    refuse_sparse_file(path)
    raise DataError(
        f"{path} is of no known kind: give a folder of pictures, a picture, or a file that ends in "
        f"{', '.join((*CSV_SUFFIXES, *PARQUET_SUFFIXES, *WORKBOOKS, *ARRAYS))}, .tar or .wav"
    )


def _nothing_there(path: Path) -> str:
    folder = path.parent
    if str(path) == "-":
        return "there is no file '-', and standard input is not read: write the data into a file"
    if PATTERN.intersection(path.name if folder.is_dir() else str(folder)):
        suffix = path.suffix.lower()
        whole = suffix in (*SUFFIXES, ".wav") or is_parquet(folder) or shards_of(folder)
        instead = f"the folder, {folder}" if folder.is_dir() and whole else "one file"
        return f"there is no file {path}: patterns are not read; give {instead}"
    close = difflib.get_close_matches(path.name, list(CATALOG), n=1)
    if not close and folder.is_dir():
        beside = [entry.name for entry in folder.iterdir()]
        near = difflib.get_close_matches(path.name, beside, n=1)
        close = [str(path.with_name(name)) for name in near]
    hint = f"; did you mean {close[0]!r}?" if close else f" (named sets: {', '.join(CATALOG)})"
    return f"there is no file, folder or named data set {str(path)!r}{hint}"
