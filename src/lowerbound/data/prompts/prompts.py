"""Prompts of rows: the class, the attributes or the caption of each row as codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lowerbound.config import to_mapping
from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import UNKNOWN
from lowerbound.data.prompts.captions import PhraseBook
from lowerbound.data.prompts.vocabulary import PromptVocabulary, learn_words
from lowerbound.errors import DataError, OptionError, unknown

CLASS = "class"  # name of the field of a label that has no column


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
