"""Heat maps of anomalous pictures, beside their reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from lowerbound.applications.io.drawings.grids import grid
from lowerbound.applications.io.files import replacing
from lowerbound.data.arrays import Array
from lowerbound.data.pictures.pixels import eight_bit

COLORS = "magma"
LEAST_SIDE = 112  # pixels; smaller pictures are enlarged


def write_heat_maps(
    path: Path, pictures: Tensor, rebuilt: Tensor, nats: Tensor, names: Sequence[str]
) -> tuple[str, ...]:
    """Write one sheet with a line for each picture: picture, reconstruction, excess nats.

    Args:
        path: of a .png.
        pictures, rebuilt: (rows, C, H, W) in [0, 1].
        nats: (rows, H, W) above the average of normal rows; all lines share one color scale.
        names: a label for each line.
    """
    lines = list(
        zip(_colored(eight_bit(pictures)), _colored(eight_bit(rebuilt)), heat(nats), strict=True)
    )
    sheet = grid(lines, ("picture", "rebuilt", "odd"), names, least_side=LEAST_SIDE)
    with replacing(path) as place:
        sheet.save(place, format="PNG")
    return (str(path),)


def heat(nats: Tensor) -> Array:
    """(rows, H, W) as colors, (rows, H, W, 3) uint8: dark is usual, bright is most anomalous."""
    from matplotlib import colormaps

    values = nats.double().numpy()
    # torch's quantile takes at most 16 million values
    highest = max(float(np.quantile(values, 0.999)), 1e-12)
    share = np.clip(values / highest, 0, 1)
    colors: Array = np.rint(colormaps[COLORS](share)[..., :3] * 255).astype(np.uint8)
    return colors


def _colored(pictures: Array) -> Array:
    """(rows, H, W, C) as RGB, so that all lines of a sheet have the same channels."""
    return pictures[..., :3] if pictures.shape[-1] >= 3 else pictures[..., :1].repeat(3, -1)
