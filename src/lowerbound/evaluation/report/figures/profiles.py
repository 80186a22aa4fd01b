"""Vectors of many features as profiles, that is, curves over the features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.report.cells import minus
from lowerbound.evaluation.report.figures.style import color_of, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = 30
MARGIN = 0.08  # at each side, as a share of a cell of the manifold


def sampled_profiles(real: Array, samples: Mapping[str, Array]) -> Figure:
    """Some rows of the data, then as many samples of each model, one panel each.

    Args:
        real: (rows, features) in the data's own units.
        samples: by model, (count, features).
    """
    panels = {"held-out rows": real, **samples}
    figure = new_figure(3.1 * len(panels) + 0.3, 3.0, "Rows and samples as profiles")
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (name, values) in zip(grid, panels.items(), strict=True):
        style(axes, name, "feature")
        color = "#5d6673" if values is real else color_of(list(samples).index(name))
        axes.plot(values[:CURVES].T, color=color, linewidth=0.7, alpha=0.5)
    return figure


def decoded_profiles(values: Array, ticks: Array, axis_names: tuple[str, str]) -> Figure:
    """The decoded profile in each cell of the grid over two latent dimensions, on one scale.

    Args:
        values: (up, right, features) in the data's own units.
        ticks: the latents' values along the two axes, (2, right).
        axis_names: names of the two latent dimensions.
    """
    up, right, features = values.shape
    low, high = values.min(), values.max()
    inside = MARGIN + (1 - 2 * MARGIN) * (values - low) / max(high - low, 1e-300)
    along = np.linspace(MARGIN, 1 - MARGIN, features)
    figure = new_figure(6.6, 6.6, "What the latent space decodes to")
    axes = style(figure.subplots(), "", *axis_names)
    for row in range(up):
        for column in range(right):
            axes.plot(along + column, inside[row, column] + row, color=color_of(0), linewidth=0.9)
    axes.set_xticks(np.arange(right) + 0.5, [minus(tick, 1) for tick in ticks[0]])
    axes.set_yticks(np.arange(up) + 0.5, [minus(tick, 1) for tick in ticks[1]])
    axes.set_xlim(0, right)
    axes.set_ylim(0, up)
    axes.tick_params(length=0)
    return figure
