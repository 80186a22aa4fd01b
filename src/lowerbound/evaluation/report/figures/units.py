"""Rate of each latent unit, and its information on each known factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.report.figures.style import (
    HAIRLINE,
    MUTED,
    SEQUENTIAL,
    color_of,
    distinct,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def unit_bars(rate: Array, active: Array, name: str = "") -> Figure:
    """Rate of each unit in nats, in descending order; inactive units are grey.

    Args:
        rate: mean KL of each unit, (latent_dim,).
        active: which units are active, (latent_dim,).
        name: name of the model.
    """
    title = f"{int(active.sum())} of {len(active)} latent units are active"
    figure = new_figure(9, 2.9, title + (f": {name}" if name else ""))
    axes = style(figure.subplots(), "", "latent unit, by descending rate", "rate (nats)", grid=True)
    order = np.argsort(-rate)
    place = np.arange(len(rate))
    colors = [color_of(0) if active[unit] else HAIRLINE for unit in order]
    axes.bar(place, np.maximum(rate[order], 0), 0.8, color=colors, edgecolor=MUTED, linewidth=0.3)
    axes.grid(visible=False, axis="x")
    if len(rate) <= 40:
        axes.set_xticks(place, [f"z{unit + 1}" for unit in order], fontsize=7)
    return figure


WRITTEN = 20  # largest number of units for numbers in the cells


def factor_matrix(information: Array, names: Sequence[str], name: str = "") -> Figure:
    """Factors down, units across; a brighter cell has more information.

    Args:
        information: share of the factor's entropy, (latent_dim, factors).
        names: names of the factors.
        name: name of the model.
    """
    units, factors = information.shape
    title = "Information of each unit on each known factor" + (f": {name}" if name else "")
    figure = new_figure(max(5.0, min(11.0, 1.6 + 0.5 * units)), 1.3 + 0.38 * factors, title)
    axes = style(figure.subplots(), "", "latent unit")
    image = axes.imshow(information.T, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(range(factors), distinct(names))
    if units <= WRITTEN:
        axes.set_xticks(range(units), [f"z{unit + 1}" for unit in range(units)])
        for (unit, factor), value in _cells(information):
            color = "white" if value < 0.5 else "black"
            axes.text(
                unit, factor, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color
            )
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.ax.tick_params(labelsize=8, colors=MUTED)
    return figure


def _cells(information: Array) -> list[tuple[tuple[int, int], float]]:
    units, factors = information.shape
    return [
        ((unit, factor), float(information[unit, factor]))
        for unit in range(units)
        for factor in range(factors)
    ]
