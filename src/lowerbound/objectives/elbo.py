"""The evidence lower bound, with both estimators of the AEVB paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.models import Model
from lowerbound.objectives.balance import column_weights
from lowerbound.objectives.base import OBJECTIVES, Bound, Objective, over_samples, stacked_rates
from lowerbound.objectives.densities import require_bounded_densities
from lowerbound.trace import Batch, Choose, Draw, Trace

if TYPE_CHECKING:  # a name for annotations: numpy need not wait for it
    from lowerbound.data.dataset import Dataset


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
        warm_up: share of the run over which that weight rises linearly from 0 (Bowman et al. 2016).
        free_bits: nats per latent step, averaged over the batch, below which the rate is not
            penalized (Kingma et al. 2016).
        balance: b, the exponent that balances a table's columns in the loss: 0 does not change
            their weights, 1 divides the cost of each by that of its marginal; see ``balance``.
    """

    weights: Tensor | None

    def __init__(
        self,
        *,
        samples: int = 1,
        analytic: bool = True,
        beta: float = 1.0,
        warm_up: float = 0.0,
        free_bits: float = 0.0,
        balance: float = 0.0,
    ) -> None:
        super().__init__()
        if samples < 1:
            raise OptionError(f"samples must be at least 1, not {samples}")
        if not 0.0 <= warm_up <= 1.0:
            raise OptionError(f"warm_up is a share of the run, 0 to 1, not {warm_up}")
        if min(beta, free_bits, balance) < 0:
            raise OptionError("beta, free_bits and balance must not be negative")
        self.samples = samples
        self.analytic = analytic
        self.beta = beta
        self.warm_up = warm_up
        self.free_bits = free_bits
        self.balance = balance
        # a resumed run computes it again from the same rows
        self.register_buffer("weights", None, persistent=False)
        self.choose: Choose = Draw(samples)

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
            loss = self.loss(balanced - rates.sum(0), balanced, rates)
        else:
            loss = self.loss(value, likelihood, rates)
        for penalty in trace.penalties.values():
            loss = loss + penalty.mean()
        return Bound(value.detach(), -likelihood.detach(), rates.detach(), loss)

    def split(self, trace: Trace, batch: Batch) -> tuple[Tensor, Tensor]:
        """E_q[log p(x | z)], (batch,), and the rates, (steps, batch), of a pass, in nats."""
        assert batch.x is not None
        likelihood = over_samples(trace.likelihood.log_prob(batch.x, batch.observed))
        return likelihood, stacked_rates(trace, len(batch), analytic=self.analytic)

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

    def loss(self, value: Tensor, likelihood: Tensor, rates: Tensor) -> Tensor:
        """The differentiated scalar: distortion + beta * rate, with free bits."""
        weight = self.weight()
        plain = isinstance(weight, float) and weight == 1.0 and not self.free_bits
        if plain or not len(rates):
            return -value.mean()
        per_step = rates.mean(1)
        if self.free_bits:
            per_step = per_step.clamp_min(self.free_bits)
        return weight * per_step.sum() - likelihood.mean()

    def weight(self) -> Tensor | float:
        """beta, after its warm-up."""
        if not self.warm_up:
            return self.beta
        return self.beta * (self.progress / self.warm_up).clamp_max(1.0)


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
