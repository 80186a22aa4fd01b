"""Texts as a data set: a row is a sequence of tokens that ends with the token "end"."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.arrays import Array, listed
from lowerbound.data.dataset import Dataset
from lowerbound.data.kinds import DATA_KINDS, DataKind, Default
from lowerbound.data.labels import columns_of
from lowerbound.data.raw import RawData
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Schema
from lowerbound.data.sciences.molecules import some_property_values
from lowerbound.data.sequences.texts import (
    END,
    MOLECULES,
    TOKENIZERS,
    FoundTexts,
    Texts,
    Tokenizer,
    is_lines,
    read_texts,
)
from lowerbound.data.tables.files import is_table, table_suffix
from lowerbound.errors import DataError, OptionError

MOST_SKIPPED = 0.01  # share of texts that --on-error skip leaves out
SHOWN = 3  # rows in a message
BITS = 3  # of a row, for each number of its code by default
MOST_LATENT = 64
PROPERTY_ROWS = 100_000  # molecules whose properties are computed for --predict: minutes
USUAL_SHARE, FAR_LONGER = 0.95, 20  # of texts, and how many times longer a row is then noted


@dataclass(frozen=True)
class TokenForm:
    """What is known of texts.

    Attributes:
        tokenizer: its name.
        vocabulary: the tokens of the codes 1, 2, ...; 0 is the end.
        column: of the texts in a table; "" if they were no table.
        longest: texts with more tokens are left out; None: there was no limit.
    """

    tokenizer: str
    vocabulary: tuple[str, ...]
    column: str = ""
    longest: int | None = None

    @classmethod
    def of(cls, schema: Schema) -> TokenForm:
        """The form in a schema."""
        return from_mapping(cls, schema.details)

    def split(self) -> Tokenizer:
        """The tokenizer."""
        return TOKENIZERS[self.tokenizer]()

    def texts(self, codes: Array) -> list[str]:
        """The texts of codes, (rows, places); what follows an end is left out."""
        tokenizer = self.split()
        ends = np.where((codes == END).any(1), (codes == END).argmax(1), codes.shape[1])
        return [
            tokenizer.join([self.vocabulary[code - 1] for code in row[:end]])
            for row, end in zip(codes, ends, strict=True)
        ]


@DATA_KINDS.register("tokens")
class TokenKind(DataKind):
    """Rows (places,) of codes: the tokens of a text, and the end in all places after it."""

    symbolic = True
    always_complete = True

    def reads(self, source: Any) -> bool:
        if isinstance(source, Texts):
            return True
        return isinstance(source, (str, Path)) and table_suffix(Path(source)) in MOLECULES

    def takes(self, source: Any, reading: Reading) -> bool:
        if self.reads(source):
            return True
        known = reading.schema is not None and isinstance(reading.schema.data_kind, TokenKind)
        if not known and reading.tokens is None:
            return False
        if isinstance(source, (str, Path)):
            return is_lines(source) or is_table(source)
        return hasattr(source, "columns") or _are_texts(source)

    def read(self, source: Any, reading: Reading) -> RawData:
        names = "spectrograms", "image_size", "resize", "split", "windows", "levels"
        reading.refuse(source, *names)
        texts = Texts(source) if not isinstance(source, Texts) else source
        known = _known_form(source, reading)
        column = texts.column or reading.text or (known.column if known else None) or None
        if known and isinstance(texts.values, (str, Path)) and is_lines(texts.values):
            column = None
        found = read_texts(texts.values, column, reading.text_dialect)
        tokenizer = _tokenizer(texts, source, reading, known)
        rows, kept = _split(found, tokenizer, reading, known)
        raw = RawData(
            _Split(rows, tokenizer, column or "", reading.longest, _numbers(found, kept)),
            ids=_names(found, kept),
            source=found.source,
            kind="tokens",
        )
        raw = _labeled(raw, found, kept, reading)
        return _with_quantities(raw, found, kept, reading)

    def learn(self, raw: RawData, how: Reading) -> Schema:
        if how.gaps:
            raise OptionError("a text has no missing parts: leave missing='model' out")
        found: _Split = raw.x
        counts = Counter(token for row in found.rows for token in row)
        if not counts:
            raise DataError("every text is empty: nothing can be learned")
        _warn_of_longest([len(row) for row in found.rows])
        form = TokenForm(found.tokenizer, tuple(sorted(counts)), found.column, found.longest)
        return Schema(
            kind="tokens",
            event_shape=(max(map(len, found.rows)) + 1,),
            levels=max(len(form.vocabulary) + 1, 3),
            dtype="str",
            details=to_mapping(form),
        )

    def pack(self, schema: Schema, raw: Any) -> tuple[Tensor, Tensor | None]:
        form, places = TokenForm.of(schema), schema.event_shape[0]
        rows = raw.rows if isinstance(raw, _Split) else [form.split().split(t) for t in raw]
        codes = {token: code for code, token in enumerate(form.vocabulary, 1)}
        numbers = raw.numbers if isinstance(raw, _Split) else range(len(rows))
        _check_rows(rows, numbers, codes, places)
        x = np.zeros((len(rows), places), dtype=np.uint8 if len(codes) < 256 else np.int32)
        for number, row in enumerate(rows):
            x[number, : len(row)] = [codes[token] for token in row]
        return torch.from_numpy(x), None

    def decode(self, schema: Schema, units: Array, rounded: bool) -> Array:
        codes = _codes(schema, units)
        texts = TokenForm.of(schema).texts(codes.reshape(-1, codes.shape[-1]))
        return np.array(texts, dtype=object).reshape(codes.shape[:-1])

    def values(self, schema: Schema, raw: Any) -> Array:
        packed, _ = self.pack(schema, raw)
        return packed.numpy().astype(np.float64)

    def report_style(self, schema: Schema) -> str:
        return ""

    def describe(self, schema: Schema) -> str:
        form = TokenForm.of(schema)
        tokenizer = form.split()
        return (
            f"{tokenizer.rows} of at most {schema.event_shape[0] - 1} tokens, "
            f"{len(form.vocabulary)} kinds of token ({form.tokenizer})"
        )

    def value_name(self, schema: Schema) -> str:
        return TokenForm.of(schema).split().unit

    def molecular(self, schema: Schema) -> bool:
        return TokenForm.of(schema).split().molecular

    def values_per_row(self, dataset: Dataset) -> float:
        inside = (dataset.x == END).int().cumsum(1) == 0
        return float((inside.sum(1) + 1).double().mean())

    def feature_names(self, schema: Schema) -> list[str]:
        return [f"token {place}" for place in range(schema.event_shape[0])]

    def default_network(self, schema: Schema, tabular: bool) -> Default:
        return Default("positions", "it sees the token of every place")

    def default_likelihood(self, schema: Schema) -> Default:
        return Default("autoregressive_tokens", "each token depends on the tokens before it")

    def default_latent_dim(self, schema: Schema) -> int:
        bits = schema.event_shape[0] * math.log2(schema.levels or 2)
        return min(MOST_LATENT, math.ceil(bits / BITS))


@dataclass(frozen=True, eq=False)
class _Split:
    """Texts as tokens."""

    rows: list[list[str]]
    tokenizer: str
    column: str
    longest: int | None
    numbers: Sequence[int]  # of the rows in messages

    def __len__(self) -> int:
        return len(self.rows)


def _known_form(source: Any, reading: Reading) -> TokenForm | None:
    """The form of the fit; None: there was none.

    Raises:
        DataError: the fit was on data of another kind.
    """
    if reading.schema is None:
        return None
    if not isinstance(reading.schema.data_kind, TokenKind):
        what = reading.schema.data_kind.describe(reading.schema)
        raise DataError(f"{source!s:.60} holds texts, and the model was fitted on {what}")
    return TokenForm.of(reading.schema)


def _are_texts(source: Any) -> bool:
    if isinstance(source, (list, tuple)):
        return bool(source) and all(isinstance(text, str) for text in source)
    values = np.asarray(source)
    return values.ndim == 1 and values.dtype.kind in "UO"


def _codes(schema: Schema, units: Array) -> Array:
    top = schema.top_code
    codes: Array = np.rint(units * top).clip(0, top).astype(np.int64)
    return codes


def _tokenizer(texts: Texts, source: Any, reading: Reading, known: TokenForm | None) -> str:
    """The name of the tokenizer.

    Raises:
        OptionError: it is unknown, or differs from that of the fit.
    """
    given = texts.tokenizer if isinstance(source, Texts) else reading.tokens
    if known is not None:
        if reading.tokens not in (None, known.tokenizer):
            raise OptionError(f"--tokens {reading.tokens}: the model has {known.tokenizer}")
        return known.tokenizer
    name = given or "selfies"  # of a .smi file
    TOKENIZERS[name]
    return name


def _split(
    found: FoundTexts, name: str, reading: Reading, known: TokenForm | None
) -> tuple[list[list[str]], list[int]]:
    """(tokens of the texts that are kept, their numbers).

    Raises:
        DataError: texts cannot be split or are too long, and are not to be left out.
    """
    tokenizer, longest = TOKENIZERS[name](), _longest(reading, known)
    rows, kept, long = [], [], 0
    wrong: list[tuple[int, str]] = []
    for number, text in enumerate(found.texts):
        if text is None:
            wrong.append((number, "its cell is empty"))
            continue
        try:
            tokens = tokenizer.split(text)
        except DataError as error:
            wrong.append((number, str(error)))
            continue
        if longest is not None and len(tokens) > longest:
            long += 1
            continue
        rows.append(tokens)
        kept.append(number)
    if wrong:
        _left_out(wrong, found, tokenizer.rows, reading.on_error == "skip")
    if long:
        warnings.warn(
            f"{long:,} of {len(found.texts):,} {tokenizer.rows} have more than {longest} "
            "tokens and are left out",
            UserWarning,
            stacklevel=4,
        )
    if not rows:
        raise DataError(f"none of {len(found.texts):,} {tokenizer.rows} is left")
    return rows, kept


def _warn_of_longest(lengths: Sequence[int]) -> None:
    """Warn of a few texts whose length makes every row of the model much longer."""
    usual = int(np.quantile(lengths, USUAL_SHARE, method="higher"))
    if max(lengths) > FAR_LONGER * max(usual, 1):
        warnings.warn(
            f"the longest text has {max(lengths):,} tokens, and {USUAL_SHARE:.0%} of them have at "
            f"most {usual:,}: a row of the model is as long as the longest text, which takes time "
            f"and memory; --longest {usual} leaves out longer ones",
            UserWarning,
            stacklevel=4,
        )


def _longest(reading: Reading, known: TokenForm | None) -> int | None:
    """Most tokens of a text that is kept."""
    if reading.schema is None or known is None:
        return reading.longest
    skips = known.longest is not None or reading.on_error == "skip"
    return reading.schema.event_shape[0] - 1 if skips else None


def _names(found: FoundTexts, kept: Sequence[int]) -> tuple[str, ...] | None:
    """The names of the rows that are kept; their numbers if others are left out."""
    if found.names is not None:
        return tuple(found.names[i] for i in kept)
    return None if len(kept) == len(found.texts) else tuple(map(str, kept))


def _numbers(found: FoundTexts, places: Sequence[int]) -> list[int]:
    """The numbers in messages of the texts at these places."""
    return list(places if found.numbers is None else [found.numbers[i] for i in places])


def _left_out(wrong: Sequence[tuple[int, str]], found: FoundTexts, rows: str, skip: bool) -> None:
    """Warn about texts that are left out, or raise DataError."""
    total, broken = len(found.texts), sum(found.texts[place] is not None for place, _ in wrong)
    shown = _numbers(found, [place for place, _ in wrong[:SHOWN]])
    first = "; ".join(f"row {row}: {why}" for row, (_, why) in zip(shown, wrong, strict=False))
    what = f"{len(wrong):,} of {total:,} {rows} cannot be read ({first}; rows count from 0)"
    if broken > MOST_SKIPPED * total:
        raise DataError(f"{what}; more than {MOST_SKIPPED:.0%} are not left out: mend the file")
    if not skip:
        raise DataError(f"{what}; --on-error skip leaves them out")
    warnings.warn(f"{what} and are left out", UserWarning, stacklevel=5)


def _check_rows(
    rows: Sequence[Sequence[str]], numbers: Sequence[int], codes: Mapping[str, int], places: int
) -> None:
    """Raise DataError for tokens that the model does not have, and for texts that are too long."""
    odd: dict[str, int] = {}
    for number, tokens in zip(numbers, rows, strict=True):
        for token in tokens:
            if token not in codes:
                odd.setdefault(token, number)
    if odd:
        named = listed([f"{token!r} (row {row})" for token, row in odd.items()])
        raise DataError(
            f"the model does not know {len(odd)} of the tokens: {named}; rows count from 0. Leave "
            "these rows out, or fit the model again with them"
        )
    lengths = [len(row) for row in rows]
    if max(lengths, default=0) >= places:
        longest = int(np.argmax(lengths))
        raise DataError(
            f"row {numbers[longest]} has {lengths[longest]} tokens, and the model takes "
            f"{places - 1}: --on-error skip leaves longer texts out"
        )


def _labeled(raw: RawData, found: FoundTexts, kept: list[int], reading: Reading) -> RawData:
    """The rows with their label: a column of the table, or values that the caller gave.

    Raises:
        DataError: there is no such column.
    """
    label = reading.label
    if label is None:
        return raw
    if isinstance(label, str):
        if found.frame is None or label not in found.frame.columns:
            raise DataError(f"there is no column {label!r} for the label")
        values = found.frame[label].to_numpy()[kept]
        return replace(raw, labels=values, label_column=label)
    return replace(raw, labels=np.asarray(label)[kept])


def _with_quantities(raw: RawData, found: FoundTexts, kept: list[int], reading: Reading) -> RawData:
    """The rows with the quantities to predict: columns of the table, or properties of molecules.

    Raises:
        OptionError: there is no such column or property.
    """
    if not reading.predict or reading.schema is not None:
        return raw
    columns = () if found.frame is None else found.frame.columns
    molecular = TOKENIZERS[raw.x.tokenizer].molecular
    computed = [name for name in reading.predict if molecular and name not in columns]
    named = [name for name in reading.predict if name not in computed]
    values = {name: each.iloc[kept] for name, each in columns_of(found.frame, named).items()}
    if computed:
        texts = [found.texts[number] for number in kept]
        values |= some_property_values(computed, texts, PROPERTY_ROWS)
    return replace(raw, quantities={name: values[name] for name in reading.predict})


def texts_of(dataset: Dataset) -> list[str]:
    """The texts of a data set of tokens."""
    schema = dataset.schema
    return [str(text) for text in schema.decode(schema.units(dataset.x))]
