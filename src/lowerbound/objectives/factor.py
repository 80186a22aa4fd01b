"""Bounds with a weight of the total correlation: FactorVAE and beta-TCVAE.

FactorVAE estimates it by a small discriminator; beta-TCVAE has the rate in three parts, each with
its own weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal
from torch.nn import functional as F

from lowerbound.distributions.reparameterization import base_normal, seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.models.base import Model
from lowerbound.objectives.base import Bound, held_fixed
from lowerbound.objectives.elbo import ELBO
from lowerbound.parts import OBJECTIVES
from lowerbound.trace import Batch, Step, Trace

if TYPE_CHECKING:
    from lowerbound.data.dataset import Dataset

Estimator = Literal["stratified", "weighted"]
SLOPE = 0.2  # of the leaky rectifier for negative inputs, as in the paper


@dataclass(frozen=True)
class Decomposition:
    r"""Three parts of the rate, at draws z ~ q(z | x), (samples, batch) each, in nats.

    .. math::
        \log \frac{q(z \mid x)}{p(z)} = \log \frac{q(z \mid x)}{q(z)}
        + \log \frac{q(z)}{\prod_j q(z_j)} + \log \frac{\prod_j q(z_j)}{p(z)}

    with q(z) = mean of q(z | x) over the data. Their sum is exactly the log-ratio at z for any
    estimate of q(z).

    Attributes:
        mutual_information: between z and its row.
        total_correlation: dependence between the units; disentangling lowers it.
        dimension_wise: distance of each unit from the prior, if the prior is a product.
    """

    mutual_information: Tensor
    total_correlation: Tensor
    dimension_wise: Tensor


@OBJECTIVES.register("beta_tc")
class BetaTotalCorrelation(ELBO):
    r"""beta-TCVAE: the ELBO with a weight for each of three parts of the rate.

    .. math::
        \mathcal{L} = D + R + (\alpha - 1)\, I(x; z) + (\beta - 1)\, \mathrm{TC}(z)
                      + (\gamma - 1)\, \mathrm{KL}(\textstyle\prod_j q(z_j) \,\|\, p(z))

    With all weights 1 it is the ELBO. The rate R keeps its closed form; only the other terms use
    the minibatch estimate of q(z). Source: Chen et al. 2018, equations 2 and 4.

    Args:
        samples: draws of z per row.
        mutual_information: alpha.
        total_correlation: beta; the paper's choice for small sprites is 6.
        dimension_wise: gamma.
        estimator: of log q(z) from a minibatch, see ``log_densities``.
    """

    def __init__(
        self,
        *,
        samples: int = 1,
        mutual_information: float = 1.0,
        total_correlation: float = 6.0,
        dimension_wise: float = 1.0,
        estimator: Estimator = "stratified",
    ) -> None:
        super().__init__(samples=samples)
        if min(mutual_information, total_correlation, dimension_wise) < 0:
            raise OptionError("the weights of the parts of the rate must not be negative")
        if estimator not in ("stratified", "weighted"):
            raise OptionError(f"estimator is 'stratified' or 'weighted', not {estimator!r}")
        self.mutual_information = mutual_information
        self.total_correlation = total_correlation
        self.dimension_wise = dimension_wise
        self.estimator = estimator
        self._rows = 0

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Take the number of rows; without it, each batch counts as the whole data set."""
        self._rows = len(dataset)

    def forward(self, model: Model, batch: Batch) -> Bound:
        trace = model(batch, self.choose)
        bound = self.bound(trace, batch)
        parts = decompose(only_step(trace), self._rows, self.estimator)
        surplus = (
            (self.mutual_information - 1) * parts.mutual_information
            + (self.total_correlation - 1) * parts.total_correlation
            + (self.dimension_wise - 1) * parts.dimension_wise
        )
        return replace(bound, loss=bound.loss + surplus.mean())


