"""p(z_1, z_2, ...): latents of the frames of a clip, each given those before it.

The recurrent one is a linear model, and a network for the rest.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal
from torch.nn import functional as F

from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.errors import DataError, OptionError
from lowerbound.priors.base import PRIORS, Encode, Prior, PriorTerms

SCALE_FLOOR = 1e-3  # of a standardized latent
SMALLEST_SCALE = 1e-6
RIDGE = 1e-3  # of the variance of a standardized input, in the regression that training starts from


class Memory(NamedTuple):
    """What a temporal prior keeps of the frames before, to continue with the next frame.

    Attributes:
        hidden: state of the network, (rows, hidden).
        trend: linear part of the next mean, (rows, latent_dim).
    """

    hidden: Tensor
    trend: Tensor

    def repeated(self, samples: int) -> Memory:
        """The same for several continuations of each row, (samples * rows, ...)."""
        return Memory(*(value.repeat(samples, 1) for value in self))


class Steps(NamedTuple):
    """p(z_t | z_{<t}, a_{<t}) for each time of some clips.

    Attributes:
        loc, scale: of the Gaussian, (rows, time, latent_dim); without meaning where a clip starts.
        starts: where a clip starts, so that z_t ~ p(z_1), (rows, time) bool.
        memory: after the last frame.
    """

    loc: Tensor
    scale: Tensor
    starts: Tensor
    memory: Memory


class TemporalPrior(Prior):
    r"""p(z_1) \prod_t p(z_{t+1} | z_{\le t}, a_{\le t}), where a_t is the action after frame t.

    As a prior over rows it is p(z_1), the distribution of a frame without a past.

    Attributes:
        actions: numbers of an action; 0: clips have no actions.
        window: frames of a clip that training sees at once.
    """

    learns_from_clips: ClassVar[bool] = True
    actions: int
    window: int

    @abstractmethod
    def observe(
        self,
        z: Tensor,
        actions: Tensor | None = None,
        resets: Tensor | None = None,
        memory: Memory | None = None,
    ) -> Steps:
        """p of each frame given those before it.

        Args:
            z: latents in the order of time, (rows, time, latent_dim).
            actions: after each frame, (rows, time, actions); None if the prior takes none.
            resets: True where a clip starts, (rows, time); None: nowhere after the first frame.
            memory: of the frames before; None: a clip starts at the first frame.
        """

    @abstractmethod
    def following(self, memory: Memory) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the next latent, (..., latent_dim) each."""

    @abstractmethod
    def remember(self, memory: Memory, z: Tensor, action: Tensor | None = None) -> Memory:
        """The memory after one more frame, z (rows, latent_dim) and action (rows, actions)."""

    @abstractmethod
    def start_from_clips(self, z: Tensor, actions: Tensor | None, resets: Tensor) -> None:
        """Start from training clips, one after another.

        Args:
            z: latents, (frames, latent_dim).
            actions: after each frame, (frames, actions).
            resets: True where a clip starts, (frames,).

        Raises:
            DataError: no clip has two frames.
        """

    @abstractmethod
    def terms_of_clips(self, z: Tensor, actions: Tensor | None, resets: Tensor) -> PriorTerms:
        """What training on windows needs, in nats per frame; arguments as of ``observe``."""

    def log_prob_of_clips(
        self,
        z: Tensor,
        actions: Tensor | None = None,
        resets: Tensor | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """log p(z_t | z_{<t}, a_{<t}) in nats, (rows, time); arguments as of ``observe``."""
        return self.log_prob_of_steps(self.observe(z, actions, resets, memory), z)

    def log_prob_of_steps(self, steps: Steps, z: Tensor) -> Tensor:
        """log p of each frame in nats, (rows, time), under its own distribution."""
        each: Tensor = diagonal_normal(steps.loc, steps.scale).log_prob(z)
        if not bool(steps.starts.any()):
            return each
        return torch.where(steps.starts, self().log_prob(z), each)

    def push(self, memory: Memory, noise: Tensor, actions: Tensor | None = None) -> Tensor:
        """Map standard normal noise to the latents of the next frames, one after another.

        Without noise (zeros) this is the path of means, where each mean takes the place of a draw.

        Args:
            memory: of the frames before.
            noise: (rows, frames, latent_dim).
            actions: after each of these frames, (rows, frames, actions); the last is not used.

        Returns:
            (rows, frames, latent_dim).
        """
        found: list[Tensor] = []
        for time in range(noise.shape[1]):
            if time:
                action = None if actions is None else actions[:, time - 1]
                memory = self.remember(memory, found[-1], action)
            loc, scale = self.following(memory)
            found.append(loc + scale * noise[:, time])
        return torch.stack(found, 1)


@PRIORS.register("recurrent")
class RecurrentPrior(TemporalPrior):
    r"""z_t = m + s u_t, where u follows a linear model plus what a recurrent network adds.

    .. math::
        z_1 \sim N(m, C), \qquad h_t = \mathrm{GRU}(h_{t-1}, u_t, a_t), \qquad
        u_{t+1} \sim N(A u_t + B a_t + c + f(h_t), \mathrm{diag}\, g(h_t)^2)

    m, s and C are the mean, the standard deviations and the covariance of the training latents;
    actions are standardized too. Training starts at the least-squares A, B and c with f = 0 and g
    the standard deviation of the residuals: at the best linear model. The loss is -log p per frame
    plus ``ahead_weight`` times the squared error of u on the path of means, over the last ``ahead``
    frames of each window, which the path does not see. log p alone fits one step; its path of means
    drifts after several.

    Args:
        latent_dim: numbers in z.
        event_shape: shape of a row; not used.
        actions: numbers of an action; 0: clips have no actions. ``lowerbound prior`` sets it.
        hidden: numbers of h.
        dropout: share of the numbers of h that f and g do not see, in training.
        window: frames of a clip that training sees at once.
        ahead: frames at the end of a window that are predicted from those before.
        ahead_weight: of the error of this prediction; 0: the loss is -log p alone.

    Sources: Ha & Schmidhuber 2018 (recurrent network over latents of frames); Cho et al. 2014.
    """

    loc: Tensor
    scale: Tensor
    factor: Tensor
    action_loc: Tensor
    action_scale: Tensor

    def __init__(
        self,
        latent_dim: int,
        event_shape: tuple[int, ...] = (),
        *,
        actions: int = 0,
        hidden: int = 256,
        dropout: float = 0.5,
        window: int = 20,
        ahead: int = 10,
        ahead_weight: float = 1.0,
    ) -> None:
        super().__init__(latent_dim, event_shape)
        if hidden < 1 or actions < 0 or not 0 <= dropout < 1 or ahead_weight < 0:
            raise OptionError(
                "hidden must be at least 1, actions and ahead_weight at least 0, dropout at least "
                f"0 and below 1, not {hidden}, {actions}, {ahead_weight:g} and {dropout:g}"
            )
        if not 1 <= ahead < window:
            raise OptionError(
                f"ahead must be at least 1 and below window, not {ahead} with window {window}"
            )
        self.actions, self.window = actions, window
        self.ahead, self.ahead_weight = ahead, ahead_weight
        self.linear = nn.Linear(latent_dim + actions, latent_dim)
        self.cell = nn.GRUCell(latent_dim + actions, hidden)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 2 * latent_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("loc", torch.zeros(latent_dim))
        self.register_buffer("scale", torch.ones(latent_dim))
        self.register_buffer("factor", torch.eye(latent_dim))  # C = factor factor^T
        self.register_buffer("action_loc", torch.zeros(actions))
        self.register_buffer("action_scale", torch.ones(actions))

    def forward(self, encode: Encode | None = None) -> MultivariateNormal:
        loc = self.loc.expand(1, 1, -1)
        return MultivariateNormal(loc, scale_tril=self.factor, validate_args=False)

    def observe(
        self,
        z: Tensor,
        actions: Tensor | None = None,
        resets: Tensor | None = None,
        memory: Memory | None = None,
    ) -> Steps:
        starts = _starts(z, resets, memory)
        memory = memory or self._nothing(z)
        inputs = self._inputs(z, actions)
        states = [memory.hidden]
        for time in range(z.shape[1]):
            before = states[-1] * ~starts[:, time, None]
            states.append(self.cell(inputs[:, time], before))
        trends = torch.cat([memory.trend.unsqueeze(1), self.linear(inputs)], 1)
        each = Memory(torch.stack(states, 1), trends)
        loc, scale = self.following(Memory(*(value[:, :-1] for value in each)))
        return Steps(loc, scale, starts, Memory(*(value[:, -1] for value in each)))

    def following(self, memory: Memory) -> tuple[Tensor, Tensor]:
        change, raw = self.head(self.drop(memory.hidden)).chunk(2, -1)
        loc = self.loc + self.scale * (memory.trend + change)
        return loc, self.scale * (SCALE_FLOOR + F.softplus(raw))

    def remember(self, memory: Memory, z: Tensor, action: Tensor | None = None) -> Memory:
        inputs = self._inputs(z, action)
        return Memory(self.cell(inputs, memory.hidden), self.linear(inputs))

    def terms_of_clips(self, z: Tensor, actions: Tensor | None, resets: Tensor) -> PriorTerms:
        split = max(z.shape[1] - self.ahead, 1)
        given, hidden = slice(split), slice(split, None)
        first, rest = ((None if actions is None else actions[:, part]) for part in (given, hidden))
        seen = self.observe(z[:, given], first, resets[:, given])
        later = self.observe(z[:, hidden], rest, resets[:, hidden], seen.memory)
        found = (
            self.log_prob_of_steps(seen, z[:, given]),
            self.log_prob_of_steps(later, z[:, hidden]),
        )
        log_prob = torch.cat(found, 1).mean(1)
        if not self.ahead_weight or not z[:, hidden].numel():
            return PriorTerms(log_prob, -log_prob)
        path = self.push(seen.memory, torch.zeros_like(z[:, hidden]), rest)
        error = ((path - z[:, hidden]) / self.scale).square().sum(2)
        same_clip = resets[:, hidden].cumsum(1) == 0
        error = (error * same_clip).mean(1)
        return PriorTerms(log_prob, self.ahead_weight * error - log_prob)

    @torch.no_grad()
    def start_from_clips(self, z: Tensor, actions: Tensor | None, resets: Tensor) -> None:
        goes_on = ~resets[1:]
        if not bool(goes_on.any()):
            raise DataError(
                "no clip to train on has two frames, so nothing follows: give more or longer "
                "clips, or hold out a smaller share for validation"
            )
        self._standardize(z, actions)
        inputs = self._inputs(z, actions).double()
        constant = inputs.new_ones(int(goes_on.sum()), 1)
        given = torch.cat([inputs[:-1][goes_on], constant], 1)
        next_u = inputs[1:, : self.latent_dim][goes_on]
        ridge = RIDGE * len(given) * torch.eye(given.shape[1], device=z.device).double()
        weight = torch.linalg.solve(given.mT @ given + ridge, given.mT @ next_u)
        self.linear.weight.copy_(weight[:-1].mT)
        self.linear.bias.copy_(weight[-1])
        spread = (next_u - given @ weight).square().mean(0).sqrt()
        excess = (spread - SCALE_FLOOR).clamp_min(SCALE_FLOOR)
        self.head.bias[self.latent_dim :].copy_(torch.expm1(excess).log())

    def _standardize(self, z: Tensor, actions: Tensor | None) -> None:
        """Set m, s, the factor of C and those of actions from training frames."""
        values = z.double()
        self.loc.copy_(values.mean(0))
        self.scale.copy_(values.std(0).clamp_min(SMALLEST_SCALE))
        if actions is not None:
            self.action_loc.copy_(actions.double().mean(0))
            self.action_scale.copy_(actions.double().std(0).clamp_min(SMALLEST_SCALE))
        variances = torch.diag(self.scale.double().square())
        share = self.latent_dim / (self.latent_dim + len(z))  # few frames: closer to independence
        covariance = (1 - share) * torch.cov(values.mT).reshape(variances.shape)
        self.factor.copy_(torch.linalg.cholesky(covariance + share * variances))

    def _inputs(self, z: Tensor, actions: Tensor | None) -> Tensor:
        """u and the standardized actions side by side, (..., latent_dim + actions)."""
        numbers = 0 if actions is None else actions.shape[-1]
        if numbers != self.actions:
            raise OptionError(
                f"the prior was trained with {self.actions or 'no'} numbers of an action, and the "
                f"clips have {numbers or 'none'}"
            )
        u = (z - self.loc) / self.scale
        if actions is None:
            return u
        standard = (actions - self.action_loc) / self.action_scale
        return torch.cat([u, standard.to(u)], -1)

    def _nothing(self, z: Tensor) -> Memory:
        """The memory before the first frame of a clip."""
        hidden = z.new_zeros(len(z), self.cell.hidden_size)
        return Memory(hidden, z.new_zeros(len(z), self.latent_dim))


def _starts(z: Tensor, resets: Tensor | None, memory: Memory | None) -> Tensor:
    """Where clips start, (rows, time); also at the first frame if there is no memory."""
    if resets is None:
        starts = torch.zeros(z.shape[:2], dtype=torch.bool, device=z.device)
    else:
        starts = resets.expand(z.shape[:2]).clone()
    if memory is None:
        starts[:, 0] = True
    return starts
