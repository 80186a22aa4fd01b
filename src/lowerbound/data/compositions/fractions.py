"""Tables of fractions of elements, in whole numbers of atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.compositions.formulas import formula_of, read_formula
from lowerbound.errors import DataError


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
