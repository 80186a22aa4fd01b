r"""Hamiltonian transitions between the encoder's proposal and the posterior.

.. math:: f_\beta(z) = q(z \mid x)^{1 - \beta}\, p(x, z)^{\beta}, \quad 0 \le \beta \le 1

All latents of a pass are concatenated to one vector z. A transition leaves f_beta / Z_beta
invariant for every step size that does not depend on the chain itself. One leapfrog step per
transition is the Metropolis-adjusted Langevin algorithm (MALA).

Source: Neal 2011, "MCMC using Hamiltonian dynamics".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lowerbound.models import Model
from lowerbound.trace import Batch, Given, Trace

JITTER = 0.2
"""Share by which the step size varies, because trajectories of one length can be periodic."""


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