def only_step(trace: Trace) -> Step:
    """The only latent of a pass.

    Raises:
        UnsupportedError: the pass does not have exactly one latent.
    """
    if len(trace.steps) != 1:
        raise UnsupportedError(
            f"beta_tc takes apart the rate of one latent, and this model has {len(trace.steps)}; "
            "use the objective 'factor' or 'elbo' with beta, or the model 'vae'"
        )
    return trace.steps[0]


def decompose(step: Step, rows: int = 0, estimator: Estimator = "stratified") -> Decomposition:
    """The three parts of a latent's rate, q(z) estimated from the batch.

    Args:
        step: a latent drawn from a factorized Gaussian posterior.
        rows: N, rows of the whole data set; a larger batch counts as the whole data set.
        estimator: see ``log_densities``.

    Raises:
        UnsupportedError: the posterior is not a factorized Gaussian.
    """
    normal = _factorized(step.posterior)
    assert step.posterior is not None
    conditional: Tensor = step.posterior.log_prob(step.z)
    joint, product = log_densities(normal, step.z, rows, estimator)
    return Decomposition(
        conditional - joint, joint - product, product - step.prior.log_prob(step.z)
    )


def log_densities(
    posterior: Normal, z: Tensor, rows: int, estimator: Estimator
) -> tuple[Tensor, Tensor]:
    r"""log q(z) and sum_j log q(z_j) from M rows of N, (samples, batch) each, in nats.

    "stratified" (Chen et al. 2018, appendix C.2, averaged over the row that has the odd weight):

    .. math::
        \hat q(z_i) = \frac{1}{N} q(z_i \mid x_i)
                      + \frac{N - 1}{N (M - 1)} \sum_{j \ne i} q(z_i \mid x_j)

    is unbiased for q(z) given x_i, and exact if the batch is the whole data set. "weighted" (their
    equation 5) gives every row the weight 1 / (N M), which is simpler but too large if z_i is
    likely only under its own x_i.
    """
    loc, scale = (
        value.float() if value.dtype == torch.bfloat16 else value
        for value in (
            posterior.loc,
            posterior.scale,
        )
    )
    pairs = Normal(loc.flatten(2).unsqueeze(1), scale.flatten(2).unsqueeze(1), validate_args=False)
    each = pairs.log_prob(z.flatten(2).unsqueeze(2))  # (samples, batch of z, batch of x, units)
    weights = _log_weights(z.shape[1], rows, estimator).to(each)
    joint = torch.logsumexp(each.sum(-1) + weights, 2)
    product = torch.logsumexp(each + weights.unsqueeze(-1), 2).sum(-1)
    return joint, product


def _log_weights(batch: int, rows: int, estimator: Estimator) -> Tensor:
    """log of the weight of x_j in the estimate at z_i, (batch of z, batch of x)."""
    whole = max(rows, batch)
    if estimator == "weighted":
        return torch.full((batch, batch), -math.log(whole * batch))
    if batch == 1:
        return torch.zeros(1, 1)
    weights = torch.full((batch, batch), (whole - 1) / (whole * (batch - 1)))
    return weights.fill_diagonal_(1 / whole).log()


def _factorized(posterior: Distribution | None) -> Normal:
    normal = None if posterior is None else base_normal(posterior)
    if normal is None:
        raise UnsupportedError(
            f"beta_tc needs q(z | x) to be a product over units, and it is "
            f"{type(posterior).__name__}; use the posterior 'gaussian', or the objective 'factor'"
        )
    return normal


