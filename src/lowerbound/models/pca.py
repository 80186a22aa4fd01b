"""Probabilistic PCA: the linear-Gaussian variational autoencoder, solved in closed form.

The exact posterior of a linear model with a mixture of Gaussians as prior.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal
from torch.nn import Parameter

from lowerbound.classical.factor_analysis import PrincipalComponents, principal_components
from lowerbound.classical.mixture_em import LinearMixture, pooled_mixture
from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.gaussian_mixture import FullMixture, members
from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.errors import DataError, OptionError
from lowerbound.likelihoods.base import GaussianEmission
from lowerbound.models.base import DRAW, MODELS, Model
from lowerbound.parts import AT_RANDOM
from lowerbound.trace import Batch, Choose, Emission, Step, Trace

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts


class LinearMixturePosterior(nn.Module):
    """Parameters of p(z | y), row by row; rows with equal gains share matrices.

    It is a module without weights, so that inference measures the memory of its result.
    """

    def forward(
        self, linear: LinearMixture, rows: Tensor, gains: Tensor, group: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Condition each row.

        Args:
            linear: the model.
            rows: y, (rows, features).
            gains: g of each group, (groups, features).
            group: of each row, (rows,).

        Returns:
            log p(y, c), (rows, components), nats; the means, (rows, components, latents); the
            covariances, (groups, components, latents, latents).
        """
        groups = members(group, len(gains))
        parts = [linear.conditioned(rows[own], g) for own, g in zip(groups, gains, strict=True)]
        back = torch.argsort(torch.cat(groups))
        return (
            torch.cat([part.log_joint for part in parts])[back],
            torch.cat([part.loc for part in parts])[back],
            torch.stack([part.covariance for part in parts]),
        )

    def log_evidence(
        self, linear: LinearMixture, rows: Tensor, gains: Tensor, group: Tensor
    ) -> Tensor:
        """log p(y) of the seen cells in nats, (rows,); arguments as for ``forward``."""
        found = torch.empty_like(rows[:, 0])
        for own, gain in zip(members(group, len(gains)), gains, strict=True):
            found[own] = torch.logsumexp(linear.conditioned(rows[own], gain).log_joint, 1)
        return found


SCALES = (1e-140, 1e140)  # of the largest value, so that squares of values fit into float64
COMPLETE = "pca is fitted to complete rows: fill the missing values, or fit a vae"
LEAST_SHARE = 1e-8  # of sigma^2 in the mean variance of the features
LEAST_OF_DOUBLE = 1e-14  # the same of rows in float64
MARGIN = 1.01  # least variance of a component, in sigma^2, so that its share of z is not zero


