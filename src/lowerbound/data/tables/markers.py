"""Words for missing values in columns of text: what is one, and what is said about it.

A file of text can write a missing value only as text, so its markers are emptied as it is read,
except those that are levels of the model or that a user declares. Where a cell can be empty on its
own, as in Parquet, in a database and in a frame, text beside other text is text.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.notation import without_beyond
from lowerbound.data.columns.values import (
    FILE_MARKERS,
    MARKERS,
    are_texts,
    empty,
    factorized,
    has_own_gaps,
    level_name,
    marked,
    marks_of,
    reads_as_text,
    with_own_gaps,
)
from lowerbound.data.tables.dialect import Layout
from lowerbound.errors import counted

if TYPE_CHECKING:  # names for annotations: a schema knows its kind of data
    from lowerbound.data.columns.column import Column
    from lowerbound.data.reading import Reading
    from lowerbound.data.schema import Schema

Kept = Mapping[str, Collection[str]]
"""The names of levels that are no markers, by the column's name."""
KEY = "markers of missing values"  # in the attributes of a frame; those of pandas are left out
OF_PANDAS = ("", "NA", "N/A", "n/a", "<NA>", "NULL", "null", "None", "NaN", "nan", *FILE_MARKERS)
"""What pandas takes for missing in a file of text."""


def levels_of(schema: Schema) -> Kept:
    """The levels of a model's columns of text, by name, of a series also before it was cut."""
    found = {one.name: one.levels for one in (*schema.columns, *schema.features) if one.levels}
    if schema.windows is not None:
        found |= {column.rpartition("@")[0]: known for column, known in found.items()}
    if schema.label_column is not None and schema.class_names:
        found[schema.label_column] = schema.class_names
    return {column: frozenset(map(level_name, each)) for column, each in found.items()}


def declared_levels(hints: Mapping[str, Any]) -> Kept:
    """The levels that hints declare, by the column's name."""
    said = {
        column: hint.get("levels", ())
        for column, hint in hints.items()
        if isinstance(hint, Mapping)
    }
    return {column: frozenset(map(level_name, each)) for column, each in said.items() if each}


def kept_by(how: Reading) -> Kept:
    """The levels that are no markers of missing values: of the model, or declared."""
    if how.schema is not None:
        return levels_of(how.schema)
    return declared_levels(how.kinds) if isinstance(how.kinds, Mapping) else {}


def values_like_markers(frame: Any) -> Kept:
    """The values of a frame's columns of text, where some look like markers, by name."""
    found = {}
    for place, column in enumerate(map(str, frame.columns)):
        series = frame.iloc[:, place]
        if not (is_text(series) or str(series.dtype) == "category"):
            continue
        names = [*map(level_name, factorized(series)[1])]
        kept = ~marks_of(series, names) & np.array([*map(_looks_missing, names)], dtype=bool)
        if kept.any():
            found[column] = frozenset(names)
    return found


def texts_kept(kept: Kept) -> Kept:
    """The columns whose levels are text, or unknown text."""
    return {column: levels for column, levels in kept.items() if not levels or are_texts(levels)}


def na_values(names: Sequence[Any], layout: Layout, kept: Kept) -> dict[str, Any]:
    """The arguments of ``pandas.read_csv`` that keep the text of some columns.

    Args:
        names: of all columns, as pandas has them.
        layout: of the file.
        kept: the columns in which markers are emptied later, by name.
    """
    further = layout.dialect.missing
    each = {
        one: [*(("",) if layout.name_of(one) in kept else OF_PANDAS), *further] for one in names
    }
    return {"keep_default_na": False, "na_values": each}


def emptied(frame: Any, kept: Kept, written: Mapping[str, Any]) -> Any:
    """A frame of a file of text whose markers in columns of text, and numbers beyond all others,
    are missing; notes name them.

    Args:
        frame: as pandas reads it; most markers are missing already.
        kept: levels that are no markers.
        written: the unparsed cells of columns of which some are missing, by name.
    """
    made, markers = frame.copy(deep=False), dict(frame.attrs.get(KEY, {}))
    for place, column in enumerate(map(str, frame.columns)):
        series = frame.iloc[:, place]
        if not is_text(series):
            continue
        codes, distinct = factorized(series)
        marks = _file_marks([*map(level_name, distinct)], kept.get(column, ()))
        if marks.any():
            made.isetitem(place, series.mask(np.append(marks, False)[codes]))
        counts = _missing_words(written.get(column, series), kept.get(column, ()))
        if counts and (most := counts.most_common(1)[0][0]) not in OF_PANDAS:
            markers[column] = most
        counts.pop("", None)
        if counts and any(map(reads_as_text, np.array([*map(level_name, distinct)])[~marks])):
            _note_emptied(column, counts)
    made.attrs[KEY] = markers
    return with_own_gaps(without_beyond(made))


