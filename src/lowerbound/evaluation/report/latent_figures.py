"""Figures of the latent space: maps of codes, the decoded manifold, and latent units.

In a map each row is a dot at its code, colored by class; there is one map per model. The manifold
is decoded points of a grid over two latent dimensions. A unit has a rate, and information on each
known factor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.report.cells import minus
from lowerbound.evaluation.report.figure_style import (
    HAIRLINE,
    INK,
    MUTED,
    PALETTE,
    SEQUENTIAL,
    class_names_of,
    color_of,
    distinct,
    grid_shape,
    mosaic,
    new_figure,
    style,
)
from lowerbound.evaluation.report.row_figures import UPRIGHT_NAMES, frequent_levels, write_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

MOST_FEATURES = 12
ELLIPSES = 16
MOST_DOTS = 4000
LEGEND_CLASSES = 20
OUTLINE = 3.0  # points of white around a name, which hide fewer dots than a box


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


_OFFSETS = [
    (distance * np.cos(angle), distance * np.sin(angle))
    for distance in (0, 14, 28, 42)  # points
    for angle in np.linspace(0.5, 2.5, 8, endpoint=False) * np.pi
]


@dataclass(frozen=True)
class LatentMap:
    """One model's codes.

    Attributes:
        name: name of the model.
        mean: E_q[z] of each row, (rows, latent_dim).
        deviation: standard deviations of q(z | x), (rows, latent_dim); zeros: no ellipses.
    """

    name: str
    mean: Array
    deviation: Array


def latent_maps(
    maps: Sequence[LatentMap], label: Array | None = None, class_names: Sequence[str] = ()
) -> Figure:
    """Maps side by side; more than two dimensions are projected on their principal plane.

    Ellipses show one standard deviation of q(z | x) of a few rows.

    Args:
        maps: one per model, of the same rows.
        label: class indices, (rows,), -1 if unknown.
        class_names: names of the indices.
    """
    figure = new_figure(4.4 * len(maps), 4.9, "Where the rows lie in the latent space")
    names = [] if label is None else class_names_of(class_names, label)
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    written = [_map(axes, each, label, names) for axes, each in zip(panels, maps, strict=True)]
    if names:
        _legend(figure, names)
        figure.draw_without_rendering()  # it decides where the names are
    for axes, each in zip(panels, written, strict=True):
        # move names that would cover others, with a line to their place; hide those without room
        taken: list[Bbox] = []
        for name in each:
            for offset in _OFFSETS:
                name.set_position(offset)
                box = name.get_window_extent().padded(2)
                if not any(box.overlaps(other) for other in taken):
                    taken.append(box)
                    break
            else:
                name.set_visible(False)
            if name.get_visible() and any(offset):
                line = {"arrowstyle": "-", "color": INK, "linewidth": 0.6}
                axes.annotate("", name.xy, offset, textcoords="offset points", arrowprops=line)
    return figure


def principal_plane(mean: Array) -> tuple[Array, float]:
    """The plane of largest spread, (latent_dim, 2), and its share of the variance."""
    if mean.shape[1] <= 2:
        return np.eye(mean.shape[1], 2), 1.0
    _, singular, directions = np.linalg.svd(mean - mean.mean(0), full_matrices=False)
    energy = singular**2
    plane = np.zeros((2, mean.shape[1]))  # a single row has one direction
    plane[: len(directions[:2])] = directions[:2]
    return plane.T, float(energy[:2].sum() / max(energy.sum(), 1e-300))


def _map(
    axes: Axes, shown: LatentMap, label: Array | None, names: Sequence[str]
) -> list[Annotation]:
    """Draw one map; the names of its classes."""
    plane, share = principal_plane(shown.mean)
    dims = shown.mean.shape[1]
    direction = "principal direction " if dims > 2 else "z"
    subtitle = f"{shown.name}, {dims} dimensions" if dims > 2 else shown.name
    style(axes, subtitle, f"{direction}1", f"{direction}2" if dims > 1 else "")
    if dims > 2:
        axes.set_xlabel(f"principal direction 1 (both: {share:.0%} of the variance)")
    rows = np.linspace(0, len(shown.mean) - 1, min(len(shown.mean), MOST_DOTS)).astype(int)
    dots = (shown.mean @ plane)[rows]
    classes = np.zeros(len(rows), int) if label is None else label[rows]
    colors = [color_of(i) if i >= 0 else HAIRLINE for i in classes]
    axes.scatter(dots[:, 0], dots[:, 1], c=colors, s=7, alpha=0.75, linewidths=0, rasterized=True)
    _ellipses(axes, dots, shown.deviation[rows], plane, colors)
    axes.set_aspect("equal", adjustable="datalim")
    return [] if label is None else _name_classes(axes, dots, classes, names)


def _ellipses(
    axes: Axes, dots: Array, deviation: Array, plane: Array, colors: Sequence[str]
) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Ellipse

    if not deviation.any():
        return
    for row in np.linspace(0, len(dots) - 1, min(ELLIPSES, len(dots))).astype(int):
        covariance = plane.T @ np.diag(deviation[row] ** 2) @ plane
        values, vectors = np.linalg.eigh(covariance)
        width, height = 2 * np.sqrt(np.maximum(values, 0))
        angle = np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0]))
        cloud = Ellipse(dots[row], width, height, angle=angle, edgecolor=INK, linewidth=0.6)
        cloud.set_facecolor((*to_rgb(colors[row]), 0.25))
        axes.add_patch(cloud)


def _name_classes(
    axes: Axes, dots: Array, classes: Array, names: Sequence[str]
) -> list[Annotation]:
    """Write each class at the middle of its dots, so that it does not depend on color alone."""
    from matplotlib.patheffects import withStroke

    return [
        axes.annotate(
            names[index],
            np.median(dots[classes == index], axis=0),
            (0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold",
            color=INK,
            path_effects=[withStroke(linewidth=OUTLINE, foreground="white")],
            zorder=4,
        )
        for index in np.unique(classes[classes >= 0])[:LEGEND_CLASSES]
    ]


def _legend(figure: Figure, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    if len(names) > LEGEND_CLASSES:
        return
    dots = [
        Line2D([], [], marker="o", linestyle="", markersize=5, color=color_of(i))
        for i in range(len(names))
    ]
    figure.legend(
        dots,
        names,
        loc="outside lower center",
        ncols=min(len(names), 10),
        frameon=False,
        fontsize=8,
        labelcolor=MUTED,
        handletextpad=0.2,
        columnspacing=1.2,
    )
