"""Quantities of rows and properties of formulas by name, and the task of a request."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from lowerbound.applications.design.docking import EXHAUSTIVENESS, Docking
from lowerbound.applications.design.goals import Function, Goal, Limit
from lowerbound.applications.design.rows import ColumnRows, FormulaRows, MoleculeRows, RowForm
from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.sciences.formulas import is_balanced, read_formula
from lowerbound.data.sciences.molecules import PROPERTIES, KnownMolecules, property_values
from lowerbound.data.sciences.smiles import canonical_smiles
from lowerbound.errors import DataError, OptionError, unknown
from lowerbound.registry import Registry

SIMILARITY = "similarity"
DOCKING = "docking:"
DIRECTIONS = ("max", "min")


@dataclass(frozen=True)
class FormulaProperty:
    """A number that belongs to a formula.

    Attributes:
        description: what it says, in one line.
        compute: from the fractions of the elements.
    """

    description: str
    compute: Callable[[Mapping[str, float]], float]


FORMULA_PROPERTIES = Registry[FormulaProperty]("property of formulas")
FORMULA_PROPERTIES.register("charge_balanced")(
    FormulaProperty(
        "1 if common charges of the elements sum to zero, else 0",
        lambda fractions: float(is_balanced(fractions)),
    )
)
FORMULA_PROPERTIES.register("elements")(
    FormulaProperty("number of elements", lambda fractions: float(len(fractions)))
)


def formula_values(name: str, formulas: Sequence[Any]) -> Array:
    """A property of formulas, (formulas,) float64; NaN for a text that is no formula.

    Raises:
        OptionError: the name is unknown; the message suggests the nearest one.
    """
    chosen = FORMULA_PROPERTIES[name]
    return np.array([_value(chosen, text) for text in formulas], dtype=np.float64)


def _value(chosen: FormulaProperty, text: Any) -> float:
    try:
        return chosen.compute(read_formula(text))
    except DataError:
        return float("nan")


def quantity(name: str, form: RowForm) -> tuple[str, Function]:
    """(name, function) of a property of molecules or formulas, a column, or FILE.py:FUNCTION;
    of molecules also docking:RECEPTOR[:EXHAUSTIVENESS].

    Raises:
        OptionError: there is none of that name; the message suggests the nearest one. Or the column
            holds text.
        DataError: the file has no such function, or the receptor cannot be read.
        MissingLibraryError: a library of docking is not installed.
    """
    path, colon, function = name.rpartition(":")
    if colon and path.endswith(".py"):
        return function, function_of_file(Path(path).expanduser(), function)
    if isinstance(form, MoleculeRows):
        if name.startswith(DOCKING):
            return docking(name)
        PROPERTIES[name]
        return name, lambda rows: property_values(name, rows)[name]
    if isinstance(form, FormulaRows):
        FORMULA_PROPERTIES[name]
        return name, lambda rows: formula_values(name, rows)
    if isinstance(form, ColumnRows):
        _check_column(name, form.schema.columns)
        return name, lambda rows: rows[name].to_numpy()
    raise OptionError(
        f"--objective {name}: for these rows give a function in a file, FILE.py:FUNCTION"
    )


def _check_column(name: str, columns: Sequence[Column]) -> None:
    """Check that a column of this name exists and holds numbers.

    Raises:
        OptionError: it does not.
    """
    found = {column.name: _texts(column) for column in columns}
    if name not in found:
        raise unknown("column", name, found)
    if not found[name]:
        return
    numbers = [other for other, texts in found.items() if not texts]
    others = f"one of the columns of numbers {listed(numbers)}, or " if numbers else ""
    raise OptionError(
        f"column {name!r} holds text ({listed([repr(text) for text in found[name]])}), and an "
        f"objective is a number for each row: choose {others}a function in a file, FILE.py:FUNCTION"
    )


def _texts(column: Column) -> list[str]:
    """The levels of a column that cannot be read as numbers."""
    texts = [level for level in column.levels if isinstance(level, str)]
    return [text for text in texts if math.isnan(_number(text))]


def docking(text: str) -> tuple[str, Function]:
    """(name, function) of docking:RECEPTOR[:EXHAUSTIVENESS].

    Raises:
        OptionError: the receptor is unknown, or the exhaustiveness is not a whole number.
        DataError: the receptor cannot be read.
        MissingLibraryError: a library of docking is not installed.
    """
    receptor, _, effort = text.removeprefix(DOCKING).partition(":")
    if effort and not effort.isdecimal():
        raise OptionError(f"{text}: the exhaustiveness is a whole number, not {effort!r}")
    function = Docking(receptor, exhaustiveness=int(effort or EXHAUSTIVENESS))
    return f"docking_{Path(receptor).stem}", function


def function_of_file(path: Path, name: str) -> Function:
    """A function that the user wrote, from rows to numbers.

    Raises:
        DataError: there is no such file or function, or the file fails.
    """
    spec = importlib.util.spec_from_file_location(f"objective_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise DataError(f"{path} is not a file of Python")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise DataError(f"{path} fails with {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise DataError(f"{path} has no function {name}")
    return cast(Callable[[Any], Any], found)


def files_of(texts: Sequence[str]) -> list[Path]:
    """The files that quantities are computed with, which need not exist: code and receptors."""
    code = [text.partition(".py:")[0] + ".py" for text in texts if ".py:" in text]
    receptors = [t.split(":")[1] for t in texts if t.startswith(DOCKING)]
    return [Path(name).expanduser() for name in (*code, *receptors)]


def further_goal(text: str, form: RowForm) -> Goal:
    """The goal of ``--also NAME:max|min[:WEIGHT]``.

    Raises:
        OptionError: the text is not of this form, or the name is unknown.
    """
    words = text.rsplit(":", 2)
    if words[-1] in DIRECTIONS:
        name, direction, weight = ":".join(words[:-1]), words[-1], 1.0
    else:
        name, direction, weight = words[0], words[-2] if len(words) > 1 else "", _number(words[-1])
    if direction not in DIRECTIONS or not name or not math.isfinite(weight):
        raise OptionError(f"--also takes NAME:max or NAME:min, and then :WEIGHT, not {text!r}")
    found = quantity(name, form)
    return Goal(*found, direction=cast(Literal["max", "min"], direction), weight=weight)


def limit(text: str, form: RowForm) -> Limit:
    """The limit of ``--range NAME:LOW:HIGH``; an empty end is open.

    Raises:
        OptionError: the text is not of this form, or the name is unknown.
    """
    name, *ends = text.rsplit(":", 2)
    low = _number(ends[0], -math.inf) if len(ends) == 2 else math.nan
    high = _number(ends[1], math.inf) if len(ends) == 2 else math.nan
    if math.isnan(low) or math.isnan(high):
        raise OptionError(f"--range takes NAME:LOW:HIGH, such as logp:0:5, not {text!r}")
    return Limit(*quantity(name, form), low, high)


def similar(seed: str, least: float, form: RowForm) -> Limit:
    """Tanimoto similarity of at least ``least`` to a molecule.

    Raises:
        OptionError: the rows are not molecules, or ``least`` is not a similarity.
        DataError: the seed is not a molecule.
    """
    if not isinstance(form, MoleculeRows):
        raise OptionError("--similar-to compares molecules, and the rows are not")
    if not 0 <= least <= 1:
        raise OptionError(f"--least is a similarity, 0 to 1, not {least:g}")
    try:
        known = KnownMolecules([canonical_smiles(seed)])
    except DataError as error:
        raise DataError(f"--similar-to {seed}: {error}") from error
    return Limit(SIMILARITY, lambda rows: known.similarities(rows)[:, 0], low=least)


def _number(text: str, empty: float = math.nan) -> float:
    try:
        return float(text) if text else empty
    except ValueError:
        return math.nan
