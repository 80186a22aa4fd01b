"""What each latent unit tells of each known factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lowerbound.evaluation.report.figures.style import (
    MUTED,
    SEQUENTIAL,
    Array,
    new_figure,
    short,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WRITTEN = 20  # units at most whose cells carry their number


def factor_matrix(information: Array, names: Sequence[str], name: str = "") -> Figure:
    """Factors down, units across, brighter where the unit tells more.

    Args:
        information: share of the factor's entropy, (latent_dim, factors).
        names: of the factors.
        name: of the model.
    """
    units, factors = information.shape
    title = "What each unit tells of each known factor" + (f": {name}" if name else "")
    figure = new_figure(max(5.0, min(11.0, 1.6 + 0.5 * units)), 1.3 + 0.38 * factors, title)
    axes = style(figure.subplots(), "", "latent unit")
    image = axes.imshow(information.T, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(range(factors), [short(factor) for factor in names])
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
