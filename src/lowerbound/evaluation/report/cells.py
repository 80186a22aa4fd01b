"""The cells and lines that the report's table is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor

from lowerbound.evaluation.report.subjects import Findings
from lowerbound.inference.estimate import Estimate, Skipped

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
        best: whether no other answer in the line is significantly better.
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
        label: its name; {samples} becomes K.
        meaning: one plain sentence.
        better: which way is better.
        path: where in ``Findings`` it is found, such as "likelihood.scores.elbo".
        show: what is found there as a cell.
        refusal: what goes before the reason, in a note, where nothing was found; None: no note.
        mass_or_density: whether it compares only among masses or only among densities.
    """

    label: str
    meaning: str
    better: Better
    path: str
    show: Callable[[Any], Cell]
    refusal: str | None = None
    mass_or_density: bool = False

    def cell(self, found: Findings) -> Cell:
        """The answer of one model."""
        value: Any = found
        for name in self.path.split("."):
            value = getattr(value, name)
            if isinstance(value, Skipped):
                return Cell(note="" if self.refusal is None else self.refusal + value.reason)
        return self.show(value)


def estimate(value: Estimate, digits: int = 2) -> Cell:
    """A mean with its standard error."""
    error = "" if value.standard_error is None else f" ± {value.standard_error:.{digits}f}"
    return Cell(f"{minus(value.mean, digits)}{error}", value.mean, value.standard_error)


def unranked(value: Estimate) -> Cell:
    """The same, not to be compared between models."""
    return replace(estimate(value), value=None)


def row_mean(rows: Tensor) -> Cell:
    """The mean of one value per row."""
    return replace(estimate(Estimate.of(rows)), rows=rows)


def share(value: float) -> Cell:
    """A share as per cent."""
    return Cell(f"{100 * value:.1f} %", value)


def number(value: float, digits: int = 3) -> Cell:
    """A plain number."""
    return Cell(minus(value, digits), value)


def minus(value: float, digits: int) -> str:
    """A number with a true minus sign, and none before a zero."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def percent(value: Estimate) -> Cell:
    """A share with its standard error, as per cent."""
    cell = estimate(value.scaled(100), 1)
    return replace(cell, text=f"{cell.text} %")
