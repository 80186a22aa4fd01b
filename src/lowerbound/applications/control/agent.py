r"""An agent that learns a world model from its episodes, and behavior from imagined ones.

::

    environment ──frames, rewards──> replay ──windows──> world model ──states──> actor, critic
         ^─────────────────────── actions by the actor on the model's states ──────────┘

After ``prefill`` random steps, each ``every`` steps of the environment one update follows: of the
world model on windows of the replay, then of actor and critic on episodes imagined from the states
of these windows. Source: Hafner et al. 2021 (DreamerV2).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lowerbound.applications.control.environment_options import EnvironmentOptions
from lowerbound.applications.control.environments import Environment
from lowerbound.applications.control.imagined_returns import ImaginationOptions, ImaginedReturns
from lowerbound.applications.control.player import Player
from lowerbound.applications.control.replay import EpisodeReplay
from lowerbound.config import option
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.windows import Windows
from lowerbound.distributions.one_hot import uniform_actions
from lowerbound.errors import OptionError, unknown
from lowerbound.fitting.assembly import assemble, resolve
from lowerbound.models.options import ModelOptions
from lowerbound.models.powers import WorldModel
from lowerbound.models.sequences.states import WorldState
from lowerbound.networks.matrix_products import native_bf16
from lowerbound.objectives.elbo import ELBO
from lowerbound.parts import AUTO
from lowerbound.trace import Batch
from lowerbound.training.adam import Adam
from lowerbound.training.checkpoint import Checkpoint, joined
from lowerbound.training.device import on_device
from lowerbound.training.engine import precision_context
from lowerbound.training.options import check_device_name
from lowerbound.training.randomness import generator, noise_state, set_noise_state

PRECISIONS = ("auto", "float32", "bf16")
LONGEST = 10  # steps that a random action is kept
START_FRAMES = 4096  # of the replay, from which the model's outputs start
MODEL = "recurrent_state_space"
PICTURES = {"depth": 0}  # options of the network of pictures: an update takes half of the time


@dataclass(frozen=True)
class AgentOptions:
    """How an agent acts and learns."""

    steps: int = option(40_000, "steps of the environment, random ones included")
    prefill: int = option(1_000, "random steps before the first update")
    every: int = option(2, "steps of the environment for each update")
    explore: float = option(
        0.08, "chance of each step to start a random action that is kept for a random time"
    )
    batch: int = option(16, "windows of a minibatch")
    length: int = option(16, "frames of a window")
    learning_rate: float | None = option(
        None, "of the world model (default: 0.001 for pictures of more than two levels, else 0.003)"
    )
    behavior_rate: float = option(3e-4, "learning rate of actor and critic")
    gradient_clip: float = option(1_000.0, "largest norm of a gradient of the world model")
    behavior_clip: float = option(100.0, "largest norm of a gradient of actor or critic")
    rate_weight: float = option(0.6, "weight of the rate in the loss of the world model")
    rate_balance: float = option(0.8, "share of the rate's gradient that the prior gets")
    free_bits: float = option(0.0, "nats of a time, averaged over windows, without a penalty")
    precision: Literal["auto", "float32", "bf16"] = option(
        "auto", "of matrix products: bf16 or float32, or auto: bf16 where the hardware has it"
    )
    threads: int = option(1, "processor threads: the networks are too small for more")
    device: str = option(AUTO, "where the networks compute: auto, cpu, cuda, cuda:N or mps")
    seed: int = option(0, "of environment, weights, actions and minibatches")

    def __post_init__(self) -> None:
        for name in ("steps", "prefill", "every", "batch", "length", "threads"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.explore < 1:
            raise OptionError(f"explore is a chance, from 0 up to 1, not {self.explore}")
        if self.length > self.prefill:
            raise OptionError(
                f"a window of {self.length} frames does not fit into {self.prefill} random steps: "
                "raise prefill or lower length"
            )
        first = -(-self.prefill // self.every) * self.every
        if self.steps <= self.prefill or self.steps < first:
            raise OptionError(
                f"steps must be above agent.prefill, and reach the first update after {first:,} "
                f"steps, not {self.steps:,}: raise steps, or lower agent.prefill"
            )
        check_device_name(self.device)
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)


@dataclass
class AgentLearner:
    """A world model with behavior, and all that its updates change.

    Attributes:
        world: the model.
        returns: the losses of actor and critic.
        options: of the agent.
        seconds: processor seconds of the updates so far.
        skipped: updates that were left out because the gradient was not finite.
    """

    world: WorldModel
    returns: ImaginedReturns
    options: AgentOptions
    seconds: dict[str, float] = field(default_factory=lambda: {"model": 0.0, "behavior": 0.0})
    skipped: int = 0

    def __post_init__(self) -> None:
        behavior, options = self.world.behavior, self.options
        assert behavior is not None
        parts = self.world.parts()
        self._model = [*parts["inference"], *parts["generative"]]
        self.device = self._model[0].device
        self.returns.to(self.device)
        self._parameters = {
            "model": self._model,
            "actor": list(behavior.actor.parameters()),
            "critic": list(behavior.critic.parameters()),
        }
        self.optimizers = {name: Adam(values) for name, values in self._parameters.items()}
        self.objective = ELBO(
            beta=options.rate_weight, kl_balance=options.rate_balance, free_bits=options.free_bits
        )
        assert options.learning_rate is not None
        self.rate = options.learning_rate
        self.noise = generator(options.seed, "windows")

    def update(self, replay: EpisodeReplay) -> dict[str, float]:
        """One update of the model and one of the behavior, and readings of both."""
        began = time.process_time()
        batch = replay.batch(self.options.batch, self.options.length, self.noise).on(self.device)
        readings, states = self._update_model(batch)
        middle = time.process_time()
        readings |= self._update_behavior(batch, states)
        self.seconds["model"] += middle - began
        self.seconds["behavior"] += time.process_time() - middle
        return readings

    def _update_model(self, batch: Batch) -> tuple[dict[str, float], WorldState]:
        with self._precision():
            trace = self.world(batch)
            bound = self.objective.bound(trace, batch)
        loss = bound.loss / self.options.length
        self._descend("model", torch.autograd.grad(loss, self._model, allow_unused=True))
        assert trace.states is not None
        length = self.options.length
        readings = {
            "distortion": float(bound.distortion.mean()) / length,
            "rate": float(bound.rates.sum(0).mean()) / length,
            "outcomes": -float(trace.predicted.detach().mean()) / length
            if trace.predicted is not None
            else 0.0,
        }
        return readings, trace.states.detached()

    def _update_behavior(self, batch: Batch, states: WorldState) -> dict[str, float]:
        assert batch.outcomes is not None
        goes_on = batch.outcomes[..., 1].flatten()
        flat = WorldState(*(part.flatten(0, 2) for part in states))
        chosen = torch.randperm(len(goes_on))[: self.returns.options.starts].to(self.device)
        with self._precision():
            losses = self.returns(self.world, flat.rows(chosen), goes_on[chosen])
        for name, loss in (("actor", losses.actor), ("critic", losses.critic)):
            self._descend(name, torch.autograd.grad(loss, self._parameters[name]))
        assert self.world.behavior is not None
        self.world.behavior.follow(self.returns.options.slow_rate)
        return dict(losses.readings)

    def _descend(self, name: str, gradients: tuple[Tensor | None, ...]) -> None:
        """One step of an optimizer, with the norm of all gradients limited."""
        optimizer, options, model = self.optimizers[name], self.options, name == "model"
        for parameter, gradient in zip(optimizer.parameters, gradients, strict=True):
            parameter.grad = gradient
        limit = options.gradient_clip if model else options.behavior_clip
        norm = nn.utils.clip_grad_norm_(optimizer.parameters, limit)
        if bool(torch.isfinite(norm)):
            optimizer.step(self.rate if model else options.behavior_rate)
        else:
            self.skipped += 1
        optimizer.clear()

    def tensors(self) -> dict[str, Tensor]:
        """All that continues the updates exactly, by name."""
        found = {"noise": self.noise.get_state(), "range": self.returns.range}
        for name, optimizer in self.optimizers.items():
            found |= {f"{name}.{key}": value for key, value in optimizer.tensors().items()}
        return found

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state of ``tensors``."""
        self.noise.set_state(tensors["noise"])
        self.returns.range.copy_(tensors["range"])
        for name, optimizer in self.optimizers.items():
            start = f"{name}."
            own = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
            optimizer.restore(own)

    def _precision(self) -> AbstractContextManager[None]:
        """Of a forward pass. Without products in hardware, bf16 is much slower than float32."""
        precision = self.options.precision
        if precision == "auto":
            on_processor = self.device.type == "cpu"
            short = native_bf16() if on_processor else self.device.type == "cuda"
            precision = "bf16" if short else "float32"
        return precision_context(self.device, precision)


