"""Rows beside their reconstructions, and the uncertainty of each value."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.report.figures.axis_values import write_dates, write_numbers
from lowerbound.evaluation.report.figures.style import (
    INK,
    MUTED,
    SEQUENTIAL,
    color_of,
    distinct,
    grid_shape,
    mosaic,
    new_figure,
    shared_legend,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 12
LETTER = 0.09  # width of a letter of names and titles, inches


def picture_reconstructions(x: Array, mean: Array, deviation: Array, name: str = "") -> Figure:
    """Three lines: the rows, their reconstruction, its standard deviation.

    Args:
        x, mean, deviation: (rows, C, H, W); x and mean in [0, 1].
        name: name of the model.
    """
    grey = deviation.mean(1)
    highest = float(grey.max()) or 1.0
    heat = _colored(grey / highest)
    title = "Reconstructions with their uncertainty" + (f": {name}" if name else "")
    figure = _strips({"input": x, "reconstruction": mean, "standard\ndeviation": heat}, title)
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(0, highest), SEQUENTIAL)
    bar = figure.colorbar(scale, ax=figure.axes, fraction=0.015, pad=0.01, shrink=0.5)
    bar.ax.tick_params(labelsize=7, colors=MUTED)
    bar.set_label("standard deviation", fontsize=8, color=MUTED)
    return figure


def compared_reconstructions(x: Array, means: Mapping[str, Array]) -> Figure:
    """The rows, then their reconstruction by each model, line by line.

    Args:
        x: (rows, C, H, W) in [0, 1].
        means: by model, like x.
    """
    return _strips({"input": x, **means}, "The same rows by every model")


def _strips(lines: Mapping[str, Array], title: str) -> Figure:
    """Lines of pictures, each with its name at the left."""
    count = len(next(iter(lines.values())))
    longest = max(len(line) for name in lines for line in name.split("\n"))
    width = max(0.85 * count + 0.7 + LETTER * longest, LETTER * len(title) + 0.6)
    figure = new_figure(width, 0.5 + 0.95 * len(lines), title)
    panels = figure.subplots(len(lines), 1, squeeze=False)[:, 0]
    for axes, (name, pictures) in zip(panels, lines.items(), strict=True):
        axes.imshow(mosaic(pictures, count), interpolation="nearest")
        axes.set_ylabel(name, fontsize=9, color=INK, rotation=0, ha="right", va="center")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure


def _colored(values: Array) -> Array:
    """(rows, H, W) in [0, 1] as colors, (rows, 3, H, W)."""
    from matplotlib import colormaps

    colors: Array = np.moveaxis(colormaps[SEQUENTIAL](values)[..., :3], -1, 1)
    return colors


def profile_reconstructions(x: Array, mean: Array, deviation: Array, name: str = "") -> Figure:
    """Each row as a profile over its features: the values, the reconstruction, ± 2 deviations.

    Args:
        x, mean, deviation: (rows, features).
        name: name of the model.
    """
    count = min(len(x), MOST_PANELS)
    rows, columns = grid_shape(count, 3)
    title = "Reconstructions with their uncertainty" + (f": {name}" if name else "")
    figure = new_figure(9, 0.6 + 1.9 * rows, title)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for axes, values, center, spread in zip(panels, x, mean, deviation, strict=False):
        _profile(style(axes, "", "feature", ""), values, center, spread)
    for axes in panels[count:]:
        axes.set_axis_off()
    shared_legend(figure, panels[0])
    return figure


def scatter_reconstructions(
    x: Array,
    mean: Array,
    names: Sequence[str],
    name: str = "",
    dates: Collection[str] = (),
) -> Figure:
    """Reconstruction against value, one panel per column; exact values lie on the line.

    Args:
        x, mean: (rows, features) in the data's own units; x is NaN if not observed.
        names: names of the features.
        name: name of the model.
        dates: names of the features that are seconds since 1970.
    """
    count = min(x.shape[1], MOST_PANELS)
    rows, columns = grid_shape(count, 4)
    title = "Reconstruction against value" + (f": {name}" if name else "")
    figure = new_figure(2.5 * columns, 0.5 + 2.3 * rows, title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    shown = distinct(names, 15)
    for feature, axes in enumerate(panels[:count]):
        seen = ~np.isnan(x[:, feature])
        values, found = x[seen, feature], mean[seen, feature]
        style(axes, shown[feature], "value", "reconstruction")
        axes.scatter(values, found, s=5, alpha=0.4, color=color_of(0), linewidths=0)
        axes.axline((values.mean(), values.mean()), slope=1, color=MUTED, linewidth=0.8)
        write = write_dates if names[feature] in dates else write_numbers
        write(axes.xaxis)
        write(axes.yaxis)
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure


def _profile(axes: Axes, values: Array, center: Array, spread: Array) -> None:
    features = np.arange(len(values))
    axes.fill_between(
        features,
        center - 2 * spread,
        center + 2 * spread,
        color=color_of(0),
        alpha=0.2,
        linewidth=0,
        label="± 2 standard deviations",
    )
    axes.plot(features, center, color=color_of(0), linewidth=1.2, label="reconstruction")
    axes.plot(features, values, ".", color=INK, markersize=3, label="value")