@dataclass(frozen=True)
class PrincipalComponentsOptions:
    """The distribution of the latent: N(0, I), or a mixture of Gaussians.

    The options besides ``components`` are those of a mixture.
    """

    components: int = option(1, "Gaussians in p(z); 1: z ~ N(0, I)")
    starts: int = option(1, "fits of the mixture from different starts, pooled into one")
    prior_rows: float = option(
        5.0, "rows of the total covariance that are added to those of each Gaussian"
    )
    noise_floor: float = option(
        0.01, "least sigma^2 of a mixture, as a share of the mean variance of the features"
    )

    def __post_init__(self) -> None:
        for name in ("components", "starts"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.prior_rows > 0:
            raise OptionError(f"prior_rows must be above 0, not {self.prior_rows:g}")
        if not 0 < self.noise_floor < 1:
            raise OptionError(f"noise_floor is a share, above 0 and below 1: {self.noise_floor:g}")


@MODELS.register("pca")
class ProbabilisticPrincipalComponents(Model):
    r"""z ~ p(z), x | z ~ N(W z + mu, sigma^2 I), solved in closed form.

    .. math::
        W = U (\Lambda - \sigma^2 I)^{1/2}, \quad
        \sigma^2 = \frac{1}{D - d} \sum_{j > d} \lambda_j

    with the d leading eigenvectors U and eigenvalues Lambda of the covariance (divisor N). By
    default p(z) is N(0, I). With several components it is a mixture of Gaussians,

    .. math:: p(z) = \sum_c \pi_c \, N(z; m_c, S_c)

    fitted by expectation maximization to the rows in the directions U, where component c has the
    covariance C_c = W S_c W^T + sigma^2 I, with hidden z integrated out. The marginal likelihood
    and the posterior are exact, also of rows with hidden cells or with Gaussian noise, so the bound
    is tight: every importance weight equals log p(x).
    Sources: Tipping & Bishop 1999; for mixtures, Fraley & Raftery 2007.

    Args:
        event_shape: shape of a row.
        latent_dim: d, less than the number of features D.
        options: of p(z).
    """

    title: ClassVar[str] = "PCA"
    Options: ClassVar[type[Any]] = PrincipalComponentsOptions
    uses: ClassVar[tuple[str, ...]] = ()
    remark: ClassVar[str] = "Gaussian throughout, solved in closed form"
    numbers_only: ClassVar[bool] = True
    weight: Tensor
    offset: Tensor
    variance: Tensor
    shares: Tensor
    means: Tensor
    covariances: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent_dim: int,
        options: PrincipalComponentsOptions | None = None,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.latent_dim = latent_dim
        self.options = options or PrincipalComponentsOptions()
        self.posterior = LinearMixturePosterior()
        features = math.prod(self.event_shape)
        count = self.options.components * self.options.starts if self.is_mixture else 1
        identity = torch.eye(latent_dim, dtype=torch.float64)
        self.register_buffer("weight", torch.zeros(features, latent_dim, dtype=torch.float64))
        self.register_buffer("offset", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("variance", torch.ones((), dtype=torch.float64))
        mixture = {
            "shares": torch.full((count,), 1 / count, dtype=torch.float64),
            "means": torch.zeros(count, latent_dim, dtype=torch.float64),
            "covariances": identity.repeat(count, 1, 1),
        }
        for name, value in mixture.items():
            self.register_buffer(name, value, persistent=self.is_mixture)

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
        own = parts.own(PrincipalComponentsOptions)
        return cls(parts.schema.event_shape, parts.latent_dim, own)

    @property
    def is_mixture(self) -> bool:
        """Whether p(z) is a mixture."""
        return self.options.components > 1

    def start(self, dataset: Dataset) -> None:
        """Fit the maximum-likelihood solution; of a mixture, the one of highest posterior."""
        refuse_holes(dataset.observed)
        self.fit(dataset.in_memory().all().filled)

    @torch.no_grad()
    def fit(self, x: Tensor, floor: float | None = None) -> ProbabilisticPrincipalComponents:
        """Set W, mu and sigma^2 to their maximum-likelihood values, and fit the mixture.

        The starts of a mixture are drawn from torch's global random state.

        Args:
            x: training data in model units, (rows, *event).
            floor: the smallest sigma^2 as a share of the mean variance of the features, so that
                data in a subspace have a finite density in any unit; None: by the precision of x.

        Raises:
            DataError: fewer than two rows, no more features than latent dimensions, or fewer rows
                than components.
        """
        rows = x.flatten(1).to(torch.float64)
        self._check_rows(rows)
        found = principal_components(rows, self.latent_dim)
        if floor is None:
            floor = LEAST_OF_DOUBLE if x.dtype == torch.float64 else LEAST_SHARE
        if self.is_mixture:
            floor = max(floor, self.options.noise_floor)
        spread = float(rows.var(0, correction=0).mean()) or 1.0  # of constant rows any
        self.offset.copy_(found.mean)
        self.variance.copy_(found.rest.clamp_min(floor * spread))
        self.weight.zero_()
        self.weight[:, : len(found.variances)] = found.weight(self.variance)
        if self.is_mixture:
            self._fit_mixture(rows, found)
        return self

    def _check_rows(self, rows: Tensor) -> None:
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

    def _fit_mixture(self, rows: Tensor, found: PrincipalComponents) -> None:
        """Set p(z); directions of a variance of about sigma^2 or less keep N(0, 1)."""
        used = torch.nonzero(found.variances > MARGIN * self.variance).flatten()
        if not len(used):
            return
        fitted = pooled_mixture(
            (rows - found.mean) @ found.directions[:, used],
            self.options.components,
            self.options.starts,
            prior_rows=self.options.prior_rows,
            least=MARGIN * float(self.variance),
        )
        lengths = self.weight[:, used].norm(dim=0)
        noise = self.variance * torch.eye(len(used)).to(rows)
        self.shares.copy_(fitted.shares)
        self.means[:, used] = fitted.means / lengths
        signal = (fitted.covariances - noise) / torch.outer(lengths, lengths)
        self.covariances[:, used.unsqueeze(1), used] = signal

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
        """The exact posterior of z given the observed cells.

        For p(z) = N(0, I) and complete rows it is N(M^-1 W^T (x - mu), sigma^2 M^-1) with
        M = W^T W + sigma^2 I; see ``classical.linear_mixture`` for the others.
        """
        return self.noisy_posterior(batch, torch.zeros(()))

    def noisy_posterior(self, batch: Batch, variance: Tensor) -> Distribution:
        """The exact p(z | y) of rows y = x + noise, batch shape (1, batch).

        Args:
            batch: the noisy rows, y, of which cells may be hidden.
            variance: of the noise, squared model units, broadcastable to a row.
        """
        rows = batch.filled
        gains, group = self._gains(rows, batch.observed, variance)
        logits, loc, covariance = (
            part.to(rows.dtype)
            for part in self.posterior(self._linear(), rows.flatten(1).double(), gains, group)
        )
        if self.is_mixture:
            return FullMixture(logits, loc, torch.linalg.cholesky(covariance), group)
        shared = covariance[0, 0] if len(gains) == 1 else covariance[group, 0]
        return MultivariateNormal(loc[:, 0].unsqueeze(0), shared, validate_args=False)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """N(W z + mu, sigma^2 I) for z (samples, batch, latent_dim)."""
        weight, offset, variance = self._as(z.dtype)
        loc = (z @ weight.T + offset).unflatten(-1, self.event_shape)
        return GaussianEmission(loc, variance.sqrt().expand((1,) * len(self.event_shape)))

    def prior_distribution(self) -> Distribution:
        """N(0, I), or the mixture; batch shape (1, 1)."""
        if self.is_mixture:
            factors = torch.linalg.cholesky(self.covariances)
            return FullMixture(self.shares.log()[None], self.means[None], factors[None])
        zeros = self.weight.new_zeros(1, 1, self.latent_dim)
        return diagonal_normal(zeros, torch.ones_like(zeros))

    def log_marginal(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Exact log p of the observed cells of x in nats, (rows,), in model units.

        For p(z) = N(0, I) and complete rows it is log N(x; mu, W W^T + sigma^2 I).
        """
        return self.noisy_log_marginal(Batch(x, observed), torch.zeros(()))

    def noisy_log_marginal(self, batch: Batch, variance: Tensor) -> Tensor:
        """Exact log p(y) of the observed cells of noisy rows, nats, (rows,), in model units.

        Args:
            batch, variance: as for ``noisy_posterior``.
        """
        rows = batch.filled
        gains, group = self._gains(rows, batch.observed, variance)
        exact = self.posterior.log_evidence
        return exact(self._linear(), rows.flatten(1).double(), gains, group)

    def covariance(self) -> Tensor:
        """Cov(x), (features, features), in squared model units; W W^T + sigma^2 I of N(0, I)."""
        return self._linear().covariance()

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        return {"inference": [], "generative": []}

    def _as(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        return self.weight.to(dtype), self.offset.to(dtype), self.variance.to(dtype)

    def _linear(self) -> LinearMixture:
        """The parameters in float64, since small variances are inverted."""
        names = ("weight", "offset", "variance", "shares", "means", "covariances")
        return LinearMixture(*(getattr(self, name).double() for name in names))

    def _gains(
        self, rows: Tensor, observed: Tensor | None, variance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(gain of each cell, (groups, features); group of each row): one group for each mask."""
        noise = variance.to(self.variance).expand(self.event_shape).flatten().double()
        gain = self.variance.double() / (self.variance.double() + noise)
        if observed is None:
            return gain[None], torch.zeros(rows.shape[0], dtype=torch.long, device=rows.device)
        masks, group = torch.unique(observed.flatten(1), dim=0, return_inverse=True)
        return masks * gain, group


def refuse_holes(observed: Tensor | None) -> None:
    """Raise DataError if a cell of the rows of a fit is missing."""
    if observed is not None and not bool(observed.all()):
        raise DataError(COMPLETE)
