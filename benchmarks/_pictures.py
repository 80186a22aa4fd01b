"""Figures of the docs, in few colors: a fraction of the size."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLORS = 64


def keep(canvas: Figure, name: str, dpi: int = 110) -> None:
    """Write it to ``docs/images`` and close it."""
    path = IMAGES / name
    canvas.savefig(path, dpi=dpi)
    plt.close(canvas)
    with Image.open(path) as drawn:
        small = drawn.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