def agent_model(given: ModelOptions, frame: Schema) -> ModelOptions:
    """The options of an agent's world model: its defaults, and what is given."""
    own = {"behavior": True, **given.model_options}
    if given.network == AUTO and frame.data_kind.pictures:
        network = {**PICTURES, **given.network_options}
        given = replace(given, network="convolutional", network_options=network)
    return replace(given, model=MODEL, model_options=own)


def learning_rate(given: float | None, frame: Schema) -> float:
    """Of an agent's world model: the one given, or the default for its frames."""
    if given is not None:
        return given
    return 1e-3 if frame.data_kind.pictures and not frame.binary else 3e-3


def duration(uniform: float) -> int:
    """Steps that an action is kept: P(n) in proportion to 1 / n^2, from 1 to ``LONGEST``.

    Args:
        uniform: a uniform draw, from 0 to 1.
    """
    weights = torch.arange(1, LONGEST + 1, dtype=torch.float64) ** -2
    below = weights.cumsum(0) / weights.sum() < uniform
    return min(int(below.sum()) + 1, LONGEST)


class AgentRun:
    """A run of an agent, step by step; ``tensors`` and ``values`` continue it exactly.

    Args:
        environment: what it acts in.
        model: options of the world model.
        imagination: how behavior is learned.
        options: of the agent.
    """

    def __init__(
        self,
        environment: EnvironmentOptions,
        model: ModelOptions,
        imagination: ImaginationOptions,
        options: AgentOptions,
    ) -> None:
        self.environment, self.options = environment, options
        self.env = Environment(environment, options.seed)
        self.form = self.env.form
        self.schema = self.form.of_windows(Windows(options.length, options.length))
        self.model = resolve(self.schema, agent_model(model, self.form.frame))
        world = assemble(self.schema, self.model)
        assert isinstance(world, WorldModel)
        self.world = on_device(world, options.device)
        self.replay = EpisodeReplay(self.form)
        options = replace(
            options, learning_rate=learning_rate(options.learning_rate, self.form.frame)
        )
        self.learner = AgentLearner(world, ImaginedReturns(imagination, self.form.classes), options)
        self.player = Player(world, self.form.frame)
        self.steps = self.updates = 0
        self.score, self.scores = 0.0, list[float]()
        self.readings: dict[str, float] = {}
        self._seen: Tensor | None = None
        self.kept, self.kept_action = 0, torch.zeros(self.form.actions)

    @property
    def ended(self) -> bool:
        """Whether all steps are done."""
        return self.steps >= self.options.steps

    @property
    def random(self) -> bool:
        """Whether actions are still random."""
        return self.steps < self.options.prefill

    def step(self) -> None:
        """One step of the environment, and the update that is due."""
        if self._seen is None:
            self._start_episode()
        assert self._seen is not None
        arrival = self.env.step(action := self._choose(self._seen))
        self.steps, self.score = self.steps + 1, self.score + arrival.reward
        self.replay.add(arrival.frame, action, arrival.reward, not arrival.terminated, False)
        self._seen = arrival.frame
        if arrival.terminated or arrival.truncated:
            self.scores.append(self.score)
            self._seen = None
        if self.steps == self.options.prefill:
            self._start_world()
        if self.steps >= self.options.prefill and self.steps % self.options.every == 0:
            self.readings = self.learner.update(self.replay)
            self.updates += 1

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint; the frames are in the replay's own files."""
        state, seen = self.player.state, self._seen
        return joined(
            {
                "world": self.world.state_dict(),
                "learner": self.learner.tensors(),
                "random": noise_state(self.learner.device),
                "player": {"memory": state.memory, "latent": state.latent}
                | {"action": self.player.action, "kept": self.kept_action}
                | ({} if seen is None else {"seen": seen}),
            }
        )

    def values(self) -> dict[str, Any]:
        """The JSON values of a checkpoint."""
        return {
            "steps": self.steps,
            "updates": self.updates,
            "score": self.score,
            "kept": self.kept,
            "scores": self.scores,
            "readings": self.readings,
            "seconds": self.learner.seconds,
            "skipped": self.learner.skipped,
            "environment": self.env.state(),
        }

    def restore(self, checkpoint: Checkpoint, values: Mapping[str, Any]) -> None:
        """Continue from ``tensors`` and ``values``; the replay is read before."""
        self.world.load_state_dict(checkpoint.part("world"))
        self.learner.restore(checkpoint.part("learner"))
        for name in ("steps", "updates", "score", "kept", "readings"):
            setattr(self, name, values[name])
        self.scores = list(values["scores"])
        self.learner.seconds, self.learner.skipped = dict(values["seconds"]), values["skipped"]
        player = checkpoint.part("player")
        self._seen = player.get("seen")
        if self._seen is not None:
            self.env.restore(values["environment"])
        else:
            self.env.episode = int(values["environment"]["episode"])
        device = self.learner.device
        self.player.state = WorldState(player["memory"].to(device), player["latent"].to(device))
        self.player.action, self.kept_action = player["action"].to(device), player["kept"]
        set_noise_state(checkpoint.part("random"), device)

    def _start_episode(self) -> None:
        self._seen, self.score = self.env.reset(), 0.0
        self.player.start()
        nothing = torch.zeros(self.form.actions)
        self.replay.add(self._seen, nothing, 0.0, True, True)

    def _choose(self, seen: Tensor) -> Tensor:
        """The actor's action, a random one before the first update, or one that is kept.

        Kept actions reach states that single random ones do not (Dabney et al. 2021).
        """
        noise = generator(self.options.seed, f"explore {self.steps}")
        uniform = float(torch.rand((), generator=noise))
        if not self.random and not self.kept and uniform < self.options.explore:
            self.kept = duration(uniform / self.options.explore)
            self.kept_action = uniform_actions(1, self.form.actions, self.form.classes, noise)[0]
        if self.random:
            action = uniform_actions(1, self.form.actions, self.form.classes, noise)[0]
        elif self.kept:
            self.kept, action = self.kept - 1, self.kept_action
        else:
            return self.player.act(seen).cpu().clone()
        self.player.see(seen)
        self.player.done(action)
        return action

    def _start_world(self) -> None:
        """Start the output at the random frames."""
        count = min(len(self.replay), START_FRAMES)
        frames = self.replay.windows(torch.arange(count).unsqueeze(0)).filled[0]
        self.world.start_at_frames(Batch(frames).on(self.learner.device))
