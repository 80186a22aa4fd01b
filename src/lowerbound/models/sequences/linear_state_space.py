"""A linear-Gaussian state-space model, whose exact likelihood a Kalman filter gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal
from torch.nn import Parameter

from lowerbound.classical.factor_analysis import fit_factor_analysis
from lowerbound.classical.kalman import (
    Belief,
    Information,
    LinearDynamics,
    cholesky,
    identity_like,
    start_from_factors,
    times,
)
from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.distributions import triangular
from lowerbound.distributions.point import Point
from lowerbound.errors import OptionError, unknown
from lowerbound.likelihoods.location_scale import Gaussian
from lowerbound.models.base import DRAW, MODELS, MOST_FACTORS, Model, starting_rows
from lowerbound.posteriors.gaussian import MeanField
from lowerbound.trace import Batch, Choose, Emission, Mean, Step, Trace

if TYPE_CHECKING:  # names for annotations
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts

POSTERIORS = ("exact", "mean_field")
START_MEMORY = 0.9  # diagonal of A before training
Propose = Callable[[int, Tensor], Distribution]


@dataclass(frozen=True)
class StateSpaceOptions:
    """Options of a linear state-space model's posterior."""

    posterior: str = option("exact", "q(z | x): " + " or ".join(POSTERIORS))
    hidden: int = option(16, "numbers that the network of a mean_field posterior keeps in time")

    def __post_init__(self) -> None:
        if self.posterior not in POSTERIORS:
            raise unknown("posterior", self.posterior, POSTERIORS)
        if self.hidden < 1:
            raise OptionError(f"hidden is a number of units, at least 1, not {self.hidden}")


