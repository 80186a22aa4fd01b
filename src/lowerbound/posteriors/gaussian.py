"""q(z | x): the distribution of a latent given a row, from the encoder's output.

It is the diagonal Gaussian of the textbook's two heads, also for the independent times of a
sequence; a Gaussian with a full covariance, as in the linear-Gaussian model; or a Gaussian from the
two heads, transformed by a coupling flow that is conditioned on the row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from lowerbound import parts
from lowerbound.distributions.normalizing_flow import FlowDistribution, NormalizingFlow
from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.distributions.triangular import count, unpack
from lowerbound.errors import OptionError
from lowerbound.registry import Registry

MAX_LOG_VARIANCE = 14.0
NEAREST = 0.999  # share of the bound that a given log-variance can have
CLAMP = (-30.0, 20.0)  # of log-variances in diffusers
MAX_CONTEXT = 10.0


class Posterior(nn.Module, ABC):
    """A module that turns the encoder's output into a distribution over z."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    @property
    @abstractmethod
    def numbers(self) -> int:
        """Length of the encoder's output: two heads of latent_dim for a Gaussian."""

    @abstractmethod
    def forward(self, parameters: Tensor) -> Distribution:
        """Return q(z | x), batch shape (1, rows), for ``parameters`` (rows, numbers)."""


POSTERIORS: Registry[type[Posterior]] = parts.POSTERIORS


@POSTERIORS.register("full")
class FullGaussianPosterior(Posterior):
    r"""q(z | x) = N(mu(x), L(x) L(x)^T), L lower triangular with a positive diagonal.

    The encoder's output has d + d (d + 1) / 2 numbers, in the layout of
    :mod:`lowerbound.distributions.triangular`, whose ``pack`` is the inverse. This posterior can be
    exact even if latents are correlated given x, because cells are missing or the decoder's columns
    are not orthogonal.

    Source: Kingma & Welling 2019, section 2.5.1.
    """

    @property
    def numbers(self) -> int:
        return count(self.latent_dim)

    def forward(self, parameters: Tensor) -> MultivariateNormal:
        if parameters.dtype == torch.bfloat16:
            parameters = parameters.float()
        mean, factor = unpack(parameters, self.latent_dim)
        return MultivariateNormal(
            mean.unsqueeze(0), scale_tril=factor.unsqueeze(0), validate_args=False
        )


@POSTERIORS.register("gaussian")
class GaussianPosterior(Posterior):
    r"""q(z | x) = N(mu(x), diag sigma^2(x)).

    .. math:: \log \sigma^2 = c \tanh(h / c), \quad c = 14

    so the variance is smooth in h and stays within [8e-7, 1.2e6] for any encoder output.
    Source: Kingma & Welling 2014, equation 9.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.heads = GaussianHeads()

    @property
    def numbers(self) -> int:
        return 2 * self.latent_dim

    def forward(self, parameters: Tensor) -> Distribution:
        distribution: Distribution = self.heads(parameters.unsqueeze(0))
        return distribution


@POSTERIORS.register("clamped_gaussian")
class ClampedGaussianPosterior(Posterior):
    r"""q(z | x) = N(mu(x), diag sigma^2(x)) with log sigma^2 clamped to [-30, 20].

    It is the posterior of ``diffusers``, so that its weights give the same numbers here.
    """

    @property
    def numbers(self) -> int:
        return 2 * self.latent_dim

    def forward(self, parameters: Tensor) -> Distribution:
        loc, log_variance = at_least_float32(parameters).unsqueeze(0).chunk(2, -1)
        return _diagonal(loc, torch.exp(0.5 * log_variance.clamp(*CLAMP)))


class GaussianHeads(nn.Module):
    r"""Map two heads side by side, (samples, rows, 2 * channels, ...), to N(mu, diag sigma^2).

    It is a module, so that a model can use other heads, such as those in whole numbers for coding.
    """

    def forward(self, numbers: Tensor) -> Distribution:
        """The diagonal Gaussian of the heads, batch shape (samples, rows)."""
        return _diagonal(*gaussian_heads(numbers, axis=2))

    def relative(self, prior: Distribution, change: Tensor) -> Distribution:
        r"""The prior shifted by delta standard deviations and scaled by e^epsilon.

        .. math:: N(\mu + \sigma\delta, (\sigma e^{\epsilon})^2)

        Source: Vahdat & Kautz 2020, section 3.2.
        """
        assert isinstance(prior, Independent)
        base = prior.base_dist
        moved, wider = gaussian_heads(change, axis=2)
        return _diagonal(base.loc + base.scale * moved, base.scale * wider)


def gaussian_heads(parameters: Tensor, axis: int = -1) -> tuple[Tensor, Tensor]:
    """Mean and bounded standard deviation from two heads side by side along ``axis``."""
    loc, raw = at_least_float32(parameters).chunk(2, axis)
    half_log_variance = (0.5 * MAX_LOG_VARIANCE) * torch.tanh(raw / MAX_LOG_VARIANCE)
    return loc, torch.exp(half_log_variance)


def raw_log_variance(log_variance: Tensor) -> Tensor:
    """The head's output for a log-variance, held just inside the bounds."""
    share = (log_variance / MAX_LOG_VARIANCE).clamp(-NEAREST, NEAREST)
    return MAX_LOG_VARIANCE * torch.atanh(share)


