"""Figures of rows: beside their reconstructions, with the uncertainty of each value; sheets.

A sheet has samples side by side, with their predicted classes. Vectors of many features are
profiles, curves over the features. Axes of columns have the names of levels, dates instead of
seconds, and large numbers in short.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.report.cells import minus
from lowerbound.evaluation.report.figure_style import (
    INK,
    MUTED,
    SEQUENTIAL,
    bare,
    color_of,
    distinct,
    grid_shape,
    legend,
    mosaic,
    new_figure,
    shared_legend,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

MOST_LEVELS = 20  # that a figure shows; the others are one
LEVEL_NAMES, UPRIGHT_NAMES = 5, 12  # levels that are named across, or else upright
ACROSS, UPRIGHT = 8, 12  # characters of a name
DATES, NUMBERS = 3, 4  # steps between ticks
LARGE = 10_000.0  # span of an axis whose numbers are written with k, M, G
DAY = 86_400.0  # seconds
PARTS = ((3 * 365 * DAY, "Y"), (90 * DAY, "M"), (3 * DAY, "D"), (0.0, "m"))
"""Span of an axis in seconds, and the smallest part of a date that its ticks have."""
CURVES = 30  # rows of a profile
MARGIN = 0.08  # at each side, as a share of a cell of the manifold
MOST_PANELS = 12  # pictures or columns of a figure
LETTER = 0.09  # width of a letter of names and titles, inches


def frequent_levels(
    levels: Sequence[str], codes: Array, *others: Array
) -> tuple[Sequence[str], list[Array]]:
    """The levels that a figure shows, and the codes of them: of many levels the most frequent ones
    in their order, and all others as one.

    Args:
        levels: names by code.
        codes: by which levels are frequent, without NaN.
        others: further ones, as the figure shows.
    """
    if len(levels) <= MOST_LEVELS + 1:
        return levels, [codes, *others]
    whole = [np.rint(each).astype(np.int64).clip(0, len(levels) - 1) for each in (codes, *others)]
    counts = np.bincount(whole[0].ravel(), minlength=len(levels))
    kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_LEVELS])
    place = np.full(len(levels), MOST_LEVELS)
    place[kept] = np.arange(MOST_LEVELS)
    names = [*(levels[code] for code in kept), f"{len(levels) - MOST_LEVELS} others"]
    return names, [place[each].astype(np.float64) for each in whole]


def name_levels(axes: Axes, levels: Sequence[str], total: int = 0) -> None:
    """Name each code on the x-axis; of many levels, the first and the last.

    Args:
        axes: of the levels.
        levels: their names; of ``frequent_levels``, the last is all others.
        total: number of all levels; 0: those.
    """
    axes.tick_params(axis="x", labelsize=6, length=0)
    if len(levels) <= UPRIGHT_NAMES:
        upright = len(levels) > LEVEL_NAMES
        shown = distinct(levels, UPRIGHT if upright else ACROSS)
        axes.set_xticks(range(len(levels)), shown, rotation=90 if upright else 0)
        return
    axes.set_xticks([])
    first, last = distinct([levels[0], levels[-1]])
    words = f"{first} to {last}, {len(levels)} levels"
    if total > len(levels):
        words = f"the {MOST_LEVELS} most frequent levels, and {levels[-1]}"
    axes.set_xlabel(words, fontsize=6)


def write_numbers(axis: Axis) -> None:
    """Few ticks; numbers over a span of ``LARGE`` or more are written as 100k, 2M."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(MaxNLocator(NUMBERS, steps=[1, 2, 2.5, 5, 10]))
    if high - low >= max(LARGE, 0.01 * max(abs(low), abs(high))):
        axis.set_major_formatter(EngFormatter(sep=""))


def write_dates(axis: Axis) -> None:
    """Write seconds since 1970 as dates."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    low, high = axis.get_view_interval()
    part = next(part for span, part in PARTS if high - low >= span)

    def written(value: float, _: object) -> str:
        date = np.datetime64(round(value), "s")
        text = np.datetime_as_string(date, unit=part)  # type: ignore[call-overload]
        return str(text).replace("T", " ")

    axis.set_major_locator(MaxNLocator(DATES))
    axis.set_major_formatter(FuncFormatter(written))


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


def picture_reconstructions(x: Array, mean: Array, deviation: Array, name: str = "") -> Figure:
    """Three lines: the rows, their reconstruction, its standard deviation.

    Args:
        x, mean, deviation: (rows, C, H, W); x and mean in [0, 1].
        name: name of the model.
    """
    grey = deviation.mean(1)
    highest = float(grey.max()) or 1.0
    # (rows, H, W) in [0, 1] as colors, (rows, 3, H, W)
    values = grey / highest
    from matplotlib import colormaps

    colors: Array = np.moveaxis(colormaps[SEQUENTIAL](values)[..., :3], -1, 1)
    heat = colors
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