@MODELS.register("linear_state_space")
class LinearStateSpace(Model):
    r"""z_1 ~ N(m, V), z_t ~ N(A z_{t-1}, I), x_t ~ N(C z_t + d, diag r), for t = 1 .. T.

    A pass has one Step for each time, in the order of time, so each prior and each posterior may
    depend on the draw before it. ``choose`` decides each time separately: a sequence can be
    replayed up to now and imagined from there (``Continue``), and each time has its own rate. A
    single Step with a time axis would draw and score the whole sequence at once.

    The posterior looks ahead: q(z_t | z_{t-1}, x_{t:T}). The exact one is the product of the prior
    and the likelihood of all later times given z_t. Every draw then has the weight p(x), and the
    gradient of the bound is that of log p(x). With ``proposal``, a network gives the posterior, and
    the bound is lower by KL(q || p(z | x)).

    Rows of a batch are (time, features). Hidden cells, also whole times, are marginalized exactly.
    If ``resets`` is True at a time, an independent sequence starts there. ``Trace.state`` is
    p(z_T | x_{1:T}), packed (``classical.kalman.Belief``). Pass it as ``Batch.state`` to continue
    with a later batch; its log p is then conditional on the rows before. After a pass that
    imagines one sample, the state is the last z.

    Args:
        event_shape: (time, features) of a row; other rows may be longer or shorter.
        latent_dim: d, numbers of z at a time.
        proposal: network of q(z | x); None: the exact posterior.
        likelihood: p(x_t | z_t); None: a Gaussian with a learned standard deviation per feature.

    Sources: Kalman 1960; Krishnan et al. 2017 for posteriors that look ahead.
    """

    title: ClassVar[str] = "linear state space"
    Options: ClassVar[type[Any]] = StateSpaceOptions
    uses: ClassVar[tuple[str, ...]] = ()
    remark: ClassVar[str] = "Gaussian throughout; with the exact posterior the bound is log p(x)"

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent_dim: int,
        proposal: MeanField | None = None,
        likelihood: Gaussian | None = None,
    ) -> None:
        super().__init__()
        self.horizon, features = event_shape
        self.state_dim = latent_dim
        self.latent_dim = self.horizon * latent_dim
        self.transition = Parameter(START_MEMORY * torch.eye(latent_dim))
        self.initial = Parameter(torch.zeros(1, triangular.count(latent_dim)))
        self.emission = nn.Linear(latent_dim, features)
        self.likelihood = likelihood or Gaussian((features,), scale="feature")
        self.proposal = proposal

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        if len(schema.event_shape) != 2 or not schema.gaussian or options.conditional:
            raise OptionError(
                "linear_state_space is for sequences of real numbers, (rows, time, features), "
                "and takes no condition: give data.Sequences, or an array 'sequences' in a "
                ".npz file"
            )

    @classmethod
    def latent_dim_of(cls, schema: Schema, options: ModelOptions) -> int:
        """The given number, or half of the features and at least 2, which an oscillation needs."""
        most = min(math.ceil(schema.event_shape[-1] / 2), MOST_FACTORS)
        return options.latent_dim or max(2, most)

    @classmethod
    def latents_text(cls, parts: ModelParts) -> str:
        return f"{super().latents_text(parts)} at each time"

    @classmethod
    def rival_options(cls, dataset: Dataset, options: ModelOptions) -> ModelOptions | None:
        return options if len(dataset.schema.event_shape) == 2 else None

    @classmethod
    def build(cls, parts: ModelParts) -> LinearStateSpace:
        own, event_shape = parts.own(StateSpaceOptions), parts.schema.event_shape
        proposal = None
        if own.posterior == "mean_field":
            proposal = MeanField(event_shape[1], parts.latent_dim, own.hidden)
        return cls(event_shape, parts.latent_dim, proposal)

    def start(self, dataset: Dataset) -> None:
        """Start from a factor analysis of single times, and the transition between its factors."""
        batch = starting_rows(dataset)
        self.start_from(batch.filled, batch.observed)

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        if batch.x is None:
            return self.imagine(batch, choose)
        dynamics, before = self.dynamics(), self._before(batch)
        starts = self._starts(batch, batch.x.shape[1])
        said, _ = dynamics.information(batch.filled, batch.observed)
        last, _ = dynamics.filter(said, starts, before)
        if self.proposal is None:
            spreads = self._spreads(dynamics, starts, before)
            propose = _exact(spreads, dynamics.with_later(said, starts))
        else:
            propose = _apart(self.proposal(batch.filled, batch.observed, starts))
        steps = self._steps(batch, starts, choose, propose)
        return Trace(steps, self._emitted(steps), state=last.packed(len(batch)))

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass without data, as long as ``batch.resets`` if given, else as the training rows."""
        horizon = self.horizon if batch.resets is None else batch.resets.shape[1]
        steps = self._steps(batch, self._starts(batch, horizon), choose, None)
        last = steps[-1].z
        state = None
        if len(last) == 1:
            state = Belief(last[0], torch.zeros_like(self.transition)[None]).packed(len(batch))
        return Trace(steps, self._emitted(steps), state=state)

    @torch.no_grad()
    def start_from(self, x: Tensor, observed: Tensor | None = None) -> None:
        """Start from training rows, (rows, time, features): the factors of each time, and their
        transition to the next time."""
        values = x.double()
        mask = torch.ones_like(x, dtype=torch.bool) if observed is None else observed
        factors = fit_factor_analysis(values.flatten(0, 1), mask.flatten(0, 1), self.state_dim)
        found = start_from_factors(factors, values, mask)
        factor = cholesky(found.initial.covariance)
        self.initial.copy_(triangular.pack(found.initial.mean, factor))
        self.transition.copy_(found.transition)
        self.emission.weight.copy_(found.weight)
        self.emission.bias.copy_(found.offset)
        self.likelihood.scale.set(found.noise.sqrt().to(self.emission.bias))

    def encode(self, batch: Batch) -> Distribution:
        """The code as one point: E[z_t | x] of each time if the posterior is exact."""
        return Point(self.code(self(batch, Mean())))

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """p(x | z) for the latents of all times side by side, (samples, batch, time * d)."""
        z = z.unflatten(-1, (-1, self.state_dim))
        loc = self.emission(z.flatten(0, 2)).unflatten(0, z.shape[:3])
        emission: Emission = self.likelihood(loc)
        return emission

    def dynamics(self) -> LinearDynamics:
        """The parameters in the form for the Kalman recursions."""
        mean, factor = triangular.unpack(self.initial, self.state_dim)
        return LinearDynamics(
            Belief(mean, factor @ factor.mT),
            self.transition,
            self.emission.weight,
            self.emission.bias,
            self.likelihood.scale().square().expand_as(self.emission.bias),
        )

    def log_marginal(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Exact log p of the observed cells in nats, (rows,); each row is one sequence."""
        batch = Batch(x, observed)
        starts = self._starts(batch, x.shape[1])
        return self.dynamics().log_marginal(batch.filled, observed, starts)

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        proposing = [] if self.proposal is None else list(self.proposal.parameters())
        chosen = {id(parameter) for parameter in proposing}
        rest = [value for value in self.parameters() if id(value) not in chosen]
        return {"inference": proposing, "generative": rest}

    def _steps(
        self, batch: Batch, starts: Tensor, choose: Choose, propose: Propose | None
    ) -> tuple[Step, ...]:
        dynamics, before = self.dynamics(), self._before(batch)
        factors = cholesky(self._spreads(dynamics, starts, before))
        steps: list[Step] = []
        for time in range(starts.shape[1]):
            if steps:
                moved = steps[-1].z @ dynamics.transition.mT
            else:
                first = dynamics.initial if before is None else dynamics.predicted(before)
                moved = first.mean.expand(1, len(batch), -1)
            mean = torch.where(starts[:, time, None], dynamics.initial.mean, moved)
            prior = _gaussian(mean, factors[:, time])
            posterior = None if propose is None else propose(time, mean)
            steps.append(Step(choose(time, posterior, prior), posterior, prior))
        return tuple(steps)

    def _spreads(self, dynamics: LinearDynamics, starts: Tensor, before: Belief | None) -> Tensor:
        """Covariances of the priors, (rows, time, d, d); rows is 1 if all rows share them."""
        noise = identity_like(self.transition).expand(1, starts.shape[1], -1, -1)
        if before is not None:
            first = dynamics.predicted(before).covariance.unsqueeze(1)
            noise = torch.cat([first, noise[:, 1:].expand(len(first), -1, -1, -1)], 1)
        return torch.where(starts[..., None, None], dynamics.initial.covariance, noise)

    def _emitted(self, steps: Sequence[Step]) -> Emission:
        samples = max(len(step.z) for step in steps)
        return self.decode(torch.cat([step.z.expand(samples, -1, -1) for step in steps], -1))

    def _starts(self, batch: Batch, time: int) -> Tensor:
        """Where sequences start, (rows | 1, time); also at the first time if there is no state."""
        if batch.resets is not None:
            starts = batch.resets.clone()
        else:
            starts = torch.zeros(1, time, dtype=torch.bool, device=self.transition.device)
        if batch.state is None:
            starts[:, 0] = True
        return starts

    def _before(self, batch: Batch) -> Belief | None:
        return None if batch.state is None else Belief.unpacked(batch.state, self.state_dim)


def _exact(priors: Tensor, later: Information) -> Propose:
    """q(z_t | z_{t-1}, x_{t:T}) from the priors' covariances and the information of later times."""
    unseen = Belief(torch.zeros_like(later.pull[:1, :1]), priors)
    covariance = unseen.seeing(later)[0].covariance
    factors = cholesky(covariance)

    def propose(time: int, mean: Tensor) -> Distribution:
        said = later.at(time)
        pulled = times(covariance[:, time], said.pull - times(said.precision, mean))
        return _gaussian(mean + pulled, factors[:, time])

    return propose


def _apart(proposed: Sequence[Distribution]) -> Propose:
    """Posteriors that do not depend on earlier draws."""
    return lambda time, mean: proposed[time]


def _gaussian(mean: Tensor, factor: Tensor) -> MultivariateNormal:
    return MultivariateNormal(mean, scale_tril=factor, validate_args=False)