def at_least_float32(parameters: Tensor) -> Tensor:
    """Convert bf16 to float32, because log-variances need its precision."""
    return parameters.float() if parameters.dtype == torch.bfloat16 else parameters


def _diagonal(loc: Tensor, scale: Tensor) -> Distribution:
    if loc.dim() == 3:
        return diagonal_normal(loc, scale)
    event = loc.dim() - 2
    return Independent(Normal(loc, scale, validate_args=False), event, validate_args=False)


class MeanField(nn.Module):
    r"""q(z | x) = prod_t N(z_t; mu_t, diag sigma_t^2), by a bidirectional recurrent network.

    .. math::
        e_t = W (x_t, o_t), \quad f_t = \tanh(e_t + F f_{t-1}), \quad b_t = \tanh(e_t + B b_{t+1})

    with o_t the mask of observed cells; f is zero before the start of a sequence and b after its
    end. The two heads at t are linear in f_t, b_t and e_t.

    Args:
        features: numbers of x at a time.
        latent_dim: d, numbers of z at a time.
        hidden: numbers of each of e, f and b.
    """

    def __init__(self, features: int, latent_dim: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Linear(2 * features, hidden)
        self.forth = nn.Linear(hidden, hidden, bias=False)
        self.back = nn.Linear(hidden, hidden, bias=False)
        self.leave = nn.Linear(3 * hidden, 2 * latent_dim)
        self.heads = GaussianHeads()

    def forward(self, x: Tensor, observed: Tensor | None, starts: Tensor) -> list[Distribution]:
        """q(z_t | x) of each time, batch shape (1, batch).

        Args:
            x: (batch, time, features), finite.
            observed: like x, False where hidden; None: all cells are observed.
            starts: (batch | 1, time), True where a sequence starts.
        """
        seen = torch.ones_like(x) if observed is None else observed.to(x)
        entered = self.enter(torch.cat([x, seen], -1)).unbind(1)
        goes_on = (~starts).to(x).unsqueeze(-1).unbind(1)
        before = _scan(self.forth, entered, goes_on)
        after = _scan(self.back, entered[::-1], (*goes_on[:1], *goes_on[:0:-1]))[::-1]
        numbers = [torch.cat(each, -1) for each in zip(before, after, entered, strict=True)]
        return [self.heads(self.leave(each).unsqueeze(0)) for each in numbers]


def _scan(
    step: nn.Module, entered: tuple[Tensor, ...], goes_on: tuple[Tensor, ...]
) -> list[Tensor]:
    """Compute h_i = tanh(e_i + g_i W h_{i-1}) for all i in order."""
    found: list[Tensor] = [torch.tanh(entered[0])]
    for each, kept in zip(entered[1:], goes_on[1:], strict=True):
        found.append(torch.tanh(each + kept * step(found[-1])))
    return found


@POSTERIORS.register("flow")
class FlowPosterior(Posterior):
    r"""z = mu(x) + sigma(x) f^{-1}(eps; c(x)), eps ~ N(0, I).

    The encoder's output is the Gaussian's two heads and a context c for the map. The map starts as
    the identity, so the posterior starts as the Gaussian one. Coupling needs one cheap pass to draw
    and one to score; replay and importance weights need both.

    Args:
        latent_dim: numbers in z.
        context: length of c; None: latent_dim.
        transforms: number of maps that are composed.
        hidden: width of their networks.
        bins: pieces of the spline that each coordinate goes through; 0 shifts and scales it.

    Source: Rezende & Mohamed 2015; the coupling is Dinh et al. 2017.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        context: int | None = None,
        transforms: int = 2,
        hidden: int = 64,
        bins: int = 0,
    ) -> None:
        super().__init__(latent_dim)
        self.context = latent_dim if context is None else context
        if self.context < 1:
            raise OptionError(f"context must be at least 1, not {self.context}")
        self.flow = NormalizingFlow(latent_dim, self.context, "coupling", transforms, hidden, bins)

    @property
    def numbers(self) -> int:
        return 2 * self.latent_dim + self.context

    def forward(self, parameters: Tensor) -> FlowDistribution:
        parameters = parameters.unsqueeze(0)
        if parameters.dtype == torch.bfloat16:
            parameters = parameters.float()
        heads, context = parameters.split([2 * self.latent_dim, self.context], -1)
        loc, scale = gaussian_heads(heads)
        # bounded, so that extreme encoder outputs cannot make the map's networks overflow
        context = MAX_CONTEXT * torch.tanh(context / MAX_CONTEXT)
        return FlowDistribution(self.flow, loc, scale, context)
