"""What a linear-Gaussian model is given of a column: numbers that say what its values say.

A feature is computed from model units and standardized over the training data to mean 0 and
standard deviation 1. The decoder starts from factor analysis of the features: each says how steeply
a number that the decoder owes for the column begins to rise with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

LEAST_NOISE = 1e-3  # variance of a feature that is a real number
STEEPEST = 3.0  # slope of a rare level's logit per standard deviation of its indicator


@dataclass(frozen=True)
class Feature:
    """One number of a column; unless a class says otherwise, the model unit over ``parameter``.

    Class attributes:
        stage: features of an encoder stand in this order, and those of one stage are computed in
            one piece, all columns at once, wherever they share ``values``.
        measured: whether it is a real number whose mean the decoder owes, noise beside it.
        explains_missing: whether a cell may be missing because of it.

    Attributes:
        parameter: of ``values``.
        number: which of the decoder's numbers for the column begins with it.
        owed: how many of those there have to be for that; None: any.
        least_noise: the smallest noise variance that factor analysis may find, standardized. An
            indicator with slope w in z tells w^2 / psi of z if it is taken for a Gaussian, and w^2
            if the level's logit has the slope w / s that it is given here (Fisher's information of
            a Bernoulli variable). Taken for more, a few columns of many levels drown what hangs
            together.
    """

    stage: ClassVar[int] = 0
    measured: ClassVar[bool] = False
    explains_missing: ClassVar[bool] = False
    parameter: float = 1.0
    number: int = 0
    owed: int | None = None
    least_noise: float = 1.0

    @staticmethod
    def values(x: Tensor, parameter: Tensor) -> Tensor:
        """Of model units, (rows, features), and the features' parameters, (features,)."""
        return x / parameter

    @staticmethod
    def present(x: Tensor) -> Tensor:
        """Whether there is a value, of model units."""
        return torch.ones_like(x, dtype=torch.bool)

    def slope(self, weight: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Of the decoder's number in z, where the standardized feature has the slope ``weight``.

        Args:
            weight: (latent,).
            shift, scale: what standardized the feature.
        """
        return scale * weight


@dataclass(frozen=True)
class Value(Feature):
    """A continuous value as it is."""

    measured = True
    explains_missing = True
    least_noise: float = LEAST_NOISE


@dataclass(frozen=True)
class Indicator(Feature):
    """0 or 1, whose logit the decoder owes."""

    def slope(self, weight: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return weight * (1 / scale).clamp_max(STEEPEST)