def marker_of(series: Any) -> str | None:
    """How the file of a column writes most of its missing cells; None: they are empty."""
    found: str | None = getattr(series, "attrs", {}).get(KEY, {}).get(str(series.name))
    return found


def note_of_words(frame: Any, columns: Iterable[Column], declared: Kept | None = None) -> None:
    """Say which cells of text that look like markers are missing and, in a fit, which are values.

    Args:
        frame: of a source in which a cell can be empty on its own.
        columns: of the schema.
        declared: levels that a user gave, where the schema is learned from this frame; None: it is
            that of an earlier fit.
    """
    for column in columns:
        series = frame[column.name] if column.name in frame.columns else None
        if series is None or not are_texts(column.levels):
            continue
        codes, distinct = factorized(series)
        names = [level_name(value) for value in distinct]
        counts = np.bincount(codes[codes >= 0], minlength=len(names))
        levels = {*map(level_name, column.levels)}
        gone = marks_of(series, names, True, levels, column.markers)
        if not has_own_gaps(series):  # so that empty text is what empty cells are elsewhere
            gone &= np.array([text != "" for text in names], dtype=bool)
        _note_missing(column.name, _chosen(names, counts, gone))
        if declared is not None and column.name not in declared:
            known = np.array([text in levels for text in names], dtype=bool)
            _note_text(column.name, _chosen(names, counts, marked(names) & known))


def _file_marks(names: Sequence[str], levels: Collection[str]) -> Array:
    """Which of the distinct cells of a column of a file of text mark missing values, (names,)."""
    further = [text in FILE_MARKERS for text in names]
    known = [text in levels for text in names]
    return np.asarray(
        (marked(names) | np.array(further, dtype=bool)) & ~np.array(known, dtype=bool)
    )


def _looks_missing(text: str) -> bool:
    return bool(text) and (text in FILE_MARKERS or text.lower() in MARKERS)


def _missing_words(cells: Any, levels: Collection[str]) -> Counter[str]:
    """The missing cells of a column by their text; those that are empty by ""."""
    codes, distinct = factorized(cells)
    texts = [level_name(each) for each in distinct]
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    found = _chosen(texts, counts, _file_marks(texts, levels))
    found[""] += int(empty(cells).sum())
    return +found


def _chosen(names: Sequence[str], counts: Array, which: Array) -> Counter[str]:
    each = zip(names, counts.tolist(), which.tolist(), strict=True)
    return Counter({text: count for text, count, chosen in each if chosen and count})


def _in_rows(words: Counter[str]) -> str:
    return listed([f"{word!r} in {counted(n, 'row')}" for word, n in words.most_common()])


def _note_emptied(column: str, words: Counter[str]) -> None:
    first = words.most_common(1)[0][0]
    warnings.warn(
        f"column {column!r}: {_in_rows(words)}, taken for missing; if it is a value, add {first!r} "
        "to the levels of the column in a columns file (lowerbound schema writes one, and "
        "--columns reads it)",
        UserWarning,
        stacklevel=5,
    )


def _note_missing(column: str, words: Counter[str]) -> None:
    if words:
        warnings.warn(
            f"column {column!r}: the text {_in_rows(words)}, taken for missing",
            UserWarning,
            stacklevel=5,
        )


def _note_text(column: str, words: Counter[str]) -> None:
    if words:
        warnings.warn(
            f"column {column!r}: {_in_rows(words)}, taken for a value, since cells can be empty "
            f"in such a table (--missing-value {words.most_common(1)[0][0]} takes it for missing)",
            UserWarning,
            stacklevel=5,
        )


def is_text(series: Any) -> bool:
    """Whether a column is text or objects."""
    import pandas as pd

    types = pd.api.types
    return bool(types.is_object_dtype(series.dtype) or types.is_string_dtype(series.dtype))
