"""Probabilistic PCA: the linear-Gaussian variational autoencoder, solved in closed form."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal
from torch.nn import Parameter

from lowerbound.classical.principal_components import principal_components
from lowerbound.classical.self_masking import AT_RANDOM
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.errors import DataError, OptionError
from lowerbound.likelihoods.gaussian_emission import GaussianEmission
from lowerbound.models.base import DRAW, MODELS, Model
from lowerbound.trace import Batch, Choose, Emission, Step, Trace

if TYPE_CHECKING:  # names for annotations
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts

SCALES = (1e-140, 1e140)  # of the largest value, so that squares of values fit into float64
COMPLETE = "pca needs every cell: fill the missing values, or fit a vae"


@MODELS.register("pca")
class ProbabilisticPrincipalComponents(Model):
    r"""z ~ N(0, I), x | z ~ N(W z + mu, sigma^2 I), solved in closed form.

    .. math::
        W = U (\Lambda - \sigma^2 I)^{1/2}, \quad
        \sigma^2 = \frac{1}{D - d} \sum_{j > d} \lambda_j

    with the d leading eigenvectors U and eigenvalues Lambda of the covariance (divisor N). The
    marginal likelihood and the posterior are exact, so the bound is tight: every importance weight
    equals log p(x). Source: Tipping & Bishop 1999.

    Args:
        event_shape: shape of a row.
        latent_dim: d, less than the number of features D.
    """

    title: ClassVar[str] = "PCA"
    uses: ClassVar[tuple[str, ...]] = ()
    remark: ClassVar[str] = "Gaussian throughout, solved in closed form"
    numbers_only: ClassVar[bool] = True
    weight: Tensor
    offset: Tensor
    variance: Tensor

    def __init__(self, event_shape: tuple[int, ...], latent_dim: int) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.latent_dim = latent_dim
        features = math.prod(self.event_shape)
        self.register_buffer("weight", torch.zeros(features, latent_dim, dtype=torch.float64))
        self.register_buffer("offset", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("variance", torch.ones((), dtype=torch.float64))

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        if options.conditional:
            raise OptionError("pca cannot be conditioned on the class: choose vae or autoencoder")
        if not schema.gaussian:
            raise OptionError(
                "pca is for columns of real numbers, and this table has others: read it with "
                "kinds='real', or fit a vae"
            )

    @classmethod
    def rival_options(cls, dataset: Dataset, options: ModelOptions) -> ModelOptions | None:
        most = dataset.schema.dimension - 1
        if most < 1 or not dataset.schema.gaussian or dataset.observed is not None:
            return None
        units = min(options.latent_dim or most, most)
        return replace(options, latent_dim=units, conditional=False, missingness=AT_RANDOM)

    @classmethod
    def build(cls, parts: ModelParts) -> ProbabilisticPrincipalComponents:
        return cls(parts.schema.event_shape, parts.latent_dim)

    def start(self, dataset: Dataset) -> None:
        """Fit the maximum-likelihood solution."""
        refuse_holes(dataset.observed)
        self.fit(dataset.all().filled)

    @torch.no_grad()
    def fit(self, x: Tensor, floor: float = 1e-8) -> ProbabilisticPrincipalComponents:
        """Set W, mu and sigma^2 to their maximum-likelihood values.

        Args:
            x: training data in model units, (rows, *event).
            floor: the smallest sigma^2, so that data in a subspace have a finite density.

        Raises:
            DataError: fewer than two rows, or no more features than latent dimensions.
        """
        rows = x.flatten(1).to(torch.float64)
        count, features = rows.shape
        if count < 2:
            raise DataError(f"PCA needs at least 2 rows, and the data has {count}")
        if self.latent_dim >= features:
            raise DataError(
                f"PCA needs latent_dim below the number of features, and {self.latent_dim} is not "
                f"below {features}"
            )
        largest = float(rows.abs().max())
        if largest and not SCALES[0] < largest < SCALES[1]:
            raise DataError(
                f"the largest value is {largest:.3g}, and squares of such numbers do not fit into "
                "64 bits: multiply the data by a number"
            )
        found = principal_components(rows, self.latent_dim)
        self.offset.copy_(found.mean)
        self.variance.copy_(found.rest.clamp_min(floor))
        self.weight.zero_()
        self.weight[:, : len(found.variances)] = found.weight(self.variance)
        return self

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        if batch.x is None:
            return self.imagine(batch, choose)
        posterior, prior = self.encode(batch), self.prior_distribution()
        z = choose(0, posterior, prior)
        return Trace((Step(z, posterior, prior),), self.decode(z))

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass without data."""
        prior = self.prior_distribution().expand(torch.Size((1, len(batch))))
        z = choose(0, None, prior)
        return Trace((Step(z, None, prior),), self.decode(z))

    def encode(self, batch: Batch) -> Distribution:
        """The exact posterior N(M^-1 W^T (x - mu), sigma^2 M^-1), M = W^T W + sigma^2 I."""
        refuse_holes(batch.observed)
        rows = batch.filled.flatten(1)
        weight, offset, variance = self._as(rows.dtype)
        identity = torch.eye(self.latent_dim, dtype=rows.dtype, device=rows.device)
        precision = weight.T @ weight + variance * identity
        factor = torch.linalg.cholesky(precision)
        loc = torch.cholesky_solve(weight.T @ (rows - offset).T, factor).T
        covariance = variance * torch.cholesky_inverse(factor)
        return MultivariateNormal(loc.unsqueeze(0), covariance, validate_args=False)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """N(W z + mu, sigma^2 I) for z (samples, batch, latent_dim)."""
        weight, offset, variance = self._as(z.dtype)
        loc = (z @ weight.T + offset).unflatten(-1, self.event_shape)
        return GaussianEmission(loc, variance.sqrt().expand((1,) * len(self.event_shape)))

    def prior_distribution(self) -> Distribution:
        """N(0, I), batch shape (1, 1)."""
        zeros = self.weight.new_zeros(1, 1, self.latent_dim)
        return diagonal_normal(zeros, torch.ones_like(zeros))

    def log_marginal(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Exact log p(x) = log N(x; mu, W W^T + sigma^2 I) in nats, (rows,), in model units."""
        refuse_holes(observed)
        rows = x.flatten(1).to(torch.float64)
        exact: Tensor = MultivariateNormal(self.offset, self.covariance()).log_prob(rows)
        return exact

    def covariance(self) -> Tensor:
        """W W^T + sigma^2 I, (features, features), in squared model units."""
        noise = self.variance * torch.eye(len(self.weight)).to(self.weight)
        return self.weight @ self.weight.T + noise

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        return {"inference": [], "generative": []}

    def _as(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        return self.weight.to(dtype), self.offset.to(dtype), self.variance.to(dtype)


def refuse_holes(observed: Tensor | None) -> None:
    """Raise DataError if a cell is missing."""
    if observed is not None and not bool(observed.all()):
        raise DataError(COMPLETE)
