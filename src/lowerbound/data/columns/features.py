"""Features of columns: the numeric inputs of a linear-Gaussian model.

A feature is computed from model units and standardized over the training data to mean 0 and
standard deviation 1. The decoder's initial weights are those of a factor analysis of the features.
Each feature defines the initial slope of one output of the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

LEAST_NOISE = 1e-3  # smallest noise variance of a real feature
STEEPEST = 3.0  # largest slope of a rare level's logit per standard deviation of its indicator


@dataclass(frozen=True)
class Feature:
    """One number computed from a column; by default the model unit divided by ``parameter``.

    Class attributes:
        stage: order of the features in an encoder; features of one stage that share ``values`` are
            computed together for all columns.
        measured: whether it is a real number with noise, whose mean the decoder returns.
        explains_missing: whether the probability that a cell is missing may depend on it.

    Attributes:
        parameter: of ``values``.
        number: index of the decoder's output for the column that starts with this slope.
        owed: number of outputs that the column must have for this; None: any.
        least_noise: lower limit of the standardized noise variance psi in factor analysis. An
            indicator with slope w in z has the Fisher information w^2 / psi about z as a Gaussian,
            and w^2 as a Bernoulli variable whose logit has the slope w / s. With a smaller limit,
            a few columns of many levels would dominate the correlated columns.
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
        """The features, of model units (rows, features) and parameters (features,)."""
        return x / parameter

    @staticmethod
    def present(x: Tensor) -> Tensor:
        """Whether the feature has a value, from model units."""
        return torch.ones_like(x, dtype=torch.bool)

    def slope(self, weight: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """The slope in z of the decoder's output.

        Args:
            weight: (latent,), the slope of the standardized feature.
            shift, scale: of the standardization.
        """
        return scale * weight


@dataclass(frozen=True)
class Value(Feature):
    """A continuous value, unchanged."""

    measured = True
    explains_missing = True
    least_noise: float = LEAST_NOISE


@dataclass(frozen=True)
class Indicator(Feature):
    """0 or 1; the decoder returns its logit."""

    def slope(self, weight: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return weight * (1 / scale).clamp_max(STEEPEST)
