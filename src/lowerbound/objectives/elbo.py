r"""The evidence lower bound, with both estimators of the AEVB paper, and weights of its parts.

Weights that balance the columns of a table in the loss are

.. math:: w_j \propto H_j^{-b}, \qquad \frac{1}{D} \sum_j w_j = 1

H_j is the mean cost of a cell of column j under its marginal, in nats and model units: log K for K
equally frequent levels, about 1.4 for a standardized number. With b = 1, weight times cost is equal
for all columns at the start of training; with b = 0, all weights are 1.

The weight of the rate rises over a run, once or in cycles. With t the finished share of the run, M
cycles and a warm-up over the share R of each cycle, it is multiplied by

.. math:: \min\left(1, \frac{\tau}{R}\right), \qquad
          \tau = M t - \min(\lfloor M t \rfloor, M - 1)

One cycle is the linear warm-up of Bowman et al. 2016. Several cycles are those of Fu et al. 2019
(their choice is M = 4 and R = 0.5): each starts without a cost of the rate, from latents that the
cycle before has made informative.

The bound under a target rate, which determines the weight of the KL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.divergence import unit_kl
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.likelihoods.base import marginal_nats
from lowerbound.models.base import Model
from lowerbound.objectives.base import (
    Bound,
    Objective,
    over_samples,
    require_bounded_densities,
    stacked_rates,
)
from lowerbound.parts import OBJECTIVES
from lowerbound.trace import Batch, Choose, Draw, Step, Trace

LEAST_NATS = 0.1  # smallest H, which bounds the weight of a column that hardly varies
MOST_ROWS = 20_000  # most rows that the marginals are estimated from
SHARE_OF_CYCLE = 0.5  # R of Fu et al. 2019
FreeBitsPer = Literal["latent", "unit"]


def column_weights(model: Model, dataset: Dataset, balance: float) -> Tensor:
    """w_j of each column, (columns,), mean 1.

    Args:
        model: the model; its likelihood gives the marginals.
        dataset: the rows to train on.
        balance: b.

    Raises:
        UnsupportedError: the rows have no columns, or the likelihood has no marginals.
    """
    likelihood = model.declared_likelihood
    if not dataset.schema.modeled or likelihood is None:
        raise UnsupportedError("only rows of columns can be balanced: leave balance out")
    cost = -marginal_nats(likelihood, dataset.thinned(MOST_ROWS))
    weights = cost.clamp_min(LEAST_NATS).pow(-balance)
    return (weights / weights.mean()).float()


@dataclass(frozen=True)
class WarmUp:
    """The schedule.

    Attributes:
        share: R, 0 to 1; 0: the weight is constant.
        cycles: M.
    """

    share: float = 0.0
    cycles: int = 1

    @classmethod
    def of(cls, share: float | None, cycles: int) -> WarmUp:
        """The schedule of these options; without a share, several cycles have that of the paper.

        Raises:
            OptionError: a value is out of range, or cycles have no warm-up to repeat.
        """
        if cycles < 1:
            raise OptionError(f"cycles must be at least 1, not {cycles}")
        if share is None:
            share = SHARE_OF_CYCLE if cycles > 1 else 0.0
        if not 0.0 <= share <= 1.0:
            raise OptionError(f"warm_up is a share of the run, 0 to 1, not {share}")
        if cycles > 1 and share == 0.0:
            raise OptionError(
                f"cycles={cycles} repeats the warm-up, and warm_up=0 has none: "
                "set warm_up above 0, or leave one of the two out"
            )
        return cls(share, cycles)

    @property
    def end(self) -> float:
        """Share of the run after which the weight no longer changes."""
        return (self.cycles - 1 + self.share) / self.cycles

    def factor(self, progress: Tensor) -> Tensor:
        """The factor of the weight at a finished share of the run, 0 to 1."""
        done = progress * self.cycles
        within = done - done.floor().clamp_max(self.cycles - 1)
        return (within / self.share).clamp_max(1.0)


@OBJECTIVES.register("elbo")
class ELBO(Objective):
    r"""log p(x) >= E_q[log p(x | z)] - KL(q(z | x) || p(z)).

    ``analytic=True`` is the second SGVB estimator (Kingma & Welling 2014, equation 7): the KL in
    closed form if it has one. ``analytic=False`` is the first (equation 6): log-ratios at the
    draws.

    Args:
        samples: L, draws of z per row.
        analytic: use the closed form of the KL if the pair of types has one.
        beta: weight of the rate in the loss (Higgins et al. 2017); 1 is the bound itself.
        warm_up: share of the run, or of each cycle, over which that weight rises linearly from 0
            (Bowman et al. 2016); None: 0, and 0.5 with several cycles.
        cycles: how often the weight rises in a run (Fu et al. 2019).
        free_bits: nats, averaged over the batch, below which a rate is not penalized (Kingma et
            al. 2016).
        free_bits_per: whether this holds for the rate of each "latent" of the model, or for that of
            each of its numbers ("unit").
        kl_balance: share of the rate's gradient that the prior gets; the posterior gets the rest
            (Hafner et al. 2021 use .8, so that the prior learns faster than the posterior is drawn
            to it); None: both get all of it.
        balance: b, the exponent that balances a table's columns in the loss: 0 does not change
            their weights, 1 divides the cost of each by that of its marginal; see ``balance``.
    """

    predicts: ClassVar[bool] = True
    weights: Tensor | None
    cycles: int = 1
    free_bits_per: FreeBitsPer = "latent"
    kl_balance: float | None = None

    def __init__(
        self,
        *,
        samples: int = 1,
        analytic: bool = True,
        beta: float = 1.0,
        warm_up: float | None = None,
        cycles: int = 1,
        free_bits: float = 0.0,
        free_bits_per: FreeBitsPer = "latent",
        kl_balance: float | None = None,
        balance: float = 0.0,
    ) -> None:
        super().__init__()
        if samples < 1:
            raise OptionError(f"samples must be at least 1, not {samples}")
        if min(beta, free_bits, balance) < 0:
            raise OptionError("beta, free_bits and balance must not be negative")
        if kl_balance is not None and not 0 <= kl_balance <= 1:
            raise OptionError(f"kl_balance is a share, from 0 to 1, not {kl_balance}")
        self._warm_up = WarmUp.of(warm_up, cycles)
        if beta == 0 and (self._warm_up.share or free_bits):
            raise OptionError(
                "beta=0 leaves the rate out of the loss, so warm_up, cycles and free_bits have no "
                "effect: leave them out, or set beta above 0"
            )
        if free_bits_per not in ("latent", "unit"):
            raise OptionError(f"free_bits_per is 'latent' or 'unit', not {free_bits_per!r}")
        if free_bits_per == "unit" and not free_bits:
            raise OptionError("free_bits_per='unit' needs free_bits, in nats per unit")
        if free_bits_per == "unit" and not analytic:
            raise OptionError(
                "free_bits_per='unit' needs the closed form of the rate: leave analytic true"
            )
        self.samples = samples
        self.analytic = analytic
        self.beta = beta
        self.warm_up, self.cycles = self._warm_up.share, cycles
        self.free_bits, self.free_bits_per = free_bits, free_bits_per
        self.balance, self.kl_balance = balance, kl_balance
        # a resumed run computes it again from the same rows
        self.register_buffer("weights", None, persistent=False)
        self.choose: Choose = Draw(samples)

    @property
    def settled(self) -> bool:
        return float(self.progress) >= self._warm_up.end

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Compute the weights of the columns."""
        if self.balance:
            self.weights = column_weights(model, dataset, self.balance)

    def forward(self, model: Model, batch: Batch) -> Bound:
        return self.bound(model(batch, self.choose), batch)

    def bound(self, trace: Trace, batch: Batch) -> Bound:
        """The bound of a pass that drew its latents."""
        refuse_biased_draws(trace)
        require_bounded_densities(trace)
        likelihood, rates = self.split(trace, batch)
        value = likelihood - rates.sum(0)
        if self.balance:
            balanced = self.balanced(trace, batch)
            loss = self.loss(balanced - rates.sum(0), balanced, rates, trace)
        else:
            loss = self.loss(value, likelihood, rates, trace)
        for penalty in trace.penalties.values():
            loss = loss + penalty.mean()
        joint = None
        if trace.predicted is not None:
            predicted = over_samples(trace.predicted)
            loss, joint = loss - predicted.mean(), (value + predicted).detach()
        return Bound(value.detach(), -likelihood.detach(), rates.detach(), loss, joint)

    def split(self, trace: Trace, batch: Batch) -> tuple[Tensor, Tensor]:
        """E_q[log p(x | z)], (batch,), and the rates, (steps, batch), of a pass, in nats."""
        assert batch.x is not None
        likelihood = over_samples(trace.likelihood.log_prob(batch.x, batch.observed))
        return likelihood, stacked_rates(
            trace, len(batch), analytic=self.analytic, balance=self.kl_balance
        )

    def balanced(self, trace: Trace, batch: Batch) -> Tensor:
        """E_q[sum_j w_j log p(x_j | z)], (batch,), in nats times weights.

        Raises:
            UnsupportedError: ``prepare`` was not called.
        """
        if self.weights is None:
            raise UnsupportedError("balance weighs columns by their marginals: call prepare first")
        assert batch.x is not None
        terms = trace.likelihood.terms(batch.x, batch.observed)
        return over_samples((terms * self.weights.to(terms)).sum(-1))

    def loss(self, value: Tensor, likelihood: Tensor, rates: Tensor, trace: Trace) -> Tensor:
        """The differentiated scalar: distortion + beta * rate, with free bits."""
        weight = self.weight()
        plain = isinstance(weight, float) and weight == 1.0 and not self.free_bits
        if plain or not len(rates):
            return -value.mean()
        return weight * self.penalized_rate(rates, trace) - likelihood.mean()

    def penalized_rate(self, rates: Tensor, trace: Trace) -> Tensor:
        """The mean rate of the batch in nats; what is below its free bits counts as these."""
        if not self.free_bits:
            return rates.mean(1).sum()
        if self.free_bits_per == "latent":
            return rates.mean(1).clamp_min(self.free_bits).sum()
        units = torch.cat([_unit_rates(step, self.kl_balance) for step in trace.steps])
        return units.clamp_min(self.free_bits).sum()

    def weight(self) -> Tensor | float:
        """beta, after its warm-up."""
        if not self.warm_up:
            return self.beta
        return self.beta * self._warm_up.factor(self.progress)

    def readings(self) -> Mapping[str, tuple[float, ...]]:
        """The weight of the rate, if it changes over the run."""
        weight = self.weight()
        return {} if isinstance(weight, float) else {"rate weight": (float(weight),)}


