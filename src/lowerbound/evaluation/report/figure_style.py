"""One style for all figures, with colors that color-blind readers can distinguish."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from lowerbound.data.arrays import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
"""Ten colors chosen for color-vision deficiencies (Petroff 2021)."""

INK = "#22262b"
MUTED = "#6b7280"
HAIRLINE = "#d9dde3"
SEQUENTIAL = "cividis"
DIVERGING = "PuOr"
DPI = 160
SMALL = 16  # pixels a side
BELOW = -0.2  # of the height of a panel: under the label of its x axis


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """An empty figure of this size in inches, with its title at the top left."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure


def style(axes: Axes, title: str = "", x: str = "", y: str = "", grid: bool = False) -> Axes:
    """Plain axes: no box, thin lines, title at the left."""
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(x, fontsize=9, color=MUTED)
    axes.set_ylabel(y, fontsize=9, color=MUTED)
    axes.tick_params(labelsize=8, colors=MUTED, length=3, width=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(HAIRLINE)
    if grid:
        axes.grid(color=HAIRLINE, linewidth=0.5)
        axes.set_axisbelow(True)
    return axes


def bare(axes: Axes, title: str = "") -> Axes:
    """Axes for a picture, with only a title."""
    axes.set_axis_off()
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    return axes


def legend(axes: Axes, **options: Any) -> None:
    """A legend without a box."""
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, **options)


def legend_below(axes: Axes, lines: Sequence[Any] = (), names: Sequence[str] = ()) -> None:
    """A legend under the label of the x axis, where it covers no curve.

    Args:
        axes: the panel.
        lines: their ``names`` are shown; of all lines of the panel if there are none.
        names: of the lines.
    """
    given = {"handles": lines, "labels": names} if lines else {}
    legend(axes, loc="upper center", bbox_to_anchor=(0.5, BELOW), ncols=3, **given)


def shared_legend(figure: Figure, axes: Axes) -> None:
    """The legend of one panel, placed below all of them."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=min(len(names), 6),
        frameon=False,
        fontsize=8,
        labelcolor=INK,
    )


def short(name: str, most: int = 20) -> str:
    """Shorten a name so that it fits above a small panel."""
    return name if len(name) <= most else name[: most - 1] + "…"


def distinct(names: Sequence[str], most: int = 20) -> list[str]:
    """Shorten names so that they still differ: those that begin alike lose their middle."""
    shown = [short(name, most) for name in names]
    alike: dict[str, set[str]] = {}
    for name, text in zip(names, shown, strict=True):
        alike.setdefault(text, set()).add(name)
    return [
        _from_difference(name, alike[text], most) if len(alike[text]) > 1 else text
        for name, text in zip(names, shown, strict=True)
    ]


def _from_difference(name: str, others: set[str], most: int) -> str:
    """The start of a name, and its part from where it differs from the others."""
    head = most // 3
    room = most - head - 1
    while True:
        same = takewhile(lambda characters: len(set(characters)) == 1, zip(*others, strict=False))
        begin = len(list(same))
        part = name[begin : begin + room]
        others = {each for each in others if each[begin : begin + room] == part}
        if len(others) <= 1:  # the name itself
            return f"{name[:head]}…{part}"


def color_of(index: int) -> str:
    """The color of class or series ``index``; they repeat after ten."""
    return PALETTE[index % len(PALETTE)]


def grid_shape(count: int, columns: int) -> tuple[int, int]:
    """Rows and columns that hold ``count`` panels."""
    columns = max(1, min(columns, count))
    return math.ceil(count / columns), columns


def mosaic(pictures: Array, columns: int, gap: float = 0.1) -> Array:
    """Pictures side by side, (height, width, 3), white between them; small ones are enlarged.

    Args:
        pictures: (count, C, H, W) in [0, 1].
        columns: pictures in a line.
        gap: width of the white lines as a share of a picture's.
    """
    pictures = enlarged(pictures)
    count, _, height, width = pictures.shape
    rows, columns = grid_shape(count, columns)
    gap = max(1, round(gap * width))
    sheet = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3))
    for index, picture in enumerate(pictures):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = as_color(picture)
    return sheet


def enlarged(pictures: Array) -> Array:
    """Enlarge small pictures four times, with smoothing, because blocks hide the shape."""
    from scipy.ndimage import zoom

    if max(pictures.shape[-2:]) >= SMALL:
        return pictures
    larger: Array = zoom(pictures, (1, 1, 4, 4), order=3, mode="nearest", grid_mode=True)
    return larger


def as_color(picture: Array) -> Array:
    """(C, H, W) in [0, 1] as (H, W, 3); grey is repeated, a fourth channel is dropped."""
    shown = np.clip(np.nan_to_num(np.moveaxis(picture, 0, -1)), 0, 1)
    return np.repeat(shown[..., :1], 3, -1) if shown.shape[-1] < 3 else shown[..., :3]


def to_png(figure: Figure) -> bytes:
    """The figure as PNG bytes; names of columns and classes are text, also with dollar signs."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def class_names_of(names: Sequence[str], label: Array) -> list[str]:
    """A name for each class index that may occur in ``label``."""
    highest = int(label.max(initial=-1))
    return [names[i] if i < len(names) else str(i) for i in range(max(highest + 1, len(names)))]
