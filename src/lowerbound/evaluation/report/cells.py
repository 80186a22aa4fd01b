"""The cells and lines that the report's table is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from lowerbound.evaluation.report.subjects import Findings
from lowerbound.inference.estimate import Estimate

Better = Literal["higher", "lower", ""]
NONE = "–"


@dataclass(frozen=True)
class Cell:
    """One model's answer to a measure.

    Attributes:
        text: what is shown.
        value: what is compared; None: nothing.
        error: its standard error, where there is one.
        rows: the values that it is the mean of, so that two models can be compared row by row.
        note: why there is no figure, or what to beware of; shown below the table.
        best: whether no other answer in the line is surely better.
    """

    text: str = NONE
    value: float | None = None
    error: float | None = None
    rows: Tensor | None = None
    note: str = ""
    best: bool = False


@dataclass(frozen=True)
class Measure:
    """One line of the table.

    Attributes:
        group: heading under which it stands.
        label: its name; {samples} becomes K.
        meaning: one plain sentence.
        better: which way is better.
        cell: the answer of one model.
        mass_or_density: whether it compares only among masses or only among densities.
    """

    group: str
    label: str
    meaning: str
    better: Better
    cell: Callable[[Findings], Cell]
    mass_or_density: bool = False


def estimate(value: Estimate | None, digits: int = 2) -> Cell:
    """A mean with its standard error."""
    if value is None:
        return Cell()
    error = "" if value.standard_error is None else f" ± {value.standard_error:.{digits}f}"
    return Cell(f"{minus(value.mean, digits)}{error}", value.mean, value.standard_error)


def row_mean(rows: Tensor) -> Cell:
    """The mean of one value per row."""
    return replace(estimate(Estimate.of(rows)), rows=rows)


def share(value: float) -> Cell:
    """A share as per cent."""
    return Cell(f"{100 * value:.1f} %", value)


def minus(value: float, digits: int) -> str:
    """A number with a true minus sign, and none before a zero."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def percent(value: Estimate) -> Cell:
    """A share with its standard error, as per cent."""
    cell = estimate(value.scaled(100), 1)
    return replace(cell, text=f"{cell.text} %")
