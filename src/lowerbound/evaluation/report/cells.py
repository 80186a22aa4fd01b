"""Cells and lines of the report's table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Literal

from torch import Tensor

from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.report.subjects import Findings
from lowerbound.evaluation.samples.acceptance import Acceptance
from lowerbound.evaluation.samples.distances import SampleQuality, TwoSample
from lowerbound.inference.estimate import Estimate, Skipped

Better = Literal["higher", "lower", ""]
NONE = "–"


@dataclass(frozen=True)
class Cell:
    """One measure of one model.

    Attributes:
        text: displayed text.
        value: value that is ranked; None: not ranked.
        error: its standard error, if known.
        rows: the values of which it is the mean, for a comparison row by row.
        note: reason for a missing figure, or a caution; shown below the table.
        best: whether no other cell in the line is significantly better.
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
        better: "higher" or "lower" if the line is ranked.
        path: attribute path in ``Findings``, such as "likelihood.scores.elbo".
        show: turns the finding into a cell.
        refusal: prefix of the reason in a note if there is no finding; None: no note.
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
        """The cell of one model."""
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
    """A mean with its error that is not ranked between models."""
    return replace(estimate(value), value=None)


def row_mean(rows: Tensor) -> Cell:
    """The mean of one value per row."""
    return replace(estimate(Estimate.of(rows)), rows=rows)


def share(value: float) -> Cell:
    """A share as per cent."""
    return Cell(f"{minus(100 * value, 1)} %", value)


def number(value: float | None, digits: int = 3) -> Cell:
    """A plain number; empty if there is none."""
    return Cell() if value is None else Cell(minus(value, digits), value)


def minus(value: float, digits: int) -> str:
    """A number with a true minus sign, and none before a zero."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def percent(value: Estimate) -> Cell:
    """A share with its standard error, as per cent."""
    cell = estimate(value.scaled(100), 1)
    return replace(cell, text=f"{cell.text} %")


def accuracy(value: TwoSample | Skipped) -> Cell:
    """The accuracy of the judge of samples."""
    return Cell() if isinstance(value, Skipped) else percent(value.accuracy)


def interval(value: Interval | Skipped) -> Cell:
    """A value with the ends of its 95 % interval, of which a quarter is the standard error."""
    if isinstance(value, Skipped):
        return Cell()
    return Cell(str(value), value.value, (value.high - value.low) / 4)


def of_own_acceptance(
    path: str, show: Callable[[Any], Cell]
) -> Callable[[Mapping[str, Acceptance]], Cell]:
    """A part of the acceptance of samples by the model's default method, the first one."""
    return lambda accepted: show(attrgetter(path)(next(iter(accepted.values()))))


def of_form(form: str, path: str, show: Callable[[Any], Cell]) -> Callable[[SampleQuality], Cell]:
    """A part of the measures of the model's own samples in one form.

    Args:
        form: MEAN or DRAWN; empty: the mean if it is measured, otherwise the draws.
        path: path of the part in ``Quality``.
        show: turns the part into a cell.
    """

    def answer(found: SampleQuality) -> Cell:
        forms = next(iter(found.found.values()))
        chosen = form or next(iter(forms))
        return show(attrgetter(path)(forms[chosen])) if chosen in forms else Cell()

    return answer


def distance(form: str, which: Literal["frechet", "kernel"]) -> Callable[[SampleQuality], Cell]:
    """A distance, with its floor, its ceiling and the name of its features."""

    def answer(found: SampleQuality) -> Cell:
        cell = of_form(form, which, estimate)(found)
        if cell.value is None:
            return cell
        floor, ceiling = (getattr(b[form], which) for b in (found.floor, found.ceiling))
        name = f"{'FD' if which == 'frechet' else 'KD'}[{found.space}]"
        note = (
            f"{name}, {form}, {found.rows:,} rows on each side: {floor} for real against real, "
            f"{ceiling} for shuffled rows"
        )
        return replace(cell, note=note)

    return answer


def sharpness(value: Estimate | Skipped) -> Cell:
    """Unranked, because 1 is ideal and noise is above it."""
    return Cell() if isinstance(value, Skipped) else unranked(value)
