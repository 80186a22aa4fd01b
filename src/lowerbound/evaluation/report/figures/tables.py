"""Columns of samples and data: their distributions and correlations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.report.figures.axis_values import (
    frequent_levels,
    name_levels,
    write_dates,
    write_numbers,
)
from lowerbound.evaluation.report.figures.style import (
    DIVERGING,
    MUTED,
    color_of,
    distinct,
    grid_shape,
    new_figure,
    shared_legend,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COLUMNS = 12
NAMED_COLUMNS = 25
FILL = "#c9ced6"


def marginals(
    real: Array,
    samples: Mapping[str, Array],
    names: Sequence[str],
    levels: Mapping[str, Sequence[str]] | None = None,
    dates: Collection[str] = (),
) -> Figure:
    """Histogram of each column: the data filled, samples as outlines.

    Args:
        real: (rows, columns) in the data's own units, NaN if not observed.
        samples: by model, (count, columns).
        names: names of the columns.
        levels: meanings of the codes of a column, by its name; of many, the most frequent are
            shown.
        dates: names of the columns that are seconds since 1970.
    """
    levels = levels or {}
    count = min(real.shape[1], MOST_COLUMNS)
    rows, columns = grid_shape(count, 4)
    which = "Each column" if count == len(names) else f"The first {count} of {len(names)} columns"
    figure = new_figure(2.4 * columns, 0.6 + 1.8 * rows, f"{which}: data and samples")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    titles = distinct(names)
    for column, axes in enumerate(panels[:count]):
        style(axes, titles[column])
        axes.set_yticks([])
        seen = real[~np.isnan(real[:, column]), column]
        drawn = {model: values[:, column] for model, values in samples.items()}
        meanings = levels.get(names[column])
        if meanings is None:
            edges = _edges(seen, list(drawn.values()))
        else:
            meanings, (seen, *grouped) = frequent_levels(meanings, seen, *drawn.values())
            drawn = dict(zip(drawn, grouped, strict=True))
            edges = np.arange(len(meanings) + 1) - 0.5
            name_levels(axes, meanings, len(levels[names[column]]))
        axes.hist(seen, edges, weights=_shares(seen), color=FILL, label="held-out rows")
        for index, (model, values) in enumerate(drawn.items()):
            axes.hist(
                values,
                edges,
                weights=_shares(values),
                histtype="step",
                linewidth=1.3,
                color=color_of(index),
                label=model,
            )
        if names[column] in dates:
            write_dates(axes.xaxis)
        elif meanings is None:
            write_numbers(axes.xaxis)
    for axes in panels[count:]:
        axes.set_axis_off()
    shared_legend(figure, panels[0])
    return figure


def correlations(real: Array, samples: Mapping[str, Array], names: Sequence[str]) -> Figure:
    """Correlation matrices of the data and of samples, with the mean absolute difference.

    Args:
        real: (rows, columns).
        samples: by model, (count, columns).
        names: names of the columns.
    """
    expected = _correlation(real)
    panels = {"data": expected, **{name: _correlation(values) for name, values in samples.items()}}
    figure = new_figure(3.3 * len(panels) + 0.6, 4.2, "Correlations between columns")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, matrix) in zip(grid, panels.items(), strict=True):
        off = np.abs(matrix - expected)[~np.eye(len(matrix), dtype=bool)]
        note = "" if name == "data" or not off.size else f", off by {off.mean():.3f}"
        style(axes, name + note)
        # with a fixed aspect, the layout leaves too little room for the names below
        picture = axes.imshow(matrix, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto")
        few = len(matrix) <= NAMED_COLUMNS
        shown = distinct(names, 12) if few else []
        axes.set_xticks(range(len(matrix)) if few else [], shown, rotation=90)
        named = few and axes is grid[0]
        axes.set_yticks(range(len(matrix)) if named else [], shown if named else [])
        axes.tick_params(labelsize=7, length=0)
    figure.colorbar(picture, ax=grid.tolist(), shrink=0.7).ax.tick_params(labelsize=7, colors=MUTED)
    return figure


def _edges(real: Array, samples: Sequence[Array]) -> Array:
    """Bins over the data; for samples also up to half the data's width beyond it."""
    low, high = np.percentile(real, [0.5, 99.5])
    if high <= low:
        low, high = real.min() - 0.5, real.max() + 0.5
    room = 0.5 * (high - low)
    ends = np.array([np.percentile(values, [0.5, 99.5]) for values in samples]).reshape(-1, 2)
    first = max(low - room, ends[:, 0].min(initial=low))
    return np.linspace(first, min(high + room, ends[:, 1].max(initial=high)), 37)


def _shares(values: Array) -> Array:
    """Weights that make bars shares of all values, including those outside the bins."""
    return np.full(len(values), 1 / len(values))


def _correlation(values: Array) -> Array:
    """Correlation of each pair of columns over the rows that have both; 0 for a constant column."""
    seen = ~np.isnan(values)
    n = seen.astype(float)
    with np.errstate(all="ignore"):
        center = np.where(seen, values, 0.0).sum(0) / n.sum(0)
        x = np.where(seen, values - center, 0.0)  # avoids cancellation for dates in seconds
        count = n.T @ n
        sums, squares = x.T @ n, (x * x).T @ n
        covariance = x.T @ x / count - sums * sums.T / count**2
        variance = squares / count - (sums / count) ** 2
        matrix: Array = np.nan_to_num(covariance / np.sqrt(variance * variance.T)).clip(-1, 1)
    return matrix
