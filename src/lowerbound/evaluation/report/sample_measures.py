"""Measures of samples in the report's table: share that a classifier accepts, distances and
sharpness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any, Literal

from lowerbound.evaluation.report.cells import Cell, estimate, unranked
from lowerbound.evaluation.samples.acceptance import Acceptance
from lowerbound.evaluation.samples.quality import SampleQuality
from lowerbound.inference.estimate import Estimate, Skipped


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
