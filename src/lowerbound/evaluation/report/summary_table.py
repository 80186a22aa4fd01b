"""The report's table of measures: figures with errors, and reasons for missing ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lowerbound.evaluation.report.cells import NONE, Better, Cell, Measure
from lowerbound.evaluation.report.measures import MEASURES
from lowerbound.evaluation.report.subjects import Findings, leading
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.scores import Scores, marginal_difference

SIGNIFICANT = 1.96


@dataclass(frozen=True)
class Line:
    """One measure of all models.

    Attributes:
        group: heading of the group.
        label: its name.
        meaning: one plain sentence.
        better: "higher" or "lower" if the line is ranked.
        cells: one per model.
    """

    group: str
    label: str
    meaning: str
    better: Better
    cells: tuple[Cell, ...]


def summary_lines(findings: Sequence[Findings]) -> list[Line]:
    """The lines of the table, without lines that have no figure for any model."""
    lines = [
        _line(group, measure, findings)
        for group, measures in MEASURES.items()
        for measure in measures
    ]
    return [line for line in lines if any(cell.text != NONE or cell.note for cell in line.cells)]


def notes(lines: Sequence[Line]) -> list[str]:
    """The distinct notes of all cells, in order of appearance."""
    return list(dict.fromkeys(cell.note for line in lines for cell in line.cells if cell.note))


def comparisons(findings: Sequence[Findings]) -> list[str]:
    """Sentences that compare the leading model's bound with each other's, paired over rows."""
    main = leading(findings)
    return [
        _comparison(main, other)
        for other in findings
        if other is not main and _scored(main) and _scored(other)
    ]


def _scored(found: Findings) -> bool:
    return isinstance(found.likelihood.scores, Scores)


def _comparison(main: Findings, other: Findings) -> str:
    a, b = main.likelihood.scores, other.likelihood.scores
    assert isinstance(a, Scores)
    assert isinstance(b, Scores)
    if a.mass != b.mass:
        mass, density = (main, other) if a.mass else (other, main)
        return (
            f"{mass.name} gives a probability mass and {density.name} a density: their nats are of "
            "different kinds, so no difference is given."
        )
    difference = marginal_difference(a, b)
    basis = f"L_{a.samples}, paired over the same {a.protocol.rows:,} rows"
    size = Estimate(abs(difference.mean), difference.standard_error)
    if not significant(difference):
        names = f"{main.name} and {other.name}"
        return f"{names} do not differ significantly: {size} nats per row ({basis})."
    side = "above" if difference.mean > 0 else "below"
    return f"{main.name} lies {size} nats per row {side} {other.name} ({basis})."


def _line(group: str, measure: Measure, findings: Sequence[Findings]) -> Line:
    cells = [measure.cell(found) for found in findings]
    samples = [s.samples for f in findings if isinstance(s := f.likelihood.scores, Scores)]
    named = {"samples": max(samples, default=0)}
    if measure.better and not (measure.mass_or_density and _mixed(findings)):
        cells = _ranked(cells, measure.better)
    label, meaning = measure.label.format(**named), measure.meaning.format(**named)
    return Line(group, label, meaning, measure.better, tuple(cells))


def _mixed(findings: Sequence[Findings]) -> bool:
    kinds = {s.mass for f in findings if isinstance(s := f.likelihood.scores, Scores)}
    return len(kinds) > 1


def _ranked(cells: Sequence[Cell], better: Better) -> list[Cell]:
    """The cells, with ``best`` set unless another is significantly better; a single figure is not
    marked."""
    compared = [cell for cell in cells if cell.value is not None]
    if len(compared) < 2:
        return list(cells)
    pick = max if better == "higher" else min
    top = pick(compared, key=lambda cell: cell.value or 0.0)
    return [replace(cell, best=cell.value is not None and _level(cell, top)) for cell in cells]


def _level(cell: Cell, top: Cell) -> bool:
    """Whether two cells do not differ significantly: paired over rows if possible, else by
    errors."""
    if cell is top or cell.text == top.text:
        return True
    if cell.rows is not None and top.rows is not None:
        return not significant(Estimate.of(top.rows - cell.rows))
    if cell.error is None or top.error is None:
        return False
    difference = (top.value or 0.0) - (cell.value or 0.0)
    return not significant(Estimate(difference, math.hypot(cell.error, top.error)))


def significant(difference: Estimate) -> bool:
    """Whether the 95 % interval of a difference excludes zero."""
    return abs(difference.mean) > SIGNIFICANT * (difference.standard_error or 0.0)
