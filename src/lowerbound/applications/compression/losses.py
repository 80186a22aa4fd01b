r"""Loss of a lossy file.

.. math:: \text{PSNR} = 10 \log_{10} \frac{255^2}{\text{mean squared error of a picture's levels}}
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.pictures.pixels import eight_bit

LINES = 256  # of a picture
MOST = 99.0  # dB: value for a picture without error


@dataclass(frozen=True)
class Loss:
    """Difference between rows and their decompressed version.

    Attributes:
        psnr: mean PSNR over pictures on the scale 0 to 255, dB; None if rows are no pictures.
        kept: share of the variance that is kept; 1 without loss.
    """

    psnr: float | None
    kept: float

    def text(self) -> str:
        if self.psnr is not None:
            return f"PSNR {self.psnr:.2f} dB"
        return f"{self.kept:.2%} of the variance kept"


def loss_of(x: Tensor, back: Tensor, pictures: bool) -> Loss:
    """The loss of rows (rows, *event) in model units."""
    error = (x - back).double().square().mean()
    spread = (x - x.mean(0)).double().square().mean()
    kept = 1.0 - float(error / spread) if spread > 0 else float(error == 0)
    return Loss(mean_psnr(eight_bit(x), eight_bit(back)) if pictures else None, kept)


def mean_psnr(pictures: Array, back: Array) -> float:
    """Mean PSNR of pictures (rows, H, W, C) uint8 over rows, dB."""
    return float(psnr(pictures, back).mean())


def psnr(pictures: Array, back: Array) -> Array:
    """PSNR of each of the pictures (rows, H, W, C) uint8, dB."""
    errors = np.array([_squared_error(*pair) for pair in zip(pictures, back, strict=True)])
    return _in_decibels(errors)


def psnr_of_parts(parts: Iterable[tuple[Array, Array]]) -> float:
    """PSNR of parts of a picture together, dB; each a part, (H, W, C) uint8, before and after."""
    total, numbers = 0.0, 0
    for before, after in parts:
        total += before.size * _squared_error(before, after)
        numbers += before.size
    return float(_in_decibels(np.array(total / numbers)))


def _in_decibels(errors: Array) -> Array:
    """PSNR of mean squared errors of levels, at most ``MOST``."""
    found: Array = 10 * np.log10(255.0**2 / errors.clip(255.0**2 / 10 ** (MOST / 10)))
    return found


def _squared_error(picture: Array, back: Array) -> float:
    """The mean squared difference of the levels; some lines at once, for the memory's sake."""
    total = 0
    for top in range(0, len(picture), LINES):
        lines = slice(top, top + LINES)
        total += int(np.square(picture[lines].astype(np.int64) - back[lines]).sum())
    return total / picture.size
