"""The base classes of likelihoods p(x | z), whose parameters the decoder returns.

With them: the marginal log-likelihood of each column, in nats per cell, and the density of Gaussian
error N(x_j; mu_j(z), sigma_j^2), feature by feature.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound import parts
from lowerbound.config import construct
from lowerbound.data.dataset import Dataset
from lowerbound.data.incomplete import hot_deck
from lowerbound.errors import OptionError, UnsupportedError, unknown
from lowerbound.parts import AT_RANDOM
from lowerbound.registry import Registry
from lowerbound.trace import Emission

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema
    from lowerbound.likelihoods.location_scale import Curves

START_ROWS = 10_000  # most training rows from which a model starts
NORMAL_DEVIATION = (math.pi / 2) ** 0.5  # standard over mean absolute deviation of a Gaussian
SCALE_MODES = ("fixed", "global", "feature")
CHUNK = 256  # rows
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class Likelihood(nn.Module, ABC):
    """Maps the decoder's output to p(x | z), and defines the size of that output.

    Attributes:
        by_columns: whether every column of a table has a distribution of its own kind.
        draws_as_rows: whether its draws have the shares of values, and if requested the missing
            cells, of training rows; draws of others are corrected.
        columns_in_turn: whether columns are drawn one after another, and so explain each other.
        start_rows: most rows that ``initialize`` reads.
        mass: True for a probability mass (with bits per dimension), False for a density.
        missingness: the assumption about missing cells, one of
            ``lowerbound.classical.self_masking.MISSINGNESS``.
        curves: probability that a cell is missing given its value; None: missing at random.
    """

    by_columns: ClassVar[bool] = False
    draws_as_rows: ClassVar[bool] = False
    columns_in_turn: ClassVar[bool] = False
    start_rows: ClassVar[int] = START_ROWS
    mass: bool
    missingness: str = AT_RANDOM

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.curves: Curves | None = None

    @classmethod
    def from_schema(cls, schema: Schema, options: Mapping[str, Any]) -> Likelihood:
        """Build the likelihood of this family for a schema."""
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
        """p(x | z) from the decoder's output, (samples, batch, *parameter_shape)."""

    def explain_missing(self, missingness: str) -> None:
        """Model the probability that a cell is missing as a function of its value.

        Args:
            missingness: one of ``lowerbound.classical.self_masking.DIRECTIONS``.

        Raises:
            UnsupportedError: this likelihood does not support it; the message names others.
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
        """Raise DataError if data in model units, (rows, *event), lies outside the support."""

    def initialize(self, x: Tensor) -> None:
        """Set learned parameters, such as a scale, from training data in model units."""

    def initialize_missing(self, missing: Tensor) -> None:
        """Set what is learned about missing cells from their mask in training data."""

    def initial_bias(self, x: Tensor) -> Tensor | None:
        """The bias, (*parameter_shape,), with which p(x | z) starts as the data's marginal."""
        return None

    @property
    def starts_by_itself(self) -> bool:
        """Whether its parts explain each other from the start, so that it takes no linear path."""
        return False

    def linear_start(
        self, mean: Tensor, weight: Tensor, deviation: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """Parameters, linear in z, of a p(x | z) whose location is ``weight`` z + ``mean``.

        Args:
            mean: (*event,).
            weight: (channels, h, w, d), possibly of another resolution than the event.
            deviation: mean absolute difference of rows from that location, (*event,).

        Returns:
            Weights, (parameter channels, h, w, d), and bias, (*parameter_shape,); None: the
            likelihood has no location.
        """
        return None

    def split(self, parameters: Tensor) -> tuple[Tensor, ...]:
        """The parameters by kind, each (samples, batch, *event), at least float32."""
        parameters = at_least_float32(parameters)
        # a chunk of one part would cost a copy in the backward pass
        return parameters.chunk(self.numbers, 2) if self.numbers > 1 else (parameters,)


def at_least_float32(parameters: Tensor) -> Tensor:
    """Convert bf16 to float32, because probabilities need its precision."""
    return parameters.float() if parameters.dtype == torch.bfloat16 else parameters


class LearnedScale(nn.Module):
    r"""sigma > 0 with a floor: sigma = floor + softplus(raw).

    The floor stops the density of a perfectly reconstructed feature from growing without bound.

    Args:
        mode: "fixed" keeps ``start``; "global" learns one number; "feature" one per feature.
        event_shape: shape of a row.
        start: initial sigma.
        floor: the smallest sigma that can be learned, in model units.

    Raises:
        OptionError: the mode is unknown, or start or floor is not positive.
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
        """Set the initial sigma, one per feature; a global scale uses their root mean square."""
        if self.mode == "fixed":
            return
        if self.mode == "global":
            sigma = sigma.square().mean().sqrt()
        self.raw.copy_(raw_scale(sigma, self.floor).expand_as(self.raw))


def positive_scale(raw: Tensor, floor: float | Tensor) -> Tensor:
    """Map a real number to a finite scale above ``floor``, exponential below 1, linear above."""
    return floor + F.softplus(raw)


def raw_scale(sigma: Tensor, floor: float | Tensor) -> Tensor:
    """The inverse of ``positive_scale``; a sigma below the floor is set slightly above it."""
    excess = (sigma - floor).clamp_min(1e-3 * floor)
    return excess + torch.log(-torch.expm1(-excess))


LIKELIHOODS: Registry[type[Likelihood]] = parts.LIKELIHOODS


class LocationScale(Likelihood):
    r"""p(x | z) = prod_j f((x_j - loc_j(z)) / sigma_j) / sigma_j.

    The decoder returns the location, and the scale is a parameter of the likelihood. (A scale per
    cell from the decoder would shrink without limit on cells that the decoder can copy.)

    Args:
        event_shape: shape of a row.
        scale: "fixed", "global" (one is learned: Rybkin et al. 2021) or "feature" (one each).
        tau: the scale if fixed, else its initial value; model units.
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

    def linear_start(
        self, mean: Tensor, weight: Tensor, deviation: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        self.scale.set(NORMAL_DEVIATION * deviation)
        return weight, mean


@torch.no_grad()
def marginal_terms(likelihood: Likelihood, training: Dataset, dataset: Dataset) -> Tensor:
    """log p_j(x_j) of each cell, (rows, *event) float64, in model units; zero where hidden.

    p_j is of the family of the column's likelihood.

    Args:
        likelihood: of a fitted model; it is not changed.
        training: the rows that p_j is fitted to.
        dataset: the rows that are scored.

    Raises:
        UnsupportedError: the likelihood has no marginal of a column.
    """
    alone, x = copy.deepcopy(likelihood).cpu().double(), hot_deck(training.all()).double()
    if x.shape[1:] != alone.event_shape:
        raise UnsupportedError("the likelihood is of a part of a row, not of a row")
    alone.initialize(x)
    bias = alone.initial_bias(x)
    if bias is None:
        raise UnsupportedError("the likelihood has no marginal of a column")
    found = []
    for rows in torch.arange(len(dataset)).split(CHUNK):
        batch = dataset.batch(rows)
        parameters = bias.double().expand(1, len(rows), *bias.shape)
        terms = alone(parameters).terms(batch.filled.double(), batch.observed)[0]
        found.append(terms if batch.observed is None else terms * batch.observed)
    return torch.cat(found)


def marginal_nats(likelihood: Likelihood, dataset: Dataset) -> Tensor:
    """Mean log p_j(x_j) of each column's observed cells, (*event,) float64, in model units.

    p_j is fitted to the same rows.

    Raises:
        UnsupportedError: the likelihood has no marginal of a column.
    """
    counts = dataset.mask.double().sum(0).clamp_min(1)
    return marginal_terms(likelihood, dataset, dataset).sum(0) / counts


class GaussianEmission(Emission):
    r"""log N(x; mu, sigma^2) = -((x - mu) / sigma)^2 / 2 - log sigma - log(2 pi) / 2, per feature.

    Args:
        loc: mu, (samples, batch, *event).
        scale: sigma, broadcastable to a row: one number, or one per feature.
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape[:2], loc.shape[2:], validate_args=False)

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        if observed is not None or self.scale.dim() > len(self.event_shape):
            return super().log_prob(x, observed)
        # constants are summed once per event instead of once per cell
        constants = (torch.log(self.scale) + HALF_LOG_TWO_PI).expand(self.event_shape).sum()
        squares = ((x - self.loc) / self.scale).square().flatten(2).sum(-1)
        return -0.5 * squares - constants

    def _terms(self, x: Tensor) -> Tensor:
        standardized = (x - self.loc) / self.scale
        return -0.5 * standardized.square() - (torch.log(self.scale) + HALF_LOG_TWO_PI)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square().expand_as(self.loc)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        shape = sample_shape + self.loc.shape
        eps = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.scale * eps
