"""Playing: a policy on the states of a world model, frame by frame, and a record per evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound import durable, untrusted
from lowerbound.applications.control.environments import Environment
from lowerbound.config import from_mapping, option
from lowerbound.data.schema import Schema
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import LowerboundError, ModelFolderError, OptionError, UnsupportedError
from lowerbound.models.powers import WorldModel
from lowerbound.models.sequences.states import WorldState
from lowerbound.training.randomness import stream_seed
from lowerbound.untrusted import folders

RECORDS = "agent.jsonl"  # of a model folder; ``fitting.manifest`` names it too
RECENT = 30  # training episodes of a mean
MOST_STEPS = 30_000  # of an evaluated episode that does not end


@dataclass(frozen=True)
class AgentRecord:
    """What an agent has reached.

    Attributes:
        steps: of the environment so far.
        updates: so far.
        episodes: that ended so far.
        seconds: processor seconds so far, without evaluation.
        recent: mean sum of rewards of the last training episodes; None before the first.
        sampled, greedy: sums of rewards of evaluated episodes, with drawn actions and with the
            likeliest; empty: not evaluated here.
        readings: losses and rates of the newest update.
        environment: name of the environment; empty in older records.
    """

    steps: int
    updates: int
    episodes: int
    seconds: float
    recent: float | None
    sampled: tuple[float, ...] = ()
    greedy: tuple[float, ...] = ()
    readings: Mapping[str, float] = field(default_factory=dict)
    environment: str = ""


@dataclass(frozen=True)
class EvaluationOptions:
    """Evaluation while an agent learns."""

    evaluate_every: int = option(5_000, "steps of the environment between two evaluations; 0: none")
    episodes: int = option(10, "evaluated episodes, with drawn actions and with the likeliest each")


def said_of(at: str, folder: Path | None) -> str:
    """What the exception of Ctrl-C says.

    Args:
        at: which training was interrupted, and where.
        folder: of its checkpoint; None: there is none.
    """
    if folder is None:
        return f"{at}; without a folder nothing was saved"
    return f"{at} and saved in {folder}; resume to continue from there"


@folders.closing
def write_records(folder: Path, records: Sequence[AgentRecord]) -> None:
    """Write the records of an agent to its folder."""
    folders.make(folder)
    lines = [json.dumps(asdict(record)) + "\n" for record in records]
    durable.write_text(folder / RECORDS, "".join(lines))


@folders.closing
def read_records(folder: Path) -> list[AgentRecord]:
    """The records of an agent's folder.

    Raises:
        OptionError: it has none.
    """
    try:
        with untrusted.guarded(str(folder / RECORDS), ModelFolderError):
            lines = untrusted.text(folder / RECORDS, ModelFolderError).splitlines()
            values = [untrusted.parsed_mapping(line, RECORDS, ModelFolderError) for line in lines]
            found = [_record(each, line) for line, each in enumerate(values, 1)]
            steps = [0, *(record.steps for record in found)]
            if not all(before < after for before, after in pairwise(steps)):
                raise ValueError("the steps of its records do not rise from 1")
            return found
    except (OSError, LowerboundError) as error:
        raise OptionError(f"{folder} has no records of an agent ({RECORDS}): {error}") from error


def _record(values: Mapping[str, Any], line: int) -> AgentRecord:
    """The record of a line.

    Raises:
        ModelFolderError: a value is missing, or of another type than the record's.
    """
    known = {name: values[name] for name in AgentRecord.__dataclass_fields__ if name in values}
    try:
        return from_mapping(AgentRecord, known)
    except LowerboundError as error:
        raise ModelFolderError(f"line {line}: {error}") from error


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
