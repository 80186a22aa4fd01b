"""The decoded manifold: decoded points of a grid over two latent dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.report.cells import minus
from lowerbound.evaluation.report.figures.axis_values import (
    UPRIGHT_NAMES,
    frequent_levels,
    write_numbers,
)
from lowerbound.evaluation.report.figures.style import (
    PALETTE,
    SEQUENTIAL,
    distinct,
    grid_shape,
    mosaic,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_FEATURES = 12


def decoded_pictures(pictures: Array, ticks: Array, axis_names: tuple[str, str]) -> Figure:
    """Pictures on a grid: the first axis to the right, the second upwards.

    Args:
        pictures: (up, right, C, H, W) in [0, 1].
        ticks: the latents' values along the two axes, (2, right).
        axis_names: names of the two latent dimensions.
    """
    up, right = pictures.shape[:2]
    figure = new_figure(6.6, 6.9, "What the latent space decodes to")
    axes = style(figure.subplots(), "", *axis_names)
    flat = pictures[::-1].reshape(up * right, *pictures.shape[2:])  # row 0 of a picture is on top
    axes.imshow(mosaic(flat, right, gap=0.04), interpolation="nearest", extent=(0, right, 0, up))
    shown = np.arange(0, right, 2)
    axes.set_xticks(shown + 0.5, [minus(ticks[0][i], 1) for i in shown])
    axes.set_yticks(shown + 0.5, [minus(ticks[1][i], 1) for i in shown])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def decoded_features(
    values: Array,
    ticks: Array,
    axis_names: tuple[str, str],
    names: Sequence[str],
    levels: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Columns of a table or vector on the grid, one map each, sorted by variation.

    Args:
        values: (up, right, features) in the data's own units.
        ticks: the latents' values along the two axes, (2, right).
        axis_names: names of the two latent dimensions.
        names: names of the features.
        levels: meanings of the codes of a column, by its name; of many, the most frequent are
            shown.
    """
    levels = levels or {}
    spread = values.std((0, 1)) / np.maximum(np.abs(values).mean((0, 1)), 1e-12)
    chosen = np.argsort(-spread)[:MOST_FEATURES]
    rows, columns = grid_shape(len(chosen), 4)
    figure = new_figure(2.4 * columns, 0.5 + 2.3 * rows, "What the latent space decodes to")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    titles = distinct(names)
    for axes, feature in zip(panels, chosen, strict=False):
        style(axes, titles[feature], *axis_names)
        _feature(axes, values[..., feature], ticks, levels.get(names[feature]))
    for axes in panels[len(chosen) :]:
        axes.set_axis_off()
    return figure


def _feature(axes: Axes, values: Array, ticks: Array, levels: Sequence[str] | None) -> None:
    """The map of one column, with a bar of its numbers or of the names of its levels."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    figure = axes.figure
    if levels is None:
        picture = axes.pcolormesh(*ticks, values, shading="nearest", cmap=SEQUENTIAL)
        bar = figure.colorbar(picture, ax=axes, shrink=0.8)
        bar.ax.tick_params(labelsize=7)
        write_numbers(bar.ax.yaxis)
        return
    levels, (values,) = frequent_levels(levels, values)
    count = len(levels)
    colors = ListedColormap(PALETTE[:count]) if count <= len(PALETTE) else SEQUENTIAL
    edges = BoundaryNorm(np.arange(count + 1) - 0.5, 256 if colors == SEQUENTIAL else count)
    picture = axes.pcolormesh(*ticks, values, shading="nearest", cmap=colors, norm=edges)
    bar = figure.colorbar(picture, ax=axes, shrink=0.8)
    named = range(count) if count <= UPRIGHT_NAMES else (0, count - 1)
    bar.set_ticks(list(named), labels=distinct([levels[code] for code in named], 10))
    bar.ax.tick_params(labelsize=6, length=0)
    bar.ax.minorticks_off()
