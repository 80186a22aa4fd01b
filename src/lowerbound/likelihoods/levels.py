"""Integers with a known number of levels, such as the 256 grey values of a picture.

In model units the level k is x = k / (levels - 1) in [0, 1]. The probability mass is over the codes
k.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lowerbound.errors import DataError, OptionError
from lowerbound.likelihoods.base import Likelihood

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema


class LevelsLikelihood(Likelihood):
    """A probability mass over the levels 0 .. levels - 1 of each feature.

    Args:
        event_shape: shape of a row.
        levels: number of levels of a feature; ``from_schema`` uses that of the schema.
    """

    mass = True

    def __init__(self, event_shape: tuple[int, ...], *, levels: int = 256) -> None:
        super().__init__(event_shape)
        if levels < 2:
            raise OptionError(f"levels must be at least 2, not {levels}")
        self.levels = levels

    @classmethod
    def from_schema(cls, schema: Schema, options: Mapping[str, Any]) -> Likelihood:
        """Build the likelihood over the schema's levels.

        Raises:
            DataError: the data are real numbers, which have no levels.
        """
        if schema.levels is None and "levels" not in options:
            raise DataError(
                f"the {cls.__name__} likelihood is for integers with a known number of levels, "
                "such as uint8 pictures, but this data has real numbers; choose another, such as "
                "'gaussian', or pass the integers themselves"
            )
        levels = 2 if schema.binary else schema.levels  # the model sees binarized values as bits
        return super().from_schema(schema, {"levels": levels, **options})

    def check(self, x: Tensor) -> None:
        code = x.double() * (self.levels - 1)
        whole = (code - torch.round(code)).abs() < 0.01  # float32 error of 65536 levels: 0.004
        if not bool((whole & (x >= 0) & (x <= 1)).all()):
            raise DataError(
                f"the {type(self).__name__} likelihood takes {self.levels} equally spaced levels "
                "only, and the data has values between or outside them; choose 'gaussian' or "
                "'continuous_bernoulli', or set levels to the number the data has"
            )


def scale_floor(share: float, levels: int) -> float:
    """The smallest scale in model units, from a fraction of the distance between two levels.

    Raises:
        OptionError: the fraction is not positive.
    """
    if share <= 0:
        raise OptionError(f"floor must be positive, not {share}")
    return share / (levels - 1)


def to_code(x: Tensor, levels: int) -> Tensor:
    """Convert model units in [0, 1] to codes 0 .. levels - 1, integers of floating-point type."""
    return torch.round(x * (levels - 1)).clamp(0, levels - 1)


def from_code(code: Tensor, levels: int) -> Tensor:
    """Convert codes 0 .. levels - 1 to model units in [0, 1]."""
    return code / (levels - 1)
