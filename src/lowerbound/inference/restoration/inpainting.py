r"""Hidden pixels of photographs, with a denoiser in place of a prior.

.. math::
    y_k = x_k + \sigma_k \varepsilon_k, \qquad
    x_{k+1} = E[x \mid y_k, \sigma_k] \text{ where hidden, the given pixels elsewhere}, \quad
    \sigma_k \downarrow

The hidden pixels start as a harmonic function of the pixels around them: each is the mean of its
neighbors. The noise makes :math:`y_k` an input that the denoiser knows; without it, repeated passes
drift away in large holes. The result is the mean over a few draws of the noise, so it is close to a
posterior mean.

Sources: Wang et al. 2023, "Zero-shot image restoration using denoising diffusion null-space model";
Kadkhodaie and Simoncelli 2021, "Stochastic solutions for linear inverse problems using the prior
implicit in a denoiser".
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array, diags_array, eye_array, kron
from scipy.sparse.linalg import spsolve

from lowerbound.data.arrays import Array
from lowerbound.inference.restoration.picture_tiles import clean_picture
from lowerbound.models.picture_denoiser import PictureDenoiser

STEPS, DRAWS = 8, 4
FIRST, LAST = 40 / 255, 5 / 255  # levels, which fall geometrically


def inpainted(model: PictureDenoiser, picture: Array, hidden: Array, seed: int = 0) -> Array:
    """The picture with its hidden pixels filled; the others are unchanged.

    Args:
        model: the denoiser.
        picture: (height, width, 1 or 3), 0 black, 1 white.
        hidden: (height, width), True where hidden; some pixels must be seen.
        seed: of the noise.
    """
    start, total = harmonic(picture, hidden), np.zeros(picture.shape)
    rng = np.random.default_rng(seed)
    for _ in range(DRAWS):
        x = start
        for level in np.geomspace(FIRST, LAST, STEPS):
            noisy = x + level * rng.normal(size=x.shape)
            found = clean_picture(model, noisy, float(level), passes=1)
            x = np.where(hidden[..., None], found.mean, picture)
        total += x / DRAWS
    return np.where(hidden[..., None], total, picture)


def harmonic(picture: Array, hidden: Array) -> Array:
    """The picture with each hidden pixel equal to the mean of its neighbors."""
    if not hidden.any():
        return picture
    height, width = hidden.shape
    differences = csr_array(
        kron(_second_differences(height), eye_array(width))
        + kron(eye_array(height), _second_differences(width))
    )
    unknown = hidden.ravel()
    filled = picture.reshape(height * width, -1).copy()
    rows = differences[unknown]
    filled[unknown] = spsolve(
        rows[:, unknown].tocsc(), -(rows[:, ~unknown] @ filled[~unknown])
    ).reshape(-1, filled.shape[1])
    return filled.reshape(picture.shape)


def _second_differences(length: int) -> diags_array:
    """Of a line without a neighbor beyond its ends, (length, length)."""
    along = np.ones(length - 1)
    own = -np.r_[along, 0] - np.r_[0, along]
    return diags_array([along, own, along], offsets=[-1, 0, 1])
