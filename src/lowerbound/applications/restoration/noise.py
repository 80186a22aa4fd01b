"""The noise model of rows, given or estimated, and the rows without noise."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real

import numpy as np
import torch

from lowerbound.data.arrays import Array, check_numbers
from lowerbound.data.audio.clips import SIXTEEN_BIT
from lowerbound.data.dataset import Dataset
from lowerbound.data.noisy import noise_in_units
from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted
from lowerbound.inference.passes import Progress
from lowerbound.inference.restoration.denoising import learned_level
from lowerbound.likelihoods.noisy import NoiseModel

FULL_SCALE = 1.0  # the largest amplitude of sound


def known_noise(schema: Schema, level: float, outliers: float = 0.0) -> NoiseModel:
    """The noise model for a standard deviation in the data's own units.

    Args:
        schema: of the rows without noise.
        level: the standard deviation.
        outliers: share of the pixels that are uniform between black and white.

    Raises:
        OptionError: a number is invalid, or outliers are set for data other than pictures.
        DataError: a column is not modeled in units that are proportional to its own.
    """
    number = isinstance(level, Real) and not isinstance(level, bool)
    if not (number and np.isfinite(level) and level >= 0):
        raise OptionError(f"the noise is a standard deviation, 0 or more, not {level}")
    if schema.data_kind.amplitudes and level > FULL_SCALE:
        raise OptionError(
            f"the noise of sound is a standard deviation of amplitudes, which lie between -1 and "
            f"1, not {level:g}: a noise in 16-bit units is divided by {SIXTEEN_BIT}, which is "
            f"here {level / SIXTEEN_BIT:.3g}"
        )
    if not 0 <= outliers < 1:
        raise OptionError(f"outliers are a share of the cells, 0 to below 1, not {outliers:g}")
    if outliers and not schema.data_kind.pictures:
        raise OptionError("outliers are drawn from black to white, which only pictures have")
    return NoiseModel(noise_in_units(schema, level), outliers)


def found_noise(
    fitted: Fitted,
    dataset: Dataset,
    level: float | None,
    outliers: float = 0.0,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[float, NoiseModel]:
    """(standard deviation in the data's own units, noise model); ``level`` None: estimated.

    Raises:
        OptionError, DataError: as for ``known_noise``, or the level cannot be estimated.
    """
    if level is not None:
        return level, known_noise(fitted.schema, level, outliers)
    one = known_noise(fitted.schema, 1.0, outliers)
    found = learned_level(fitted.model, dataset, one, seed=seed, progress=progress)
    return found, replace(one, scale=one.scale * found)


def without_noise(
    schema: Schema, x: torch.Tensor, given: Array, level: float, outliers: float = 0.0
) -> Array:
    """Rows in model units, (..., rows, *event), in the user's units and layout.

    If the level is zero and there are no outliers, observed cells equal the given ones bit for bit.
    """
    check_numbers(x)
    values: Array = schema.decode(x, rounded=False)
    return values if level or outliers else np.where(np.isnan(given), values, given)
