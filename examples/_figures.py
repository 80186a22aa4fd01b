"""Plotting for the examples: a common style, and small files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler

BLUE, ORANGE, GREEN, GREY = "#2f6db3", "#d9722b", "#3b8f5a", "#8a8a8a"

plt.rcParams.update(
    {
        "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, GREY]),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "figure.constrained_layout.use": True,
        "font.size": 9,
        "legend.frameon": False,
        "savefig.dpi": 110,
    }
)


def quick(description: str | None) -> bool:
    """Whether ``--quick`` is set: fewer rows and updates, the same steps."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="do less, in seconds")
    return bool(parser.parse_args().quick)


def save(figure: Any, name: str, colors: int = 256) -> None:
    """Write the picture into the current folder, in few colors to make the file smaller."""
    from PIL import Image

    path = Path(name)
    figure.savefig(path)
    plt.close(figure)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(colors, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    print(f"picture: {name}")


def sheet(pictures: Any, across: int) -> np.ndarray[Any, Any]:
    """Pictures as one, ``across`` per line, with one pixel between them.

    Args:
        pictures: grey, (count, height, width), or in color, (count, height, width, 3).
        across: pictures per line.
    """
    pictures = np.asarray(pictures, dtype=float)
    count, height, width, *colors = pictures.shape
    down = -(-count // across)
    padded = np.full((down * across, height + 1, width + 1, *colors), np.nan)
    padded[:count, :height, :width] = pictures
    rows = padded.reshape(down, across, height + 1, width + 1, *colors).swapaxes(1, 2)
    return rows.reshape(down * (height + 1), across * (width + 1), *colors)[:-1, :-1]


def show_sheet(axes: Any, pictures: Any, across: int, title: str = "", top: float = 16.0) -> None:
    """Draw a sheet of pictures, ink dark on white; values from 0 to ``top``."""
    axes.imshow(sheet(pictures, across), cmap="gray_r", vmin=0, vmax=top, interpolation="nearest")
    axes.set_title(title)
    axes.axis("off")


def show_colors(axes: Any, pictures: Any, across: int, title: str = "") -> None:
    """Draw a sheet of pictures in color, values from 0 to 255."""
    whole = np.nan_to_num(sheet(pictures, across), nan=255)
    axes.imshow(whole.clip(0, 255).astype(np.uint8), interpolation="nearest")
    axes.set_title(title)
    axes.axis("off")
