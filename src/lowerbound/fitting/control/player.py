"""Playing: a policy on the states of a world model, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.data.schema import Schema
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import UnsupportedError
from lowerbound.fitting.control.environments import Environment
from lowerbound.models.powers import WorldModel
from lowerbound.models.sequences.states import WorldState
from lowerbound.training.checkpoints.randomness import stream_seed

MOST_STEPS = 30_000  # of an evaluated episode that does not end


class Player:
    """Chooses actions by a world model's actor.

    Args:
        world: with behavior.
        frame: schema of a frame.
        greedy: takes the likeliest action; else draws it.

    Raises:
        UnsupportedError: the model has no behavior.
    """

    def __init__(self, world: WorldModel, frame: Schema, greedy: bool = False) -> None:
        if world.behavior is None:
            raise UnsupportedError(
                "this model has no actor, so it cannot play: lowerbound control train makes one"
            )
        self.world, self.behavior, self.frame, self.greedy = world, world.behavior, frame, greedy
        self.start()

    def start(self) -> None:
        """Forget all frames: an episode starts."""
        self.state = self.world.initial(1)
        self.action = self.state.memory.new_zeros(1, self.world.actions)

    @torch.no_grad()
    def see(self, frame: Tensor) -> WorldState:
        """The state after one more packed frame, (*frame)."""
        x = self.frame.units(frame.unsqueeze(0)).to(self.action)
        self.state = self.world.observe(self.state, self.action, x)
        return self.state

    @torch.no_grad()
    def act(self, frame: Tensor) -> Tensor:
        """The action after one more packed frame, (numbers,)."""
        policy = self.behavior.policy(self.see(frame).features)
        self.action = policy.mode if self.greedy else policy.rsample()
        return self.action[0]

    def done(self, action: Tensor) -> None:
        """Say which action was done instead, such as a random one, (numbers,)."""
        self.action = action.unsqueeze(0).to(self.action)


@dataclass(frozen=True)
class Episode:
    """An evaluated episode."""

    score: float
    steps: int


def play(
    world: WorldModel,
    env: Environment,
    frame: Schema,
    episodes: int,
    *,
    greedy: bool = False,
    seed: int = 0,
) -> list[Episode]:
    """Play episodes, and return their sums of rewards.

    Args:
        world: with behavior, in evaluation mode.
        env: not used by training; episodes start with seeds of its own stream.
        frame: schema of a frame.
        episodes: how many.
        greedy: takes the likeliest actions.
        seed: of the draws of states and actions.
    """
    player, found = Player(world, frame, greedy), list[Episode]()
    with seeded(stream_seed(seed, f"play {greedy}")):
        for _ in range(episodes):
            seen, score, steps, over = env.reset(), 0.0, 0, False
            player.start()
            while not over and steps < MOST_STEPS:
                arrival = env.step(player.act(seen).cpu())
                seen, over = arrival.frame, arrival.terminated or arrival.truncated
                score, steps = score + arrival.reward, steps + 1
            found.append(Episode(score, steps))
    return found
