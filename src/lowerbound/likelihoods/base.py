"""p(x | z): the decoder's answer, parameters of an explicit distribution over the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.classical.self_masking import AT_RANDOM
from lowerbound.config import construct
from lowerbound.errors import OptionError, UnsupportedError, unknown
from lowerbound.registry import Registry
from lowerbound.trace import Emission

if TYPE_CHECKING:  # names for annotations: numpy and pandas need not wait for them
    from lowerbound.data.schema import Schema
    from lowerbound.likelihoods.self_masked import Curves

SCALE_MODES = ("fixed", "global", "feature")


class Likelihood(nn.Module, ABC):
    """Turns the decoder's numbers into p(x | z), and says how many it takes.

    Attributes:
        by_columns: whether every column of a table has a distribution of its own kind.
        mass: True for a probability mass (bits per dimension make sense), False for a density.
        missingness: how cells come to be missing, one of
            ``lowerbound.classical.self_masking.MISSINGNESS``.
        curves: that explain missing cells by what they hold; None where they are missing at random.
    """

    by_columns: ClassVar[bool] = False
    mass: bool
    missingness: str = AT_RANDOM

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.curves: Curves | None = None

    @classmethod
    def from_schema(cls, schema: Schema, options: Mapping[str, Any]) -> Likelihood:
        """The likelihood of this family that fits the data's schema."""
        built: Likelihood = construct(cls, schema.event_shape, options=options)
        return built

    @property
    def numbers(self) -> int:
        """Parameters per feature."""
        return 1

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Shape of the parameters per row: the channel (or feature) axis times ``numbers``."""
        return (self.numbers * self.event_shape[0], *self.event_shape[1:])

    @abstractmethod
    def forward(self, parameters: Tensor) -> Emission:
        """p(x | z) from the decoder's numbers, (samples, batch, *parameter_shape)."""

    def explain_missing(self, missingness: str) -> None:
        """Model that cells are missing because of what they hold, from now on.

        Args:
            missingness: one of ``lowerbound.classical.self_masking.DIRECTIONS``.

        Raises:
            UnsupportedError: this likelihood has no such form; the message names those that have.
        """
        able = [
            name
            for name in LIKELIHOODS
            if LIKELIHOODS[name].explain_missing is not Likelihood.explain_missing
        ]
        raise UnsupportedError(
            f"{type(self).__name__} cannot model cells that are missing because of their "
            f"values; likelihoods that can: {', '.join(able)}"
        )

    def check(self, x: Tensor) -> None:
        """Raise DataError where data in model units, (rows, *event), lies outside the support."""

    def initialize(self, x: Tensor) -> None:
        """Set own parameters, such as a learned scale, from training data in model units."""

    def initial_bias(self, x: Tensor) -> Tensor | None:
        """Numbers, (*parameter_shape,), with which p(x | z) starts as the data's marginal."""
        return None

    def split(self, parameters: Tensor) -> tuple[Tensor, ...]:
        """The parameters, one kind each, (samples, batch, *event), at least float32."""
        parameters = at_least_float32(parameters)
        # chunking into one would cost a copy on the way back
        return parameters.chunk(self.numbers, 2) if self.numbers > 1 else (parameters,)


def at_least_float32(parameters: Tensor) -> Tensor:
    """bf16 ends where probability begins."""
    return parameters.float() if parameters.dtype == torch.bfloat16 else parameters


class LearnedScale(nn.Module):
    r"""sigma > 0 with a floor: sigma = floor + softplus(raw).

    The floor stops the density of a perfectly reconstructed feature from growing without bound.

    Args:
        mode: "fixed" keeps ``start``; "global" learns one number; "feature" one per feature.
        event_shape: shape of a row.
        start: where sigma starts.
        floor: the smallest sigma that can be learned, in model units.

    Raises:
        OptionError: an unknown mode, or a start or floor that is not positive.
    """

    def __init__(
        self, mode: str, event_shape: tuple[int, ...], start: float = 1.0, floor: float = 1e-3
    ) -> None:
        super().__init__()
        if mode not in SCALE_MODES:
            raise unknown("scale", mode, SCALE_MODES)
        if start <= 0 or floor <= 0:
            raise OptionError(f"scale and floor must be positive, not {start} and {floor}")
        self.mode = mode
        self.floor = floor
        self.start = start
        shape = event_shape if mode == "feature" else (1,) * len(event_shape)
        raw = raw_scale(torch.full(shape, start), floor)
        self.raw = nn.Parameter(raw, requires_grad=mode != "fixed")

    def forward(self) -> Tensor:
        if self.mode == "fixed":
            return torch.full_like(self.raw, self.start)
        return positive_scale(self.raw, self.floor)

    @torch.no_grad()
    def set(self, sigma: Tensor) -> None:
        """Start from ``sigma``, one per feature (their root mean square where one is learned)."""
        if self.mode == "fixed":
            return
        if self.mode == "global":
            sigma = sigma.square().mean().sqrt()
        self.raw.copy_(raw_scale(sigma, self.floor).expand_as(self.raw))


def positive_scale(raw: Tensor, floor: float | Tensor) -> Tensor:
    """A scale from any number, at least ``floor``: exponential below 1, linear above, never inf."""
    return floor + F.softplus(raw)


def raw_scale(sigma: Tensor, floor: float | Tensor) -> Tensor:
    """The number that ``positive_scale`` turns into ``sigma``; a hair above the floor if below."""
    excess = (sigma - floor).clamp_min(1e-3 * floor)
    return excess + torch.log(-torch.expm1(-excess))


LIKELIHOODS: Registry[type[Likelihood]] = Registry("likelihood")


class LocationScale(Likelihood):
    r"""p(x | z) = prod_j f((x_j - loc_j(z)) / sigma_j) / sigma_j.

    The decoder owes the location; the scale is a parameter of the likelihood. (A scale that the
    decoder gives per cell grows sharp without bound on cells it can copy.)

    Args:
        event_shape: shape of a row.
        scale: "fixed", "global" (one is learned: Rybkin et al. 2021) or "feature" (one each).
        tau: the scale where fixed, where it starts otherwise; model units.
        floor: the smallest scale that can be learned, model units.
    """

    mass = False

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        scale: Literal["fixed", "global", "feature"] = "global",
        tau: float = 1.0,
        floor: float = 1e-3,
    ) -> None:
        super().__init__(event_shape)
        self.scale = LearnedScale(scale, self.event_shape, tau, floor)

    def initial_bias(self, x: Tensor) -> Tensor:
        """The mean of each feature."""
        return x.float().mean(0)
