"""Latent maps: each row is a dot at its code, colored by class; one map per model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.report.figures.style import (
    HAIRLINE,
    INK,
    MUTED,
    class_names_of,
    color_of,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

ELLIPSES = 16
MOST_DOTS = 4000
LEGEND_CLASSES = 20
OUTLINE = 3.0  # points of white around a name, which hide fewer dots than a box
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
        _separate(axes, each)
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


def _separate(axes: Axes, names: Sequence[Annotation]) -> None:
    """Move names that would cover others, with a line to their place; hide those without room."""
    taken: list[Bbox] = []
    for name in names:
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