@OBJECTIVES.register("factor")
class Factor(ELBO):
    r"""ELBO - gamma TC(z), with TC estimated by a discriminator: FactorVAE.

    .. math::
        \mathrm{TC}(z) = \mathbb{E}_{q(z)} \log \frac{q(z)}{\prod_j q(z_j)}
        \approx \mathbb{E}_{q(z)} \log \frac{D(z)}{1 - D(z)}

    where D distinguishes codes from codes whose units were shuffled over the rows. One loss trains
    both: the discriminator is frozen in the model's term, and the codes are detached in the
    discriminator's term.

    ``prepare`` builds the discriminator for the size of the codes; the checkpoint saves it. Source:
    Kim & Mnih 2018.

    Args:
        samples: draws of z per row.
        gamma: weight of the total correlation, in addition to the weight 1 in the rate.
        width: units of each hidden layer of the discriminator (the paper has 1,000).
        layers: hidden layers of the discriminator (the paper has 5).
    """

    discriminator: nn.Sequential | None

    def __init__(
        self, *, samples: int = 1, gamma: float = 10.0, width: int = 200, layers: int = 3
    ) -> None:
        super().__init__(samples=samples)
        if gamma < 0:
            raise OptionError(f"gamma must not be negative, and is {gamma}")
        if min(width, layers) < 1:
            raise OptionError(f"width and layers must be at least 1, not {width} and {layers}")
        self.gamma = gamma
        self.width = width
        self.layers = layers
        self.register_module("discriminator", None)

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Build the discriminator for codes of this model's size."""
        parameter = next(model.parameters(), torch.zeros(()))
        row = dataset.batch(torch.zeros(1, dtype=torch.long, device=dataset.x.device))
        tensors = {n: v.to(parameter.device) for n, v in vars(row).items() if v is not None}
        with seeded(0), torch.no_grad():
            self._discriminator(
                codes(model(replace(row, **tensors).to(parameter.dtype), self.choose))
            )

    def forward(self, model: Model, batch: Batch) -> Bound:
        trace = model(batch, self.choose)
        bound = self.bound(trace, batch)
        z = codes(trace)
        loss = bound.loss + self.gamma * self.total_correlation(z) + self.distinction(z.detach())
        return replace(bound, loss=loss)

    def total_correlation(self, z: Tensor) -> Tensor:
        """The estimate of the frozen discriminator at codes (samples, batch, units), nats."""
        logits: Tensor = held_fixed(self._discriminator(z), z)
        return logits.mean()

    def distinction(self, z: Tensor) -> Tensor:
        """The discriminator's loss: cross-entropy of codes against shuffled codes, nats."""
        discriminator = self._discriminator(z)
        return 0.5 * (
            F.softplus(-discriminator(z)).mean() + F.softplus(discriminator(shuffled(z))).mean()
        )

    def _discriminator(self, z: Tensor) -> nn.Sequential:
        """The discriminator; the shape of the first codes sets its size."""
        if self.discriminator is None:
            with seeded(0):
                built = _discriminator(z.shape[-1], self.width, self.layers)
            self.discriminator = built.to(z.device, z.dtype)
        return self.discriminator


def codes(trace: Trace) -> Tensor:
    """The latents of all levels side by side, (samples, batch, units).

    Raises:
        UnsupportedError: there are none, or they are discrete.
    """
    if not trace.steps:
        raise UnsupportedError(
            "the objective 'factor' judges latents, and this model has none with a prior: use 'vae'"
        )
    if not all(step.z.is_floating_point() for step in trace.steps):
        raise UnsupportedError(
            "the objective 'factor' shuffles units that are real numbers, and these are codes: use "
            "the objective 'elbo'"
        )
    return trace.latents()


def shuffled(z: Tensor) -> Tensor:
    """Draws of prod_j q(z_j): each unit is moved to other rows by a different shift.

    If there are enough rows, all shifts differ, so no two units of a shuffled code are from the
    same row. Independent permutations would sometimes leave two units of a row together.
    """
    samples, batch, units = z.shape
    shifts = torch.randperm(max(batch, units), device=z.device)[:units] % batch
    rows = torch.arange(batch, device=z.device)
    source = (rows.unsqueeze(1) + shifts) % batch
    return z.gather(1, source.expand(samples, batch, units))


def _discriminator(units: int, width: int, layers: int) -> nn.Sequential:
    """A network from codes, (..., units), to the log-odds that they are real, (..., 1)."""
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise((units, *(width,) * layers)):
        parts += [nn.Linear(inputs, outputs), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*parts, nn.Linear(width, 1))
