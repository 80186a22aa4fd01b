r"""Annealed importance sampling: log p(x) between two bounds, if importance weights fail.

.. math::
    \log w = \sum_{t=1}^{T} (\beta_t - \beta_{t-1}) \log \frac{p(x, z_{t-1})}{q(z_{t-1} \mid x)},
    \quad z_0 \sim q(z \mid x), \quad z_t \sim \mathcal{T}_{\beta_t}(\cdot \mid z_{t-1})

The mean of w is p(x), so the log of its average over chains is on average a lower bound (Neal 2001;
Wu et al. 2017 for decoders). T = 1 is plain importance sampling. ``bidirectional`` runs the same
chains backwards for the upper bound.

Pilot chains find the step sizes. Nothing else is taken from them, so the estimate remains valid.

The transitions are Hamiltonian, between the encoder's proposal and the posterior:

.. math:: f_\beta(z) = q(z \mid x)^{1 - \beta}\, p(x, z)^{\beta}, \quad 0 \le \beta \le 1

All latents of a pass are concatenated to one vector z. A transition leaves f_beta / Z_beta
invariant for every step size that does not depend on the chain itself. One leapfrog step per
transition is the Metropolis-adjusted Langevin algorithm (MALA).

Source: Neal 2011, "MCMC using Hamiltonian dynamics".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.inference.likelihood import refuse_no_latents
from lowerbound.inference.passes import (
    MEMORY,
    ChunkPlan,
    Footprint,
    Progress,
    batches,
    dry_run,
    evaluation_mode,
    first_row,
)
from lowerbound.models.base import Model
from lowerbound.networks.processor import in_precision
from lowerbound.objectives.base import require_exact_densities
from lowerbound.trace import Batch, Draw, Given, Trace

JITTER = 0.2
"""Share by which the step size varies, because trajectories of one length can be periodic."""
Schedule = Literal["sigmoid", "linear"]

STEEPNESS = 4.0  # of the sigmoid schedule, as in Grosse et al. 2015
PILOT_CHAINS = 4
PILOT_SHARE = 4  # the pilot's ladder has a quarter of the temperatures
WARM_UP = 20  # pilot transitions at the first temperature, before the others
ADAPTATION = 0.5  # of the log step size, per transition and unit of acceptance
SMOOTHING = 0.2  # of the step size of the pilot
SCALE_DRAWS = 16  # of the proposal, for the scale of each coordinate
LEAST_SCALE = 1e-6
START, PILOT, FORWARD, BACKWARD = range(4)  # streams of noise
STREAMS = 4  # of noise that belong to one seed
TASK, INSTEAD = "annealed importance sampling", "take the bound L_K instead"


@dataclass(frozen=True)
class State:
    """Positions of some chains of each row.

    Attributes:
        z: all latents side by side, (chains, rows, numbers).
        log_joint: log p(x, z), (chains, rows), nats.
        log_proposal: log q(z | x), (chains, rows), nats.
        joint_slope: gradient of log_joint by z.
        proposal_slope: gradient of log_proposal by z.
    """

    z: Tensor
    log_joint: Tensor
    log_proposal: Tensor
    joint_slope: Tensor
    proposal_slope: Tensor

    @property
    def log_ratio(self) -> Tensor:
        """log p(x, z) - log q(z | x), (chains, rows)."""
        return self.log_joint - self.log_proposal

    def log_density(self, beta: float) -> Tensor:
        """log f_beta, (chains, rows)."""
        return (1 - beta) * self.log_proposal + beta * self.log_joint

    def slope(self, beta: float) -> Tensor:
        """The gradient of log f_beta by z."""
        return (1 - beta) * self.proposal_slope + beta * self.joint_slope

    def moved(self, to: State, where: Tensor) -> State:
        """The other state if ``where``, (chains, rows), is True, otherwise this state."""
        values = {}
        for field in fields(self):
            mine, its = getattr(self, field.name), getattr(to, field.name)
            values[field.name] = torch.where(
                where if mine.dim() == 2 else where[..., None], its, mine
            )
        return State(**values)


class Target:
    """p(x, z) and q(z | x) of the rows of one batch, and their gradients by z.

    Args:
        model: in evaluation mode.
        batch: the rows.
        like: a pass of the model, for the shapes of its latents.
    """

    def __init__(self, model: Model, batch: Batch, like: Trace) -> None:
        self.model = model
        self.batch = batch
        self.shapes = [step.z.shape[2:] for step in like.steps]

    @torch.enable_grad()
    def __call__(self, z: Tensor) -> State:
        """The state at z, (chains, rows, numbers)."""
        assert self.batch.x is not None
        z = z.detach().requires_grad_()
        trace = self.model(self.batch, Given(self.unpacked(z)))
        log_joint = trace.likelihood.log_prob(self.batch.x, self.batch.observed)
        log_proposal = torch.zeros_like(log_joint)
        for step in trace.steps:
            assert step.posterior is not None
            log_joint = log_joint + step.prior.log_prob(step.z)
            log_proposal = log_proposal + step.posterior.log_prob(step.z)
        (joint_slope,) = torch.autograd.grad(log_joint.sum(), z, retain_graph=True)
        (proposal_slope,) = torch.autograd.grad(log_proposal.sum(), z)
        values = (z, log_joint, log_proposal, joint_slope, proposal_slope)
        return State(*(value.detach() for value in values))

    def unpacked(self, z: Tensor) -> list[Tensor]:
        """Each latent in its own shape, from the top level down."""
        parts = z.split([math.prod(shape) for shape in self.shapes], -1)
        return [part.unflatten(-1, shape) for part, shape in zip(parts, self.shapes, strict=True)]


@dataclass(frozen=True)
class Transition:
    """A Hamiltonian trajectory with a Metropolis acceptance step.

    Attributes:
        target: the density that it leaves invariant.
        scale: length scale of each latent, (1, rows, numbers).
        leapfrog: steps of a trajectory; 1: MALA.
    """

    target: Target
    scale: Tensor
    leapfrog: int

    @property
    def noise_numbers(self) -> int:
        """Number of standard normal numbers for one transition of a chain."""
        return self.scale.shape[-1] + 2

    def __call__(
        self, state: State, beta: float, step: Tensor, noise: Tensor
    ) -> tuple[State, Tensor]:
        """The state after one transition, and its acceptance probability, (chains, rows).

        Args:
            state: before the transition.
            beta: temperature.
            step: step size of each row, (rows,).
            noise: standard normal, (chains, rows, noise_numbers).
        """
        momentum, decision, jitter = noise.split([noise.shape[-1] - 2, 1, 1], -1)
        varied = step.unsqueeze(-1) * (1 + JITTER * (2 * torch.special.ndtr(jitter) - 1))
        proposed, arrived = self._trajectory(state, beta, varied, momentum)
        kinetic = 0.5 * (momentum.square().sum(-1) - arrived.square().sum(-1))
        gain = proposed.log_density(beta) - state.log_density(beta) + kinetic
        gain = torch.nan_to_num(gain, nan=-math.inf, posinf=-math.inf)  # a trajectory that diverged
        accepted = torch.special.log_ndtr(decision.squeeze(-1)) < gain
        return state.moved(proposed, accepted), gain.clamp_max(0.0).exp()

    def _trajectory(
        self, state: State, beta: float, step: Tensor, momentum: Tensor
    ) -> tuple[State, Tensor]:
        """The end of the leapfrog steps, and the momentum there."""
        stride = step * self.scale
        momentum = momentum + 0.5 * stride * state.slope(beta)
        for left in reversed(range(self.leapfrog)):
            state = self.target(state.z + stride * momentum)
            momentum = momentum + (1.0 if left else 0.5) * stride * state.slope(beta)
        return state, momentum


@dataclass(frozen=True)
class AnnealingOptions:
    """Length and number of the chains; the error is about inverse to ``temperatures``."""

    temperatures: int = option(500, "T, steps from the encoder's proposal to the posterior")
    chains: int = option(8, "chains per row")
    leapfrog: int = option(1, "leapfrog steps of a transition; 1: Langevin (MALA)")
    schedule: Schedule = option("linear", "how temperatures are spaced")
    seed: int = option(0, "of all draws")

    def __post_init__(self) -> None:
        for name in ("temperatures", "chains", "leapfrog"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def acceptance(self) -> float:
        """The acceptance probability that step sizes are tuned to."""
        return 0.57 if self.leapfrog == 1 else 0.8


@dataclass(frozen=True)
class Annealed:
    """Lower bounds on log p(x), one per row, in nats and in the data's own units; float64.

    Attributes:
        bound: log of the average weight over chains, (rows,).
        effective_sample_size: of the chains' weights, 1 to chains, (rows,).
        acceptance: mean acceptance probability of the transitions, (rows,).
    """

    bound: Tensor
    effective_sample_size: Tensor
    acceptance: Tensor


def anneal(
    model: Model,
    dataset: Dataset,
    options: AnnealingOptions | None = None,
    *,
    memory: int = 8 * MEMORY,
    progress: Progress | None = None,
) -> Annealed:
    """Score every row by annealed importance sampling. It is slow, so pass a subset.

    The noise depends only on the row's content, the seed and the chain's number, as in
    ``likelihood.score``. The model is in evaluation mode; global random state is not touched.

    Args:
        model: with continuous latents, one or many levels.
        dataset: the rows to score.
        options: temperatures, chains, transitions.
        memory: working memory in bytes.
        progress: called with (rows done, rows) after each chunk.

    Raises:
        UnsupportedError: no latents, discrete latents, or a density that is not exact.
    """
    options = options or AnnealingOptions()
    model = in_precision(model, dataset.x.dtype)
    footprint = checked(model, dataset)
    plan = ChunkPlan.within(memory, footprint, options.chains)
    found = []
    with evaluation_mode(model, gradients=True):
        for rows, batch in batches(dataset, model, plan.rows):
            chains = AnnealedChains(model, batch, footprint.trace, options)
            found.append(chains.forward(plan.samples))
            if progress is not None:
                progress(rows.stop, len(dataset))
    weights = torch.cat([part.log_weights for part in found], 1)
    total = torch.logsumexp(weights, 0)
    units = dataset.log_jacobian(mass=model.mass)
    return Annealed(
        bound=total - math.log(options.chains) + units,
        effective_sample_size=torch.exp(2 * total - torch.logsumexp(2 * weights, 0)),
        acceptance=torch.cat([part.acceptance for part in found], 1).mean(0),
    )


def temperatures(count: int, schedule: Schedule) -> Tensor:
    """beta_0 = 0 < ... < beta_count = 1, (count + 1,); the sigmoid is dense at both ends."""
    even = torch.linspace(0, 1, count + 1, dtype=torch.float64)
    if schedule == "linear":
        return even
    bent = torch.sigmoid(STEEPNESS * (2 * even - 1))
    return (bent - bent[0]) / (bent[-1] - bent[0])


def checked(model: Model, dataset: Dataset, task: str = TASK, instead: str = INSTEAD) -> Footprint:
    """The memory of a differentiated pass, after checking that the model can be annealed.

    Args:
        model, dataset: the model and its rows.
        task: what chains are for, in words.
        instead: what to do if latents are discrete.

    Raises:
        UnsupportedError: no latents, discrete latents, or a density that is not exact.
    """
    footprint = dry_run(model, first_row(dataset, model))
    refuse_no_latents(model, footprint.trace)
    refuse_discrete_latents(footprint.trace, task, instead)
    require_exact_densities(footprint.trace, "annealed importance sampling")
    return footprint.differentiated()


def refuse_discrete_latents(trace: Trace, task: str = TASK, instead: str = INSTEAD) -> None:
    """Raise an error for latents without gradients.

    Raises:
        UnsupportedError: names the level and the distribution.
    """
    for level, step in enumerate(trace.steps):
        assert step.posterior is not None
        continuous = getattr(step.posterior, "continuous", step.posterior.has_rsample)
        if not (step.z.is_floating_point() and continuous):
            raise UnsupportedError(
                f"{task} moves latents along gradients, and level {level} is a discrete latent "
                f"({type(step.posterior).__name__}): {instead}"
            )


@dataclass(frozen=True)
class AnnealingRun:
    """Results of some chains of each row.

    Attributes:
        log_weights: (chains, rows), nats, float64.
        acceptance: mean acceptance probability, (chains, rows); 1 without any transition.
    """

    log_weights: Tensor
    acceptance: Tensor


class AnnealedChains:
    """Chains of the rows of one batch, forwards from the proposal or backwards from the posterior.

    Args:
        model: in evaluation mode.
        batch: the rows.
        like: a pass of the model, for the shapes of its latents.
        options: number, length and transitions of the chains.
    """

    def __init__(self, model: Model, batch: Batch, like: Trace, options: AnnealingOptions) -> None:
        self.model, self.batch, self.options = model, batch, options
        self.target = Target(model, batch, like)
        self.keys = row_keys(batch.filled, options.seed)
        self.betas = temperatures(options.temperatures, options.schedule).tolist()
        spread = self._proposals(SCALE_DRAWS, 0, START).std(0, keepdim=True)
        self.transition = Transition(self.target, spread.clamp_min(LEAST_SCALE), options.leapfrog)
        self.steps = self._pilot()

    def forward(self, together: int) -> AnnealingRun:
        """All chains from the proposal to the posterior, at most ``together`` at once."""
        return _joined([self._forward(first, count) for first, count in self._parts(together)])

    def backward(self, z: Tensor, together: int) -> AnnealingRun:
        """All chains from exact posterior draws, (1, rows, numbers), to the proposal.

        The average weight is then 1 / p(x).
        """
        return _joined([self._backward(z, first, count) for first, count in self._parts(together)])

    def _parts(self, together: int) -> list[tuple[int, int]]:
        """(first chain, number of chains) of each part."""
        chains = self.options.chains
        return [(start, min(together, chains - start)) for start in range(0, chains, together)]

    def _forward(self, first: int, count: int) -> AnnealingRun:
        state = self.target(self._proposals(count, first, FORWARD))
        weights, acceptances = [], []
        for index, (cold, hot) in enumerate(pairwise(self.betas)):
            weights.append((hot - cold) * state.log_ratio.double())
            if hot < 1.0:
                state, accepted = self._move(state, index, FORWARD, first)
                acceptances.append(accepted)
        return _run(weights, acceptances)

    def _backward(self, z: Tensor, first: int, count: int) -> AnnealingRun:
        """The forward chain's steps in reverse; each leaves its temperature's density invariant."""
        state = self.target(z.expand(count, -1, -1))
        weights, acceptances = [], []
        for index, (cold, hot) in reversed(list(enumerate(pairwise(self.betas)))):
            weights.append((cold - hot) * state.log_ratio.double())
            if cold > 0.0:
                state, accepted = self._move(state, index - 1, BACKWARD, first)
                acceptances.append(accepted)
        return _run(weights, acceptances)

    def _move(self, state: State, index: int, stream: int, first: int) -> tuple[State, Tensor]:
        """The transition at the temperature ``betas[index + 1]``."""
        noise = self._noise(state, stream, index, first)
        return self.transition(state, self.betas[index + 1], self.steps[index], noise)

    def _pilot(self) -> Tensor:
        """A step size for each transition and row, (T, rows), from chains that are then dropped.

        Robbins-Monro: the log step size rises if the acceptance is above its target, and falls if
        it is below.
        """
        wanted = self.options.acceptance
        count = max(1, math.ceil(self.options.temperatures / PILOT_SHARE))
        betas = temperatures(count, self.options.schedule).tolist()
        state = self.target(self._proposals(PILOT_CHAINS, 0, PILOT))
        log_step = torch.full_like(state.log_joint[0], -0.25 * math.log(state.z.shape[-1]))
        found = []
        for number, beta in enumerate([0.0] * WARM_UP + betas[1:]):
            noise = self._noise(state, PILOT, number, 0)
            state, accepted = self.transition(state, beta, log_step.exp(), noise)
            log_step = log_step + ADAPTATION * (accepted.mean(0) - wanted)
            found.append(log_step)
        ladder = _smoothed(torch.stack(found))[WARM_UP:]
        places = torch.linspace(0, count - 1, self.options.temperatures).round().long()
        return ladder[places].exp()

    def _proposals(self, count: int, first: int, stream: int) -> Tensor:
        """Draws from q(z | x), (count, rows, numbers)."""
        with torch.no_grad():
            trace: Trace = self.model(self.batch, Draw(count, self._keyed(stream, first)))
        return trace.latents()

    def _noise(self, state: State, stream: int, number: int, first: int) -> Tensor:
        shape = (*state.z.shape[:2], self.transition.noise_numbers)
        levels = len(self.target.shapes)  # noise levels below this one belong to the proposals
        return self._keyed(stream, first).normal(shape, state.z, levels + number)

    def _keyed(self, stream: int, first: int) -> KeyedNoise:
        return KeyedNoise(self.keys, STREAMS * self.options.seed + stream, first)


def _run(weights: list[Tensor], acceptances: list[Tensor]) -> AnnealingRun:
    total = torch.stack(weights).sum(0).cpu()
    if not acceptances:
        return AnnealingRun(total, torch.ones_like(total))
    return AnnealingRun(total, torch.stack(acceptances).double().mean(0).cpu())


def _joined(runs: list[AnnealingRun]) -> AnnealingRun:
    """Several parts of the chains of the same rows as one."""
    weights = torch.cat([run.log_weights for run in runs])
    acceptances = torch.cat([run.acceptance for run in runs])
    return AnnealingRun(weights, acceptances)


def _smoothed(steps: Tensor) -> Tensor:
    """A running mean along the ladder, (transitions, rows), against the noise of single steps."""
    mean, found = steps[0], []
    for step in steps:
        mean = torch.lerp(mean, step, SMOOTHING)
        found.append(mean)
    return torch.stack(found)
