"""Training curves, the bound on training and validation rows and its two parts; drawn columns.

Columns of samples and data are compared by their distributions and correlations.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.report.figure_style import (
    DIVERGING,
    MUTED,
    SEQUENTIAL,
    color_of,
    distinct,
    grid_shape,
    legend,
    legend_below,
    new_figure,
    shared_legend,
    style,
)
from lowerbound.evaluation.report.row_figures import (
    frequent_levels,
    name_levels,
    write_dates,
    write_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 12
NAMED_COLUMNS = 25
FILL = "#c9ced6"
FEW = 15  # fewer points are marked one by one
LEAST_SPREAD = 1e-3  # of the values of a curve, on each side of it


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


@dataclass(frozen=True)
class TrainingCurve:
    """One model's training, one value per epoch; NaN if there is none.

    Attributes:
        name: name of the model.
        epoch: number of the epoch.
        bound: on training rows, nats per row.
        validation: bound on validation rows.
        distortion: -log p(x | z).
        rate: sum of the latents' KL.
    """

    name: str
    epoch: Array
    bound: Array
    validation: Array
    distortion: Array
    rate: Array


def training_curves(curves: Sequence[TrainingCurve]) -> Figure:
    """One row per model: the bound at the left, distortion and rate at the right."""
    figure = new_figure(9, 0.5 + 2.6 * len(curves), "Training")
    panels = figure.subplots(len(curves), 2, squeeze=False)
    for (left, right), curve in zip(panels, curves, strict=True):
        _bound(left, curve)
        _parts(right, curve)
    return figure


def level_curves(name: str, epoch: Array, rates: Array) -> Figure:
    """The rate of each level against epochs, (records, levels), the coarsest first."""
    from matplotlib import colormaps

    figure = new_figure(6.5, 3.4, "Rates of the levels")
    axes = style(figure.subplots(), name, "epoch", "rate (nats)", grid=True)
    tints = colormaps[SEQUENTIAL]
    for level, values in enumerate(rates.T):
        tint = 0.15 + 0.75 * level / max(rates.shape[1] - 1, 1)
        axes.plot(epoch, values, color=tints(tint), linewidth=1.5, label=f"level {level}")
    legend(axes, loc="upper left", ncols=1 + rates.shape[1] // 9)
    return figure


def prior_curve(
    epoch: Array,
    training: Array,
    validation: Array,
    former: float | None,
    *,
    title: str = "Training of the prior",
    what: str = "log p(z) of latents",
) -> Figure:
    """log p(z) of latents against epochs, with a line at the former prior's value."""
    figure = new_figure(6.5, 3.4, title)
    axes = style(figure.subplots(), what, "epoch", "nats per row", grid=True)
    lines: dict[str, Any] = {"linewidth": 1.5}
    seen = np.isfinite(validation)
    faint = 0.4 if seen.any() else 1.0  # a bound is noisy on training rows
    axes.plot(epoch, training, color=color_of(0), label="training rows", alpha=faint, **lines)
    axes.plot(epoch[seen], validation[seen], color=color_of(6), label="held-out rows", **lines)
    known = [] if former is None else [former]
    if known:
        axes.axhline(known[0], color=MUTED, linestyle="--", label="former prior, held-out rows")
    shown = validation[seen] if seen.any() else _late(training)
    _zoom(axes, np.concatenate([shown, np.array(known)]))
    legend_below(axes)
    return figure


def reading_curves(title: str, epoch: Array, curves: Mapping[str, Array]) -> Figure:
    """One panel per reading against epochs, (records,) each; NaN where there is none."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(2.6 * len(curves), 2.6, title)
    for index, (name, values) in enumerate(curves.items()):
        axes = style(figure.add_subplot(1, len(curves), index + 1), name, "epoch", grid=True)
        axes.plot(epoch, values, color=color_of(index), linewidth=1.5)
        axes.set_xlim(float(epoch[0]), float(epoch[-1]))
        _zoom(axes, _late(values))
        seen = values[np.isfinite(values)]
        if np.array_equal(seen, np.round(seen)):  # a count
            axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def _bound(axes: Axes, curve: TrainingCurve) -> None:
    what = "lower bound on log p(x)" if np.nanmax(curve.rate, initial=0) > 0 else "log p(x | code)"
    style(axes, f"{curve.name}: {what}", "epoch", "nats per row", grid=True)
    lines: dict[str, Any] = {
        "linewidth": 1.5,
        "marker": "o" if len(curve.epoch) < FEW else "",
        "markersize": 3,
    }
    axes.plot(curve.epoch, curve.bound, color=color_of(0), label="training rows", **lines)
    seen = np.isfinite(curve.validation)
    if seen.any():
        axes.plot(
            curve.epoch[seen],
            curve.validation[seen],
            color=color_of(6),
            label="validation rows",
            **lines,
        )
    _zoom(axes, np.concatenate([_late(curve.bound), _late(curve.validation[seen])]))
    legend_below(axes)


def _parts(axes: Axes, curve: TrainingCurve) -> None:
    has_rate = np.nanmax(curve.rate, initial=0) > 0
    title = "parts of the bound" if has_rate else "distortion"
    style(axes, f"{curve.name}: {title}", "epoch", "distortion (nats)", grid=True)
    (first,) = axes.plot(curve.epoch, curve.distortion, color=color_of(4), linewidth=1.5)
    _zoom(axes, _late(curve.distortion))
    lines, names = [first], ["distortion: −log p(x | z)"]
    if has_rate:
        other = style(axes.twinx(), y="rate (nats)")
        other.spines["right"].set_visible(True)
        (second,) = other.plot(curve.epoch, curve.rate, color=color_of(1), linewidth=1.5)
        lines, names = [first, second], [names[0], "rate: KL(q(z | x) ‖ p(z))"]
    legend_below(axes, lines, names)


def _late(values: Array) -> Array:
    """The values without the first tenth, whose range would flatten the rest of the curve."""
    return values[min(len(values) // 10, max(len(values) - 2, 0)) :]


def _zoom(axes: Axes, values: Array) -> None:
    values = values[np.isfinite(values)]
    if len(values) and values.max() > values.min():
        least = LEAST_SPREAD * np.abs(values).max()  # rounding errors have no ticks
        margin = max(0.08 * (values.max() - values.min()), least)
        axes.set_ylim(values.min() - margin, values.max() + margin)
