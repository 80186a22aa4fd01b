"""p(z_1, z_2, ...): latents of the frames of a clip, each given those before it."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.priors.base import Prior, PriorTerms


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
