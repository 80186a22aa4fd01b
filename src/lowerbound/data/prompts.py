"""Prompts of rows: the class, the attributes or the caption of each row as codes.

Attributes and captions are in files beside the data: one row for each row, in order or by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound import untrusted
from lowerbound.config import to_mapping
from lowerbound.data.arrays import listed
from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import UNKNOWN, encode_labels
from lowerbound.data.tables.files import read_frame
from lowerbound.data.vocabulary import PhraseBook, PromptVocabulary, learn_words
from lowerbound.errors import DataError, OptionError, unknown

CLASS = "class"  # name of the field of a label that has no column
CAPTION = "caption"
BYTES_OF_LETTER = 8.0  # of memory, as text and as tokens  # column of a table of captions


@dataclass(frozen=True, eq=False)
class Prompts:
    """A vocabulary, and the prompt of each row in its codes.

    Attributes:
        vocabulary: of the prompts.
        codes: (rows, fields or words) long, -1 where unknown.
    """

    vocabulary: PromptVocabulary
    codes: Tensor

    @classmethod
    def of_values(cls, columns: Mapping[str, tuple[Sequence[str], Tensor]]) -> Prompts:
        """Prompts of attributes.

        Args:
            columns: by name, the values of an attribute and the code of each row, (rows,).
        """
        vocabulary = PromptVocabulary({name: tuple(v) for name, (v, _) in columns.items()})
        return cls(vocabulary, torch.stack([codes for _, codes in columns.values()], 1))

    @classmethod
    def of_captions(cls, texts: Sequence[str]) -> Prompts:
        """Prompts of captions, one per row; their words are the vocabulary."""
        vocabulary = learn_words(texts)
        return cls(vocabulary, vocabulary.captions(texts))

    def said_by(self, book: PhraseBook) -> Prompts:
        """The same attributes, which a prior learns to read from captions of a book.

        Raises:
            OptionError: the book is of other attributes, or lacks a value.
        """
        book = book.fits(self.vocabulary)
        vocabulary = replace(self.vocabulary, words=book.words, book=to_mapping(book))
        return Prompts(vocabulary, self.codes)

    def with_captions(self, texts: Sequence[str]) -> Prompts:
        """The same attributes beside a caption of each row."""
        vocabulary = replace(self.vocabulary, words=learn_words(texts).words)
        fields = len(self.vocabulary.fields)
        codes = torch.cat([self.codes, vocabulary.captions(texts)[:, fields:]], 1)
        return Prompts(vocabulary, codes)

    def on(self, dataset: Dataset) -> Dataset:
        """The rows with these prompts."""
        return replace(dataset, prompt=self.codes, vocabulary=self.vocabulary)

    def only(self, names: Sequence[str]) -> Prompts:
        """The prompts of these fields; of all if there is no name.

        Raises:
            OptionError: there is no field of that name; the message suggests the nearest.
        """
        fields = list(self.vocabulary.fields)
        for name in names:
            if name not in fields:
                raise unknown("attribute", name, fields)
        kept = list(dict.fromkeys(names)) or fields
        values = {name: self.vocabulary.fields[name] for name in kept}
        return Prompts(PromptVocabulary(values), self.codes[:, [fields.index(n) for n in kept]])

    def beside(self, other: Prompts) -> Prompts:
        """The fields of both.

        Raises:
            OptionError: both have a field of the same name.
        """
        if twice := self.vocabulary.fields.keys() & other.vocabulary.fields.keys():
            raise OptionError(f"the attribute {min(twice)!r} is given twice")
        fields = {**self.vocabulary.fields, **other.vocabulary.fields}
        return Prompts(PromptVocabulary(fields), torch.cat([self.codes, other.codes], 1))

    def varied(self) -> Prompts:
        """The same prompts, if every attribute has at least two values in these rows.

        Raises:
            DataError: one has not.
        """
        for (name, values), codes in zip(self.vocabulary.fields.items(), self.codes.T, strict=True):
            found = [values[code] for code in set(codes.tolist()) if code != UNKNOWN]
            if len(found) < 2:
                has = f"one value only ({found[0]!r})" if found else "no known value"
                raise DataError(
                    f"the attribute {name!r} has {has} in this data, so a prior cannot learn from "
                    "it: leave it out, and name the others with --only"
                )
        return self

    def in_terms_of(self, vocabulary: PromptVocabulary) -> Tensor:
        """The codes of another vocabulary, (rows, its fields); its other fields are unknown.

        Raises:
            OptionError: no field is in it, or a value is not; the message suggests the nearest.
        """
        if not self.vocabulary.fields.keys() & vocabulary.fields.keys():
            raise unknown("attribute", next(iter(self.vocabulary.fields)), vocabulary.fields)
        unknown_codes = torch.full((len(self.codes),), UNKNOWN)
        found = [
            self._recoded(name, vocabulary) if name in self.vocabulary.fields else unknown_codes
            for name in vocabulary.fields
        ]
        return torch.stack(found, 1)

    def _recoded(self, name: str, vocabulary: PromptVocabulary) -> Tensor:
        own, at = self.vocabulary.fields[name], list(self.vocabulary.fields).index(name)
        codes = self.codes[:, at]
        used = [value if code in set(codes.tolist()) else None for code, value in enumerate(own)]
        table = torch.tensor([*(vocabulary.code(name, value) for value in used), UNKNOWN])
        return table[codes]  # index -1 is the last


def prompts_of_classes(dataset: Dataset) -> Prompts:
    """The class of each row as a prompt of one field.

    Raises:
        DataError: the data has no classes.
    """
    names = dataset.schema.class_names
    if dataset.label is None or not names:
        raise DataError(
            f"{dataset.source or 'the data'} has no classes that the model knows: give a file of "
            "attributes with --attributes FILE, or fit the model on data with labels"
        )
    field = dataset.schema.label_column or CLASS
    return Prompts.of_values({field: (names, dataset.label)})


def prompts_of_factors(dataset: Dataset) -> Prompts:
    """The factors that the data itself holds, each a field.

    Raises:
        DataError: the data holds no factors.
    """
    if dataset.factors is None:
        raise DataError(
            f"{dataset.source or 'the data'} holds no attributes: give a csv or parquet file with "
            "a column for each, or .npz data with the arrays factors and factor_names"
        )
    named = dataset.factor_values or tuple(() for _ in dataset.factor_names)
    columns = {
        name: (values or tuple(str(code) for code in range(int(codes.max()) + 1)), codes)
        for name, values, codes in zip(dataset.factor_names, named, dataset.factors.T, strict=True)
    }
    return Prompts.of_values(columns)


def prompts_in_file(
    path: Path, names: Sequence[str] | None, rows: int, only: Sequence[str] = ()
) -> Prompts:
    """The attributes in a table, a field for each column.

    Args:
        path: a csv or parquet file.
        names: of the data's rows; the table may have a column of them, and is then read by name.
        rows: of the data.
        only: columns to read; empty: all.

    Raises:
        DataError: the table has other rows than the data, or a column that holds no attribute.
        OptionError: there is no column of that name; the message suggests the nearest.
    """
    frame = _rows_of_data(read_frame(path), path, names, rows)
    for name in only:
        if name not in frame:
            raise unknown("attribute", name, frame.columns)
    chosen = list(dict.fromkeys(only or frame.columns))
    if not chosen:
        raise DataError(f"{path} has no column of attributes")
    return Prompts.of_values({name: _attribute(frame[name], name, path) for name in chosen})


def captions_in_file(path: Path, names: Sequence[str] | None, rows: int) -> list[str]:
    """The caption of each row: the lines of a .txt file, or the column "caption" of a table.

    Raises:
        DataError: the file is missing, cannot be read, or has other rows than the data.
    """
    if path.suffix.lower() == ".txt":
        if not path.exists():
            raise DataError(f"there is no file {path}")
        try:
            most = int(untrusted.memory_limit() / BYTES_OF_LETTER)
            lines = untrusted.text(path, DataError, most).splitlines()
        except OSError as error:
            raise DataError(f"{path} cannot be read as lines of text: {error}") from error
        if len(lines) != rows:
            raise DataError(f"{path} has {len(lines):,} captions, and the data {rows:,} rows")
        return lines
    frame = _rows_of_data(read_frame(path), path, names, rows)
    texts = CAPTION if CAPTION in frame else next(iter(frame.columns), None)
    if texts is None or (texts != CAPTION and len(frame.columns) > 1):
        raise DataError(f"{path} has no column {CAPTION!r}; it has {', '.join(frame.columns)}")
    return ["" if text is None or text != text else str(text) for text in frame[texts]]


def _rows_of_data(frame: Any, path: Path, names: Sequence[str] | None, rows: int) -> Any:
    """The table's rows in the order of the data, without the column of names.

    Raises:
        DataError: a row of the data is not in the table, or their numbers differ.
    """
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    column = None if names is None else _column_of_names(frame, names)
    if column is not None and names is not None:
        keys = frame[column].astype(str)
        twice = keys[keys.duplicated()].tolist()
        if twice:
            raise DataError(f"{path} has several rows of {twice[0]!r} in the column {column!r}")
        lacking = sorted(set(names) - set(keys))
        if lacking:
            raise DataError(
                f"{path} has no row for {len(lacking):,} of the data's {len(names):,} rows: "
                f"{listed(lacking)}; leave their attributes empty if they are unknown"
            )
        return frame.set_index(keys.to_numpy()).loc[list(names)].drop(columns=[column])
    if len(frame) != rows:
        hint = "" if names is None else f", and no column of names such as {names[0]!r}"
        raise DataError(
            f"{path} has {len(frame):,} rows{hint}, and the data has {rows:,}: give one row for "
            "each row of the data, in its order, or a column with the names of the rows"
        )
    return frame


def _column_of_names(frame: Any, names: Sequence[str]) -> str | None:
    """The column that holds the names of most rows; None: there is none."""
    wanted = set(names)
    texts = [name for name in frame.columns if frame[name].dtype.kind not in "biuf"]
    found = {name: len(wanted & set(frame[name].astype(str))) for name in texts}
    best = max(texts, key=lambda name: found[name], default=None)
    return best if best is not None and 2 * found[best] >= len(wanted) else None


def _attribute(values: Any, name: str, path: Path) -> tuple[tuple[str, ...], Tensor]:
    """The names of a column's values, and the code of each row."""
    array = values.to_numpy()
    if array.dtype.kind == "f" and not np.all(np.isnan(array) | (array == np.floor(array))):
        raise DataError(
            f"the column {name!r} of {path} holds numbers that are not whole, and an attribute is "
            "one of a few values: round them, cut them into ranges, or leave the column out"
        )
    try:
        codes, found = encode_labels(values)
    except DataError:  # every value is unknown
        return (), torch.full((len(array),), UNKNOWN)
    if len(found) == len(array) > 2:
        raise DataError(
            f"the column {name!r} of {path} has another value in each row, so it holds names and "
            "no attribute: leave it out"
        )
    return found, codes
