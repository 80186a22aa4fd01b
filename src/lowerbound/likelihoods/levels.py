"""Whole numbers on a known number of levels, such as the 256 greys of a picture.

In model units the level k of ``levels`` is x = k / (levels - 1) in [0, 1]; the code k is what the
probability mass is about.
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
        levels: how many levels a feature has; the schema says it where the data knows.
    """

    mass = True

    def __init__(self, event_shape: tuple[int, ...], *, levels: int = 256) -> None:
        super().__init__(event_shape)
        if levels < 2:
            raise OptionError(f"levels must be at least 2, not {levels}")
        self.levels = levels

    @classmethod
    def from_schema(cls, schema: Schema, options: Mapping[str, Any]) -> Likelihood:
        """The likelihood over the schema's levels.

        Raises:
            DataError: the data are real numbers, which have no levels.
        """
        if schema.levels is None and "levels" not in options:
            raise DataError(
                f"the {cls.__name__} likelihood is for whole numbers on a known number of levels, "
                "such as uint8 pictures, and this data are real numbers; choose another, such as "
                "'gaussian', or pass the integers themselves"
            )
        levels = 2 if schema.binary else schema.levels  # binarized greys reach the model as bits
        return super().from_schema(schema, {"levels": levels, **options})

    def check(self, x: Tensor) -> None:
        code = x.double() * (self.levels - 1)
        whole = (code - torch.round(code)).abs() < 0.01  # float32 keeps 65536 levels to 0.004
        if not bool((whole & (x >= 0) & (x <= 1)).all()):
            raise DataError(
                f"the {type(self).__name__} likelihood takes {self.levels} equally spaced levels "
                "only, and the data has values between or outside them; choose 'gaussian' or "
                "'continuous_bernoulli', or set levels to the number the data has"
            )


def scale_floor(share: float, levels: int) -> float:
    """The smallest scale in model units, from its share of the distance between two levels.

    Raises:
        OptionError: the share is not positive.
    """
    if share <= 0:
        raise OptionError(f"floor must be positive, not {share}")
    return share / (levels - 1)


def to_code(x: Tensor, levels: int) -> Tensor:
    """Model units in [0, 1] to codes 0 .. levels - 1, whole but still floating point."""
    return torch.round(x * (levels - 1)).clamp(0, levels - 1)


def from_code(code: Tensor, levels: int) -> Tensor:
    """Codes 0 .. levels - 1 to model units in [0, 1]."""
    return code / (levels - 1)
