"""Properties of formulas by name, for limits and objectives of a design."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.compositions.charges import is_balanced
from lowerbound.data.compositions.formulas import read_formula
from lowerbound.errors import DataError
from lowerbound.registry import Registry


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
