"""What a linear-Gaussian model is given of a column: numbers that say what its values say.

A feature is computed from model units by a transform, and standardized over the training data to
mean 0 and standard deviation 1. The decoder starts from factor analysis of the features: each says
how steeply a number that the decoder owes for the column begins to rise with the feature.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

LEAST_NOISE = 1e-3  # variance of a feature that is a real number
STEEPEST = 3.0  # slope of a rare level's logit per standard deviation of its indicator


@dataclass(frozen=True, eq=False)
class Transform:
    """How features of one sort are computed, all columns in one piece.

    Attributes:
        order: where they stand among an encoder's features.
        values: of model units, (rows, features), and the features' parameters, (features,).
        present: where the feature has a value, of model units; None: wherever the cell has.
    """

    order: int
    values: Callable[[Tensor, Tensor], Tensor]
    present: Callable[[Tensor], Tensor] | None = None


SCALED = Transform(0, lambda x, span: x / span)


@dataclass(frozen=True)
class Feature(ABC):
    """One number of a column.

    Class attributes:
        transform: by which it is computed.
        measured: whether it is a real number whose mean the decoder owes, noise beside it.
        explains_missing: whether a cell may be missing because of it.

    Attributes:
        parameter: of the transform.
        number: which of the decoder's numbers for the column begins with it.
        owed: how many of those there have to be for that; None: any.
    """

    transform: ClassVar[Transform] = SCALED
    measured: ClassVar[bool] = False
    explains_missing: ClassVar[bool] = False
    parameter: float = 1.0
    number: int = 0
    owed: int | None = None

    @property
    def least_noise(self) -> float:
        """The smallest noise variance that factor analysis may find, standardized.

        An indicator with slope w in z tells w^2 / psi of z if it is taken for a Gaussian, and w^2
        if the level's logit has the slope w / s that it is given here (Fisher's information of a
        Bernoulli variable). Taken for more, a few columns of many levels drown what hangs together.
        """
        return 1.0

    @abstractmethod
    def slope(self, weight: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Of the decoder's number in z, where the standardized feature has the slope ``weight``.

        Args:
            weight: (latent,).
            shift, scale: what standardized the feature.
        """


@dataclass(frozen=True)
class Value(Feature):
    """A continuous value as it is."""

    measured = True
    explains_missing = True

    @property
    def least_noise(self) -> float:
        return LEAST_NOISE

    def slope(self, weight: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return scale * weight


@dataclass(frozen=True)
class Indicator(Feature):
    """0 or 1, whose logit the decoder owes."""

    def slope(self, weight: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return weight * (1 / scale).clamp_max(STEEPEST)
