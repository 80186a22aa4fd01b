r"""Sharpness of pictures: the variance of their Laplacian, samples divided by data.

.. math:: (\Delta x)_{ij} = x_{i+1,j} + x_{i-1,j} + x_{i,j+1} + x_{i,j-1} - 4 x_{ij}

Below 1 samples are blurred, above 1 they have noise that the data does not have. Source:
Pech-Pacheco et al. 2000.
"""

from __future__ import annotations

import math

from torch import Tensor

from lowerbound.errors import DataError
from lowerbound.inference.estimate import Estimate

LEAST_SIDE = 3


def laplacian_variance(pictures: Tensor) -> Tensor:
    """Variance of each picture's Laplacian, the mean over its channels, (rows,).

    Args:
        pictures: (rows, C, H, W); the border is left out, because neighbors are missing.

    Raises:
        DataError: no pictures, or fewer than 3 pixels a side.
    """
    if pictures.ndim != 4 or min(pictures.shape[-2:]) < LEAST_SIDE:
        raise DataError(
            f"sharpness is for pictures of at least {LEAST_SIDE} pixels a side, not for rows of "
            f"shape {tuple(pictures.shape[1:])}"
        )
    x = pictures.double()
    around = x[..., 2:, 1:-1] + x[..., :-2, 1:-1] + x[..., 1:-1, 2:] + x[..., 1:-1, :-2]
    laplacian = around - 4 * x[..., 1:-1, 1:-1]
    variance: Tensor = laplacian.flatten(2).var(2, correction=0).mean(1)
    return variance


def sharpness_ratio(real: Tensor, samples: Tensor) -> Estimate:
    """Mean Laplacian variance of samples divided by that of real pictures, with its standard error.

    Raises:
        DataError: as ``laplacian_variance``, or the real pictures are all flat.
    """
    ours, theirs = laplacian_variance(samples), laplacian_variance(real)
    if not float(theirs.mean()) > 0:
        raise DataError("the real pictures are flat, so there is no sharpness to compare with")
    ratio = float(ours.mean() / theirs.mean())
    if min(len(ours), len(theirs)) < 2:
        return Estimate(ratio, None)
    # error of a ratio of independent means, to first order
    parts = [float(rows.var() / len(rows)) / float(theirs.mean()) ** 2 for rows in (ours, theirs)]
    return Estimate(ratio, math.sqrt(parts[0] + ratio**2 * parts[1]))
