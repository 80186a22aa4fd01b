r"""The level of white noise on a picture, from the picture alone.

Of all patches of a picture, the covariance's smallest eigenvalues are those of directions in which
only noise varies. Without a picture in them, their mean and their median agree; so the largest are
left out, one by one, until they do.

Source: Chen, Zhu and Heng 2015, "An efficient statistical method for image noise level estimation".
"""

from __future__ import annotations

import numpy as np

from lowerbound.data.arrays import Array

PATCH = 8  # pixels of a patch's side
MOST_PATCHES = 100_000
CLIPPED = 2.0  # levels from black or white within which noise may be clipped
FEWEST = 40  # patches for each of their numbers: of fewer, the smallest eigenvalues are too small


def noise_level(picture: Array) -> float:
    """The standard deviation of the noise, as a share of white.

    Patches near black or white, where noise may be clipped, are left out if there are others.

    Args:
        picture: (height, width, colors), 0 black, 1 white; sides of at least 8 pixels.
    """
    windows = np.lib.stride_tricks.sliding_window_view(picture, (PATCH, PATCH), axis=(0, 1))
    step = max(1, round((windows.shape[0] * windows.shape[1] / MOST_PATCHES) ** 0.5))
    chosen = windows[::step, ::step]  # (rows, columns, colors, 8, 8)
    patches = chosen.reshape(-1, chosen.shape[2], PATCH * PATCH).astype(np.float32)
    level, means = _level(patches), patches.mean(2)
    inside = (np.minimum(means, 1 - means) > CLIPPED * level).all(1)
    enough = inside.sum() >= FEWEST * patches[0].size
    return _level(patches[inside]) if enough else level


def _level(patches: Array) -> float:
    """By patches (n, colors, pixels)."""
    rows = patches.reshape(len(patches), -1)
    centered = rows - rows.mean(0)
    values = np.linalg.eigvalsh(centered.T @ centered / len(rows)).clip(0)
    counts = np.arange(1, len(values) + 1)
    means = np.cumsum(values) / counts
    medians = np.array([np.median(values[:count]) for count in counts])
    only_noise = np.flatnonzero(means <= medians)  # the smallest alone always agrees
    return float(np.sqrt(means[only_noise[-1]]))
