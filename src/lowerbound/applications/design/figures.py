"""Figures of a search: predicted against true scores, the best so far, and drawn molecules."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.applications.common.files import replacing
from lowerbound.applications.design.result import TOP, DesignResult
from lowerbound.applications.design.rows import MoleculeRows
from lowerbound.data.sciences.smiles import molecule_grid
from lowerbound.evaluation.report.figure_style import (
    MUTED,
    color_of,
    legend_below,
    new_figure,
    style,
    to_png,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write_figures(result: DesignResult, output: Path, number: int, title: str) -> tuple[str, ...]:
    """Write NAME.png and, for molecules, NAME_molecules.png beside the output."""
    scores, molecules = figure_paths(output)
    files = [_written(scores, figure(result, title))]
    if isinstance(result.form, MoleculeRows) and result.ranked():
        files.append(_written(molecules, drawn(result, number)))
    return tuple(files)


def figure_paths(output: Path) -> tuple[Path, Path]:
    """The figures beside the output: of the scores, and of drawn molecules."""
    return output.with_suffix(".png"), output.with_name(f"{output.stem}_molecules.png")


def figure(result: DesignResult, title: str) -> bytes:
    """Two panels as PNG: predicted against true scores, and the best so far against calls."""
    drawing = new_figure(9.5, 4.2, title)
    left, right = drawing.subplots(1, 2)
    _predicted_and_true(style(left, "Proposals", "predicted score", "true score", True), result)
    _best_so_far(style(right, "Best so far", "calls of the objective", "score", True), result)
    return to_png(drawing)


def _predicted_and_true(axes: Axes, result: DesignResult) -> None:
    rows = [c for c in result.ranked() if math.isfinite(c.predicted)]
    if not rows:
        axes.text(0.5, 0.5, "no predictions", transform=axes.transAxes, ha="center", color=MUTED)
        return
    predicted, true = [c.predicted for c in rows], [c.score for c in rows]
    ends = [min(*predicted, *true), max(*predicted, *true)]
    axes.plot(ends, ends, color=MUTED, linewidth=0.8, label="equal")
    axes.scatter(predicted, true, s=10, color=color_of(0), alpha=0.6, linewidths=0)
    legend_below(axes)


def _best_so_far(axes: Axes, result: DesignResult) -> None:
    scores = np.array(result.called_scores, dtype=float)
    if not np.isfinite(scores).any():
        axes.text(0.5, 0.5, "no scores", transform=axes.transAxes, ha="center", color=MUTED)
        return
    calls = np.arange(1, len(scores) + 1)
    tops = [np.sort(scores[:n][np.isfinite(scores[:n])])[-TOP:] for n in calls]
    best = [top[-1] if len(top) else np.nan for top in tops]
    mean = [top.mean() if len(top) == TOP else np.nan for top in tops]
    axes.step(calls, best, where="post", color=color_of(0), label="best")
    if np.isfinite(mean).any():
        axes.plot(calls, mean, color=color_of(1), label=f"mean of the best {TOP}")
    if math.isfinite(result.best_known):
        axes.axhline(
            result.best_known, color=MUTED, linewidth=0.8, linestyle="--", label="best in DATA"
        )
    legend_below(axes)


def drawn(result: DesignResult, number: int) -> bytes:
    """The best molecules as PNG, each with its values."""
    best = result.ranked()[:number]
    captions = []
    for candidate in best:
        pairs = zip(result.task.quantities, candidate.outcome.values, strict=True)
        captions.append(", ".join(f"{quantity.name} {value:.3g}" for quantity, value in pairs))
    return molecule_grid([c.row for c in best], captions)


def _written(path: Path, png: bytes) -> str:
    with replacing(path) as place:
        place.write_bytes(png)
    return str(path)