def _unit_rates(step: Step, balance: float | None) -> Tensor:
    """The rate of each number of a latent, averaged over the batch, (units,), nats.

    Args:
        step: of the latent.
        balance: as for ``Step.rate``.

    Raises:
        UnsupportedError: these rates have no closed form.
    """
    shares = [share * _closed_unit_rates(part) for share, part in step.balanced(balance)]
    return torch.stack(shares).sum(0)


def _closed_unit_rates(step: Step) -> Tensor:
    each = None
    if step.closed and step.posterior is not None:
        each = unit_kl(step.posterior, step.prior)
    if each is None:
        raise UnsupportedError(
            "free_bits_per='unit' needs factorized Gaussians as posterior and prior, and this "
            f"model has {type(step.posterior).__name__} and {type(step.prior).__name__}: "
            "leave free_bits_per out"
        )
    return each.mean((0, 1)).flatten()


def refuse_biased_draws(trace: Trace) -> None:
    """Refuse a learned discrete latent drawn without reparameterization: its gradient is biased.

    A quantized latent is not drawn; its model passes gradients through the quantization.

    Raises:
        UnsupportedError: such a latent was drawn.
    """
    for level, step in enumerate(trace.steps):
        passes = step.posterior is None or step.posterior.has_rsample
        if not passes and not step.quantized:
            raise UnsupportedError(
                f"level {level} draws from {type(step.posterior).__name__}, through which no "
                "gradient passes; enumerate that latent or use a relaxation"
            )


