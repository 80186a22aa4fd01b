r"""The aggregate posterior, the mean posterior of all rows, compared with the prior.

.. math:: q(z) = \frac{1}{N} \sum_{n=1}^{N} q(z \mid x_n)

It is a mixture with one component per row, so its density is exact; only the mean over draws is
random. Source: Hoffman & Johnson 2016.

A latent unit is active if its posterior mean varies with the data and its rate is not zero:

.. math:: \mathrm{Var}_x(\mathbb{E}_q[z_j]) > 0.01 \quad\text{and}\quad
          \mathbb{E}_x[\mathrm{KL}_j] > 0.01\ \text{nats}

Source of the first condition: Burda et al. 2016, appendix C.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.gaussian_mixture import ACTIVE, pairwise_log_prob
from lowerbound.distributions.keyed_noise import KeyedNoise, device_of, seeded_draw
from lowerbound.distributions.point import density_of
from lowerbound.distributions.reparameterization import base_normal, diagonal_normal, draw
from lowerbound.errors import UnsupportedError
from lowerbound.inference.codes import EncodedRows, Whitening, encode_rows, posteriors
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.passes import MEMORY
from lowerbound.models.base import Model
from lowerbound.models.powers import HasPrior, Imagines, name_of, require
from lowerbound.trace import Step

PRIOR_DRAWS = 10_000  # for the moments of a prior without closed form
Components = Callable[[], Iterator[Distribution]]
OwnDraws = list[tuple[Distribution, Tensor]]
HOLE_PERCENTILE = 0.01  # of the density at codes of rows; a draw of the prior below is in a hole
PRIOR_SEED = 1 << 40  # different from the seeds of data
PAIR_BYTES = 6 * 8  # per pair of a draw and a component


@dataclass(frozen=True)
class Units:
    """Activity of each latent unit.

    Attributes:
        variance: Var_x(E_q[z_j]), (latent_dim,).
        rate: mean KL of unit j's marginal q(z_j | x) to the prior's, nats, (latent_dim,).
        exact: whether the rates are exact; otherwise Gaussians of the same mean and variance
            replace the prior's or the posterior's marginals.
    """

    variance: Tensor
    rate: Tensor
    exact: bool

    @property
    def active(self) -> Tensor:
        """Which units are active, (latent_dim,)."""
        return (self.variance > ACTIVE) & (self.rate > ACTIVE)

    @property
    def count(self) -> int:
        """Number of active units."""
        return int(self.active.sum())

    @property
    def order(self) -> Tensor:
        """Units in order of descending rate, (latent_dim,)."""
        return torch.argsort(self.rate, descending=True)


def units(model: Model, dataset: Dataset, *, memory: int = MEMORY) -> Units:
    """Variance of the posterior mean and rate of each unit.

    Raises:
        UnsupportedError: the model has no encoder, or no prior that defines a rate; or there is a
            single row, over which nothing varies.
    """
    if len(dataset) < 2:
        raise UnsupportedError("a unit is active if it varies with the rows: this takes two rows")
    has_prior = require(model, HasPrior, "say which units are active")
    with torch.no_grad():
        prior = has_prior.prior_distribution()
    return units_of(encode_rows(model, dataset, memory=memory), prior)


def units_of(codes: EncodedRows, prior: Distribution) -> Units:
    """The same from existing codes."""
    loc, scale = _marginal_moments(prior)
    ratio = (codes.deviation / scale).square()
    distance = ((codes.mean - loc) / scale).square()
    rate = (0.5 * (ratio + distance - 1 - ratio.log())).mean(0)
    exact = codes.normal and base_normal(prior) is not None
    return Units(codes.mean.var(0, correction=0), rate, exact)


def _marginal_moments(prior: Distribution) -> tuple[Tensor, Tensor]:
    base = base_normal(prior)
    if base is not None:
        return base.loc[0, 0].double().cpu(), base.scale.expand_as(base.loc)[0, 0].double().cpu()
    z = seeded_draw(prior, PRIOR_DRAWS, 0)[:, 0].double().cpu()
    return z.mean(0), z.std(0)


@dataclass(frozen=True)
class Agreement:
    r"""Agreement of the aggregate posterior and the prior, in nats.

    The mixture over the N available rows replaces the one over the population. With the
    component of a draw, the estimated KL is too large on average; without it, too small: the two
    bracket the KL. They also bracket the mutual information,
    mean KL(q(z | x) || p) - KL(q(z) || p), in reverse order; its lower end never exceeds log N.

    Attributes:
        rows: N.
        kl_low: KL(q(z) || p), each draw's own component left out.
        kl_high: the same with this component.
        rate: mean KL(q(z | x) || p); None if codes are points, because it is infinite.
        hole_rate: share of prior draws at which q(z) is lower than at 99 % of its own draws
            (own component left out); 0.01 if the two agree.
        density: definition of q(z), as text.
        bounded: whether log p(z) is only a lower bound. Then every KL is too large by the gap of
            this bound, so ``kl_high`` is above the KL and ``kl_low`` need not be below it. The
            mutual information does not contain log p(z).
    """

    rows: int
    kl_low: Estimate
    kl_high: Estimate
    rate: Estimate | None
    hole_rate: float
    density: str
    bounded: bool = False

    @property
    def mutual_information_low(self) -> float | None:
        """Lower bound on I(x; z), at most log N."""
        if self.rate is None:
            return None
        return max(min(self.rate.mean - self.kl_high.mean, math.log(self.rows)), 0.0)

    @property
    def mutual_information_high(self) -> float | None:
        """Upper bound on I(x; z), at most the rate."""
        if self.rate is None:
            return None
        low = self.kl_low.mean
        # of the exact KL; the gap of a bound is in the rate, too, and cancels
        return self.rate.mean - (low if self.bounded else max(low, 0.0))

    @property
    def kl_range(self) -> str:
        """KL(q(z) || p) in nats as text, no end below 0."""
        low, high = max(self.kl_low.mean, 0.0), max(self.kl_high.mean, 0.0)
        return f"at most {high:.2f}" if self.bounded else f"{low:.2f} to {high:.2f}"


def prior_agreement(
    model: Model, dataset: Dataset, *, seed: int = 0, memory: int = MEMORY
) -> Agreement:
    """Compare the aggregate posterior of these rows with the prior; cost grows with rows squared.

    An autoencoder has neither a posterior density nor a prior. Its codes are whitened, smoothed by
    Gaussian kernels, and compared with N(0, I), as for sampling from it.

    Raises:
        UnsupportedError: the model has no encoder, or has discrete latents, or a chain of latents
            whose priors depend on each other.
    """
    if isinstance(model, Imagines) and not isinstance(model, HasPrior):
        raise UnsupportedError(
            f"the latents of {name_of(model)} are discrete, or a chain in which each has its "
            "prior from those above, so no single prior can be compared with all codes"
        )
    if not isinstance(model, HasPrior):
        return _agreement_of_codes(encode_rows(model, dataset, memory=memory).mean, seed, memory)
    with torch.no_grad():
        prior = model.prior_distribution()
    mixture = AggregatePosterior(lambda: _distributions(model, dataset, memory), memory)
    own = mixture.draws(seed)
    with torch.no_grad():
        rates = [Step(z, posterior, prior).rate()[0].double().cpu() for posterior, z in own]
    agreement = _compare(mixture, own, prior, seed, "mixture of q(z | x) over the rows")
    bounded = density_of(prior) == "bound"
    return replace(agreement, rate=Estimate.of(torch.cat(rates)), bounded=bounded)


def smoothed_codes(white: Tensor) -> Distribution:
    r"""N(a c_n, h^2 I) around each white code, with Silverman's h and a = sqrt(1 - h^2).

    The shrinkage a keeps the mixture's covariance at I, so codes from N(0, I) still have this
    distribution (West 1993).
    """
    rows, dim = white.shape
    bandwidth = min(0.9, (4 / ((dim + 2) * rows)) ** (1 / (dim + 4)))
    loc = math.sqrt(1 - bandwidth**2) * white.unsqueeze(0)
    return diagonal_normal(loc, torch.full_like(loc, bandwidth))


class AggregatePosterior:
    """The mixture of all rows' posteriors, one component each.

    Args:
        components: yields q(z | x), batch shape (1, rows of the chunk); each call starts again.
        memory: working memory in bytes.
    """

    def __init__(self, components: Components, memory: int = MEMORY) -> None:
        self.components = components
        self.memory = memory

    @torch.no_grad()
    def draws(self, seed: int) -> OwnDraws:
        """Draw once from each component: (1, rows of the chunk, latent_dim), with its chunk.

        The noise is keyed by the component's number. Torch's generator may also have made the data,
        and the same seed would then repeat the data's draws.
        """
        own, first = [], 0
        for posterior in self.components():
            last = first + posterior.batch_shape[1]
            keys = torch.arange(first, last, device=device_of(posterior))
            own.append((posterior, draw(posterior, 1, KeyedNoise(keys, seed))))
            first = last
        return own

    def log_prob(self, z: Tensor, *, leave_own_out: bool = False) -> Tensor:
        """log q(z) at (draws, latent_dim), (draws,), in nats and float64.

        Args:
            z: points, (draws, latent_dim).
            leave_own_out: leave component n, which made draw n, out of the mixture for this draw.
        """
        total = torch.full((len(z),), -math.inf, dtype=torch.float64)
        first = 0
        for posterior in self.components():
            by_products = base_normal(posterior) is not None or isinstance(
                posterior, MultivariateNormal
            )
            width = 1 if by_products else posterior.event_shape[0]
            step = max(1, self.memory // (PAIR_BYTES * posterior.batch_shape[1] * width))
            for start in range(0, len(z), step):
                part = slice(start, min(start + step, len(z)))
                log_probs = pairwise_log_prob(posterior, z[part])
                if leave_own_out:
                    _forget_own(log_probs, start - first)
                total[part] = torch.logaddexp(total[part], torch.logsumexp(log_probs, 1).cpu())
            first += posterior.batch_shape[1]
        return total - math.log(max(first - int(leave_own_out), 1))


def _distributions(model: Model, dataset: Dataset, memory: int) -> Iterator[Distribution]:
    return (posterior for _, posterior in posteriors(model, dataset, memory=memory))


def _agreement_of_codes(codes: Tensor, seed: int, memory: int) -> Agreement:
    smoothed = smoothed_codes(Whitening.of(codes).whiten(codes))
    zeros = torch.zeros(1, 1, codes.shape[1], dtype=torch.float64)
    mixture = AggregatePosterior(lambda: iter([smoothed]), memory)
    width = float(smoothed.stddev.max())
    density = f"white codes smoothed by Gaussian kernels of width {width:.2f}"
    prior = diagonal_normal(zeros, torch.ones_like(zeros))
    return _compare(mixture, mixture.draws(seed), prior, seed, density)


@torch.no_grad()
def _compare(
    mixture: AggregatePosterior, own: OwnDraws, prior: Distribution, seed: int, density: str
) -> Agreement:
    z = torch.cat([part[0] for _, part in own])
    imagined = seeded_draw(prior, len(z), PRIOR_SEED + seed)[:, 0]
    log_prior = prior.log_prob(z.unsqueeze(1))[:, 0].double().cpu()
    others = mixture.log_prob(z, leave_own_out=True)
    threshold = torch.quantile(others, HOLE_PERCENTILE)
    return Agreement(
        rows=len(z),
        kl_low=Estimate.of(others - log_prior),
        kl_high=Estimate.of(mixture.log_prob(z) - log_prior),
        rate=None,
        hole_rate=float((mixture.log_prob(imagined) < threshold).double().mean()),
        density=density,
    )


def _forget_own(log_probs: Tensor, offset: int) -> None:
    """Remove component n from draw n; rows of ``log_probs`` start ``offset`` after columns."""
    if -log_probs.shape[0] < offset < log_probs.shape[1]:
        torch.diagonal(log_probs, offset).fill_(-math.inf)
