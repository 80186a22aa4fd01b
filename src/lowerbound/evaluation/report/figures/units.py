"""How much each latent unit does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lowerbound.evaluation.report.figures.style import (
    HAIRLINE,
    MUTED,
    Array,
    color_of,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def unit_bars(rate: Array, active: Array, name: str = "") -> Figure:
    """Rate of each unit in nats, the busiest first; those that are not active are grey.

    Args:
        rate: mean KL of each unit, (latent_dim,).
        active: which units are active, (latent_dim,).
        name: of the model.
    """
    title = f"{int(active.sum())} of {len(active)} latent units are active"
    figure = new_figure(9, 2.9, title + (f": {name}" if name else ""))
    axes = style(figure.subplots(), "", "latent unit, the busiest first", "rate (nats)", grid=True)
    order = np.argsort(-rate)
    place = np.arange(len(rate))
    colors = [color_of(0) if active[unit] else HAIRLINE for unit in order]
    axes.bar(place, np.maximum(rate[order], 0), 0.8, color=colors, edgecolor=MUTED, linewidth=0.3)
    axes.grid(visible=False, axis="x")
    if len(rate) <= 40:
        axes.set_xticks(place, [f"z{unit + 1}" for unit in order], fontsize=7)
    return figure