@OBJECTIVES.register("target_rate")
class TargetRate(ELBO):
    r"""Minimize the distortion subject to a rate of ``target`` nats per example.

    .. math:: \min_\theta \max_\lambda \; D + e^\lambda (R - R^*)

    The dual variable lambda rises while the rate is above the target and falls while it is below
    (Rezende & Viola 2018 constrain the distortion this way). This is the integral part of the
    controller of Shao et al. 2020, in the logarithm of the weight. lambda is saved with the
    checkpoint. The newest weights are kept: the best value belongs to the rate of the ELBO, which
    is another one.

    Args:
        target: R*, nats per example, summed over latents.
        samples: draws of z per row.
        speed: step of the dual variable per update.
        balance: exponent that balances a table's columns in the loss; see ``ELBO``.
    """

    log_weight: Tensor
    judged_by_value = False

    def __init__(
        self,
        *,
        target: float = 10.0,
        samples: int = 1,
        speed: float = 0.01,
        balance: float = 0.0,
    ) -> None:
        super().__init__(samples=samples, balance=balance)
        if target <= 0:
            raise OptionError(f"the target rate must be positive, not {target}")
        self.target = target
        self.speed = speed
        self.register_buffer("log_weight", torch.zeros(()))

    def weight(self) -> Tensor:
        return self.log_weight.exp()

    @torch.no_grad()
    def after_update(self, bound: Bound) -> None:
        relative = (bound.rates.sum(0).mean() - self.target) / self.target
        self.log_weight.add_(self.speed * relative.clamp(-1.0, 1.0)).clamp_(-7.0, 7.0)
