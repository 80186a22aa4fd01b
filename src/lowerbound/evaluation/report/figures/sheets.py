"""Sheets of samples side by side, and the predicted classes of the samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.report.figures.style import (
    MUTED,
    bare,
    color_of,
    grid_shape,
    legend,
    mosaic,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Sheet:
    """Pictures under a heading.

    Attributes:
        title: title of the pictures.
        pictures: (count, C, H, W) in [0, 1].
        note: one line below the title; empty for none.
    """

    title: str
    pictures: Array
    note: str = ""


def sample_sheets(sheets: Sequence[Sheet], title: str) -> Figure:
    """The sheets side by side, each nearly square."""
    figure = new_figure(3.1 * len(sheets) + 0.2, 4.0, title)
    for axes, sheet in zip(figure.subplots(1, len(sheets), squeeze=False)[0], sheets, strict=True):
        columns = math.ceil(math.sqrt(len(sheet.pictures)))
        bare(axes).imshow(mosaic(sheet.pictures, columns), interpolation="nearest")
        axes.set_title(sheet.title, loc="left", fontsize=10, pad=16 if sheet.note else 6)
        axes.text(0, 1.015, sheet.note, transform=axes.transAxes, fontsize=8, color=MUTED)
    return figure


def picture_strip(pictures: Array, columns: int, title: str) -> Figure:
    """Pictures in lines of ``columns``."""
    rows, columns = grid_shape(len(pictures), columns)
    height, width = pictures.shape[-2:]
    figure = new_figure(9, 0.5 + 8.8 * rows * height / (columns * width), title)
    bare(figure.subplots()).imshow(mosaic(pictures, columns), interpolation="nearest")
    return figure


def class_shares(shares: Mapping[str, Sequence[float]], names: Sequence[str]) -> Figure:
    """Share of each class among accepted samples, one group of bars per class.

    Args:
        shares: by model, one share per class.
        names: names of the classes.
    """
    figure = new_figure(9, 3.2, "Predicted classes of the accepted samples")
    axes = style(figure.subplots(), "", "class", "share of accepted samples", grid=True)
    width = 0.8 / max(len(shares), 1)
    for index, (model, values) in enumerate(shares.items()):
        place = np.arange(len(values)) + (index - (len(shares) - 1) / 2) * width
        axes.bar(place, values, width * 0.92, label=model, color=color_of(index))
    axes.axhline(1 / max(len(names), 1), color=MUTED, linewidth=0.8, linestyle="--")
    axes.set_ylim(0, 1.25 * max((max(values) for values in shares.values()), default=1.0))
    axes.set_xticks(np.arange(len(names)), names)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_formatter("{x:.0%}")
    legend(axes, loc="upper right", ncols=len(shares))
    return figure
