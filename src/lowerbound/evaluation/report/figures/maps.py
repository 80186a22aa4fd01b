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

ELLIPSES = 16
MOST_DOTS = 4000
LEGEND_CLASSES = 20


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
    for axes, shown in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps, strict=True):
        _map(axes, shown, label, class_names)
    if label is not None:
        _legend(figure, class_names_of(class_names, label))
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


def _map(axes: Axes, shown: LatentMap, label: Array | None, names: Sequence[str]) -> None:
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
    if label is not None:
        _name_classes(axes, dots, classes, class_names_of(names, label))
    axes.set_aspect("equal", adjustable="datalim")


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


def _name_classes(axes: Axes, dots: Array, classes: Array, names: Sequence[str]) -> None:
    """Write each class at the middle of its dots, so that it does not depend on color alone."""
    for index in np.unique(classes[classes >= 0])[:LEGEND_CLASSES]:
        x, y = np.median(dots[classes == index], axis=0)
        axes.annotate(
            names[index],
            (x, y),
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold",
            color=INK,
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75},
        )


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
