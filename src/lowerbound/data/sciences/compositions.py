"""Chemical compositions as a data set: a row is the fractions of the elements of a formula.

A table of fractions becomes whole numbers of atoms.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, listed, row_numbers
from lowerbound.data.kinds import DATA_KINDS, DataKind, Default
from lowerbound.data.labels import columns_of
from lowerbound.data.raw import RawData
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Schema
from lowerbound.data.sciences.formulas import ELEMENTS, formula_of, read_formula
from lowerbound.data.tables.files import is_table, read_frame
from lowerbound.data.tables.frames import from_frame
from lowerbound.errors import DataError, OptionError

ATOMS = 100  # of which a composition is made; a fraction below half an atom is not seen
MOST_SKIPPED = 0.01  # share of rows that on_error="skip" leaves out without an error


def fraction_table(rows: Sequence[Mapping[str, float]], elements: Sequence[str]) -> Array:
    """Fractions as a table, (rows, elements) float64."""
    place = {element: index for index, element in enumerate(elements)}
    table = np.zeros((len(rows), len(place)))
    for index, row in enumerate(rows):
        table[index, [place[element] for element in row]] = list(row.values())
    return table


def atoms_of(fractions: Array, whole: int) -> Array:
    """Whole numbers of atoms with these fractions, (..., elements) int, that sum to ``whole``.

    Each fraction is rounded down, and the atoms that are left go to the largest remainders
    (Hamilton's method), so that none is off by a whole atom.
    """
    exact = fractions * whole
    atoms = np.floor(exact + 1e-9).astype(np.int64)
    left = whole - atoms.sum(-1, keepdims=True)
    order = np.argsort(np.argsort(atoms - exact, axis=-1, kind="stable"), axis=-1, kind="stable")
    atoms += order < left
    return atoms


def normalized(fractions: Array) -> Array:
    """Fractions without negative parts, (..., elements) float64, that sum to one.

    A row without a positive part becomes equal fractions.
    """
    positive = np.maximum(np.asarray(fractions, dtype=np.float64), 0.0)
    total = positive.sum(-1, keepdims=True)
    return np.where(total > 0, positive / np.where(total > 0, total, 1.0), 1 / positive.shape[-1])


def formulas_of(fractions: Array, elements: Sequence[str], least: float) -> Array:
    """A formula of each row of fractions, (...) text.

    Args:
        fractions: (..., elements).
        elements: their symbols.
        least: smaller fractions are left out, which is also the error of formulas of whole numbers.
    """
    rows = fractions.reshape(-1, len(elements))
    least = min(least, float(rows.max(-1).min()) / 2)
    named = [
        formula_of(dict(zip(elements, map(float, row), strict=True)), least=least, tolerance=least)
        for row in rows
    ]
    return np.array(named, dtype=str).reshape(fractions.shape[:-1])


def read_formulas(
    texts: Sequence[Any], elements: Sequence[str] = ()
) -> tuple[list[dict[str, float]], dict[int, str]]:
    """The fractions of every formula that can be read; the rows of the others, with reasons.

    Args:
        texts: formulas.
        elements: those of a fitted model, which knows no others; (): any element.
    """
    found, refused = [], {}
    for row, text in enumerate(texts):
        try:
            one = read_formula(text)
        except DataError as error:
            refused[row] = str(error)
            continue
        foreign = [element for element in one if elements and element not in elements]
        if foreign:
            refused[row] = f"{text!r} has {listed(foreign)}, which the model was not fitted on"
        else:
            found.append(one)
    return found, refused


@dataclass(frozen=True, eq=False)
class Formulas:
    """Chemical formulas in memory; a bare list of text would be read as no numbers.

    Attributes:
        texts: such as ["GaAs", "Al0.3Ga0.7As"].
    """

    texts: Sequence[Any]


@DATA_KINDS.register("compositions")
class CompositionKind(DataKind):
    """Rows of fractions of elements, which sum to one, in whole hundredths."""

    fits_quickly = True
    parts_of_whole = True
    always_complete = True

    def reads(self, source: Any) -> bool:
        return isinstance(source, Formulas)

    def takes(self, source: Any, reading: Reading) -> bool:
        if self.reads(source):
            return True
        known = reading.schema is not None and isinstance(reading.schema.data_kind, CompositionKind)
        return (known or reading.formula is not None) and (
            is_table(source) if isinstance(source, (str, Path)) else hasattr(source, "set_axis")
        )

    def read(self, source: Any, reading: Reading) -> RawData:
        names = "spectrograms", "image_size", "resize", "split", "windows", "levels"
        reading.refuse(source, *names)
        if isinstance(source, Formulas):
            found = reading.labeled(RawData(list(source.texts)))
        else:
            found = _column(source, reading)
        elements = () if reading.schema is None else elements_of(reading.schema)
        return _parsed(found, elements, reading.on_error == "skip")

    def learn(self, raw: RawData, how: Reading) -> Schema:
        if how.gaps:
            raise OptionError("a formula has no missing parts: leave missing='model' out")
        seen = {element for row in raw.x for element in row}
        if len(seen) < 2:
            raise DataError(
                f"all compositions are of one element, {listed(sorted(seen))}: nothing varies"
            )
        return Schema(
            "compositions",
            (len(seen),),
            levels=ATOMS + 1,
            label_column=raw.label_column,
            left_out=raw.left_out,
            details={"elements": [e for e in ELEMENTS if e in seen], "column": how.formula or ""},
        )

    def pack(self, schema: Schema, raw: Any) -> tuple[Tensor, Tensor | None]:
        atoms = atoms_of(self.values(schema, raw), schema.top_code)
        return torch.from_numpy(atoms.astype(np.int32)), None

    def values(self, schema: Schema, raw: Any) -> Array:
        if isinstance(raw, Formulas):
            raw = _parsed(RawData(list(raw.texts)), elements_of(schema), skip=False).x
        if isinstance(raw, list):
            return fraction_table(raw, elements_of(schema))
        values = super().values(schema, raw).astype(np.float64)
        rows = np.flatnonzero(~((values >= 0).all(-1) & (np.abs(values.sum(-1) - 1) < 1e-3)))
        if len(rows):
            raise DataError(
                f"fractions must not be negative and must sum to 1; {row_numbers(rows.tolist())}, "
                "counted from 0, do not"
            )
        return normalized(values)

    def decode(self, schema: Schema, units: Array, rounded: bool) -> Array:
        """Formulas, (...) text, if ``rounded``; else fractions, (..., elements), that sum to 1."""
        fractions = normalized(units)
        if not rounded:
            return fractions
        return formulas_of(fractions, elements_of(schema), 0.5 / schema.top_code)

    def report_style(self, schema: Schema) -> str:
        return ""

    def describe(self, schema: Schema) -> str:
        return f"compositions of {schema.dimension} elements ({listed(elements_of(schema))})"

    def describe_values(self, schema: Schema) -> str:
        return f"fractions in steps of 1/{schema.top_code}"

    def feature_names(self, schema: Schema) -> list[str]:
        return list(elements_of(schema))

    def default_likelihood(self, schema: Schema) -> Default:
        return Default("multinomial", "fractions that sum to one, many of them zero")


def elements_of(schema: Schema) -> tuple[str, ...]:
    """The elements of the rows, in the order of their numbers."""
    return tuple(schema.details["elements"])


def _column(source: Any, reading: Reading) -> RawData:
    """The text of the column of formulas, with the label.

    Raises:
        DataError: the table is empty, or has no such column.
    """
    frame = read_frame(source, reading.text_dialect) if isinstance(source, (str, Path)) else source
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    known = reading.schema
    name = reading.formula or ("" if known is None else known.details["column"])
    if name not in frame.columns:
        close = difflib.get_close_matches(name, list(frame.columns), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {listed(list(frame.columns))}"
        raise DataError(f"the table has no column {name!r} of formulas; {hint}")
    column = reading.label if isinstance(reading.label, str) else None
    if column is None and known is not None and known.label_column in frame.columns:
        column = known.label_column
    found = from_frame(frame, column, None, str(source) if isinstance(source, (str, Path)) else "")
    if name not in found.x.columns:
        raise DataError(f"the column {name!r} holds the formulas, so it cannot be the label")
    predicted = () if known is not None else reading.predict
    return replace(
        found,
        x=found.x[name].tolist(),
        quantities=columns_of(frame, predicted),
        labels=reading.label if column is None else found.labels,
        left_out=tuple(other for other in found.x.columns if other != name),
    )


def _parsed(raw: RawData, elements: Sequence[str], skip: bool) -> RawData:
    """The rows with formulas as fractions.

    Args:
        raw: rows of text.
        elements: those of the fitted model; (): any element.
        skip: leave out rows that cannot be read, if they are at most 1 %.

    Raises:
        DataError: there are no rows, or some cannot be read; the message names the first.
    """
    if not len(raw.x):
        raise DataError("there are no formulas: the table is empty")
    found, refused = read_formulas(raw.x, elements)
    if refused:
        _report(refused, len(raw.x), skip)
    kept = [row for row in range(len(raw.x)) if row not in refused]
    labels = raw.labels if raw.labels is None or not refused else _rows(raw.labels, kept)
    quantities = {name: _rows(values, kept) for name, values in raw.quantities.items()}
    texts = tuple(str(raw.x[row]) for row in kept)
    return replace(
        raw, x=found, labels=labels, quantities=quantities, ids=texts, kind="compositions"
    )


def _report(refused: dict[int, str], total: int, skip: bool) -> None:
    """Warn about rows that are left out.

    Raises:
        DataError: they may not be left out, or too many cannot be read.
    """
    few = len(refused) <= MOST_SKIPPED * total
    if not skip:
        first, reason = next(iter(refused.items()))
        remedy = " (on_error='skip' leaves such rows out)" if few else ": correct the row"
        raise DataError(f"row {first}, counted from 0, cannot be read: {reason}{remedy}")
    which = (
        f"{len(refused):,} of {total:,} rows cannot be read: {row_numbers(list(refused))}, "
        f"counted from 0; the first: {next(iter(refused.values()))}"
    )
    if not few:
        raise DataError(f"{which}. At most 1 % of the rows may be left out: correct them")
    warnings.warn(f"{which}; they are left out", UserWarning, stacklevel=4)


def _rows(labels: Any, rows: list[int]) -> Any:
    return labels.iloc[rows] if hasattr(labels, "iloc") else np.asarray(labels)[rows]
