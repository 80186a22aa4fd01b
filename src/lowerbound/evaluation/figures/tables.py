"""Tables: do samples have the columns' distributions, and their correlations?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.evaluation.figures.style import (
    DIVERGING,
    MUTED,
    Array,
    color_of,
    grid_shape,
    legend,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COLUMNS = 12
NAMED_COLUMNS = 25


def marginals(real: Array, samples: Mapping[str, Array], names: Sequence[str]) -> Figure:
    """Histogram of each column: the data filled, samples as outlines.

    Args:
        real: (rows, columns) in the data's own units.
        samples: by model, (count, columns).
        names: of the columns.
    """
    count = min(real.shape[1], MOST_COLUMNS)
    rows, columns = grid_shape(count, 4)
    figure = new_figure(2.4 * columns, 0.6 + 1.8 * rows, "Each column: data and samples")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for column, axes in enumerate(panels[:count]):
        style(axes, names[column])
        axes.set_yticks([])
        edges = _edges(real[:, column])
        axes.hist(real[:, column], edges, density=True, color="#c9ced6", label="data")
        for index, (model, values) in enumerate(samples.items()):
            axes.hist(
                np.clip(values[:, column], edges[0], edges[-1]),
                edges,
                density=True,
                histtype="step",
                linewidth=1.3,
                color=color_of(index),
                label=model,
            )
    for axes in panels[count:]:
        axes.set_axis_off()
    legend(panels[0], loc="best")
    return figure


def correlations(real: Array, samples: Mapping[str, Array], names: Sequence[str]) -> Figure:
    """Correlation matrices of the data and of samples, with the mean absolute difference.

    Args:
        real: (rows, columns).
        samples: by model, (count, columns).
        names: of the columns.
    """
    expected = _correlation(real)
    panels = {"data": expected, **{name: _correlation(values) for name, values in samples.items()}}
    figure = new_figure(3.3 * len(panels) + 0.6, 3.9, "Correlations between columns")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, matrix) in zip(grid, panels.items(), strict=True):
        off = np.abs(matrix - expected)[~np.eye(len(matrix), dtype=bool)]
        note = "" if name == "data" or not off.size else f", off by {off.mean():.3f}"
        style(axes, name + note)
        picture = axes.imshow(matrix, cmap=DIVERGING, vmin=-1, vmax=1)
        few = len(matrix) <= NAMED_COLUMNS
        axes.set_xticks(range(len(matrix)) if few else [], names if few else [], rotation=90)
        named = few and axes is grid[0]
        axes.set_yticks(range(len(matrix)) if named else [], names if named else [])
        axes.tick_params(labelsize=7, length=0)
    figure.colorbar(picture, ax=grid.tolist(), shrink=0.7).ax.tick_params(labelsize=7, colors=MUTED)
    return figure


def _edges(values: Array) -> Array:
    low, high = np.percentile(values, [0.5, 99.5])
    if high <= low:
        low, high = values.min() - 0.5, values.max() + 0.5
    return np.linspace(low, high, 31)


def _correlation(values: Array) -> Array:
    with np.errstate(all="ignore"):
        matrix: Array = np.nan_to_num(
            np.corrcoef(values, rowvar=False).reshape(values.shape[1], -1)
        )
    return matrix
