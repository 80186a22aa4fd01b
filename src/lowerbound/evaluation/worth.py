"""The table of what each model is worth: figures with their errors, and the refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lowerbound.evaluation.estimate import Estimate
from lowerbound.evaluation.measures import MEASURES, NONE, Better, Cell, Measure
from lowerbound.evaluation.scores import Scores, marginal_difference
from lowerbound.evaluation.subjects import Findings, leading

SURE = 1.96


@dataclass(frozen=True)
class Line:
    """One measure of all models.

    Attributes:
        group: heading under which it stands.
        label: its name.
        meaning: one plain sentence.
        better: which way is better.
        cells: one per model.
    """

    group: str
    label: str
    meaning: str
    better: Better
    cells: tuple[Cell, ...]


def worth(findings: Sequence[Findings]) -> list[Line]:
    """The lines of the table, without those that no model has anything to say about."""
    lines = [_line(measure, findings) for measure in MEASURES]
    return [line for line in lines if any(cell.text != NONE or cell.note for cell in line.cells)]


def notes(lines: Sequence[Line]) -> list[str]:
    """The distinct notes of all cells, in order of appearance."""
    return list(dict.fromkeys(cell.note for line in lines for cell in line.cells if cell.note))


def comparisons(findings: Sequence[Findings]) -> list[str]:
    """The leading model's bound against each other's, paired over rows, in a sentence each."""
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
    if size.mean <= SURE * (size.standard_error or 0):
        return f"{main.name} and {other.name} cannot be told apart: {size} nats per row ({basis})."
    side = "above" if difference.mean > 0 else "below"
    return f"{main.name} lies {size} nats per row {side} {other.name} ({basis})."


def _line(measure: Measure, findings: Sequence[Findings]) -> Line:
    cells = [measure.ask(found) for found in findings]
    samples = [s.samples for f in findings if isinstance(s := f.likelihood.scores, Scores)]
    named = {"samples": max(samples, default=0)}
    if measure.better and not (measure.mass_or_density and _mixed(findings)):
        cells = _ranked(cells, measure.better)
    label, meaning = measure.label.format(**named), measure.meaning.format(**named)
    return Line(measure.group, label, meaning, measure.better, tuple(cells))


def _mixed(findings: Sequence[Findings]) -> bool:
    kinds = {s.mass for f in findings if isinstance(s := f.likelihood.scores, Scores)}
    return len(kinds) > 1


def _ranked(cells: Sequence[Cell], better: Better) -> list[Cell]:
    """The same cells, those that show the best figure marked; a lone figure is not."""
    values = [cell.value for cell in cells if cell.value is not None]
    if len(values) < 2:
        return list(cells)
    top = max(values) if better == "higher" else min(values)
    shown = {cell.text for cell in cells if cell.value == top}
    return [replace(cell, best=cell.value is not None and cell.text in shown) for cell in cells]
