"""Proximal policy optimization by stable-baselines3, on frames or on codes of a VAE.

It is what agents with a world model are compared with. Evaluation, seeds of episodes and records
are the same. A policy sees features: an encoder's codes, frozen or trained jointly, or a small
network of frames. Source: Schulman et al. 2017.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor, nn

from lowerbound.applications.control import policy_checkpoint
from lowerbound.applications.control.environment_options import EnvironmentOptions
from lowerbound.applications.control.environments import Environment, FrameEnv, library
from lowerbound.applications.control.player import (
    MOST_STEPS,
    RECENT,
    AgentRecord,
    EvaluationOptions,
    said_of,
)
from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.distributions.one_hot import uniform_actions
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import MissingExtraError, OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.model import fit
from lowerbound.fitting.options import FitOptions
from lowerbound.models.options import ModelOptions
from lowerbound.models.powers import Encodes, require
from lowerbound.objectives.elbo import ELBO
from lowerbound.trace import Batch
from lowerbound.training.adam import Adam
from lowerbound.training.loop import Interrupted, Interruption, listening
from lowerbound.training.options import TrainingOptions
from lowerbound.training.randomness import generator, stream_seed
from lowerbound.training.reporter import History

SEES = ("frames", "codes", "joint")
VAE = "vae"  # beside the checkpoint: that of the VAE
HIDDEN = 128  # units of the policy and of the value
JOINT_ROWS = 128
CHECKPOINT_SECONDS = 120.0  # least time between two checkpoints
JOINT_UPDATES = 16  # of the VAE after each rollout


try:
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
except ImportError as error:
    raise MissingExtraError("stable_baselines3", "rl") from error


SMALL = 16  # side of pictures whose first convolution has no stride


class LatentFeatures(BaseFeaturesExtractor):
    """E[z | frame] as the features of a policy.

    Use it as ``policy_kwargs={"features_extractor_class": LatentFeatures,
    "features_extractor_kwargs": {"fitted": fitted}, "normalize_images": False}``.

    Args:
        observation_space: of packed frames, such as those of ``FrameEnv``.
        fitted: a model with an encoder.
        frozen: the encoder stays as it is; else the policy's gradient trains it too.
    """

    def __init__(self, observation_space: Any, fitted: Fitted, frozen: bool = True) -> None:
        encodes = require(fitted.model, Encodes, "give features to a policy")
        self.stack = observation_space.shape[0] // fitted.schema.event_shape[0]
        super().__init__(observation_space, self.stack * encodes.latent_dim)
        self.schema, self.frozen = fitted.schema, frozen
        self.model = fitted.model
        if frozen:
            self.model.requires_grad_(False)

    def forward(self, observations: Tensor) -> Tensor:
        """Codes side by side, of packed frames stacked on their first axis, (rows, *frames)."""
        frames = observations.unflatten(1, (self.stack, -1)).flatten(0, 1)
        x = self.schema.units(frames)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            posterior = require(self.model, Encodes, "encode").encode(Batch(x.float()))
        mean: Tensor = posterior.mean
        return mean.reshape(len(observations), -1)

    def apply(self, fn: Callable[[nn.Module], None]) -> LatentFeatures:
        """Nothing: policies give all their parts new weights this way, and the encoder has some."""
        return self

    def train(self, mode: bool = True) -> LatentFeatures:
        """A frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self


class FrameFeatures(BaseFeaturesExtractor):
    """One convolution and one hidden layer over frames (Young & Tian 2019); numbers as they are.

    Args:
        observation_space: of packed frames.
        schema: of a frame.
    """

    CHANNELS, WIDTH = 16, 128

    def __init__(self, observation_space: Any, schema: Schema) -> None:
        shape = observation_space.shape
        pictures = len(shape) == 3
        super().__init__(observation_space, self.WIDTH if pictures else math.prod(shape))
        self.schema = schema
        self.layers: nn.Module = nn.Flatten()
        if not pictures:
            return
        maps, channels = list[nn.Module](), shape[0]
        side = max(shape[1:])
        while side > SMALL:  # larger pictures: strides first
            maps += [nn.Conv2d(channels, self.CHANNELS, 4, 2, 1), nn.ReLU()]
            channels, side = self.CHANNELS, side // 2
        maps += [nn.Conv2d(channels, self.CHANNELS, 3), nn.ReLU(), nn.Flatten()]
        with torch.no_grad():
            count = nn.Sequential(*maps)(torch.zeros(1, *shape)).shape[1]
        self.layers = nn.Sequential(*maps, nn.Linear(count, self.WIDTH), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:
        """Features, (rows, width), of packed frames."""
        features: Tensor = self.layers(self.schema.units(observations).float())
        return features


@dataclass(frozen=True)
class PolicyGradientOptions:
    """How a policy is trained by PPO."""

    steps: int = option(40_000, "most steps of the environment, random ones included")
    sees: str = option("frames", "what the policy sees: " + ", ".join(SEES))
    learning_rate: float = option(5e-4, "of the policy")
    epochs: int = option(4, "passes over the steps of a rollout")
    rollout: int = option(128, "steps of each environment in a rollout")
    environments: int = option(8, "environments side by side")
    batch: int = option(256, "steps of a minibatch")
    stack: int = option(1, "newest frames that the policy sees together")
    discount: float = option(0.99, "weight of a reward one step later")
    entropy: float = option(0.01, "weight of the policy's entropy")
    collect: int = option(4_000, "random steps that a VAE is fitted to before (codes, joint)")
    latent_dim: int = option(32, "numbers in the code of a frame")
    vae_updates: int = option(3_000, "updates of the VAE before the policy learns")
    seed: int = option(0, "of everything")

    def __post_init__(self) -> None:
        if self.sees not in SEES:
            raise OptionError(f"sees is {', '.join(SEES)}, not {self.sees!r}")
        if self.learning_steps < self.rollout_steps:
            first = (
                f", of which {self.random_steps:,} are random (collect),"
                if self.random_steps
                else ""
            )
            raise OptionError(
                f"{self.steps:,} steps{first} hold no rollout of {self.environments} environments "
                f"of {self.rollout:,} steps: raise steps, or lower rollout or collect"
            )

    @property
    def random_steps(self) -> int:
        """Steps before the policy acts."""
        return 0 if self.sees == "frames" else self.collect

    @property
    def rollout_steps(self) -> int:
        """Steps of a rollout, in all environments."""
        return self.rollout * self.environments

    @property
    def learning_steps(self) -> int:
        """Steps of whole rollouts."""
        return (self.steps - self.random_steps) // self.rollout_steps * self.rollout_steps


@dataclass(frozen=True)
class TrainedPolicy:
    """A policy of stable-baselines3, its records, and the VAE of its codes if it has one."""

    policy: Any
    records: tuple[AgentRecord, ...]
    fitted: Fitted | None


def train_policy(
    environment: EnvironmentOptions,
    options: PolicyGradientOptions,
    evaluation: EvaluationOptions,
    shown: Callable[[AgentRecord, int], None] | None = None,
    ready: Callable[[], None] = lambda: None,
    folder: Path | None = None,
    resume: bool = False,
) -> TrainedPolicy:
    """Train a policy by PPO.

    Args:
        environment: what it acts in.
        options: of the training.
        evaluation: how often it is evaluated.
        shown: called with the state of the run and its number of steps, after each rollout.
        ready: called once the environment and all options are known to make sense.
        folder: of checkpoints and records; None: there are none.
        resume: continue from the checkpoint in ``folder``, exactly as if never stopped.

    Raises:
        MissingExtraError: stable-baselines3 is not installed.
        OptionError: the checkpoint belongs to another run.
        Interrupted: Ctrl-C; a checkpoint was saved.
    """
    baselines = library("stable_baselines3", "rl")

    vectors = library("stable_baselines3.common.vec_env", "rl")
    began = time.process_time()
    Environment(environment).close()
    ready()
    with seeded(stream_seed(options.seed, "policy")), listening() as interruption:
        place = None if folder is None else folder / VAE
        sees = options.sees
        fitted = None if sees == "frames" else vae_of(environment, options, place, resume)
        names = [f"training {number}" for number in range(options.environments)]
        one = partial(FrameEnv, environment, options.seed, stack=options.stack)
        envs = vectors.DummyVecEnv([partial(one, stream=name) for name in names])
        policy = baselines.PPO(
            "MlpPolicy",
            envs,
            learning_rate=options.learning_rate,
            n_steps=options.rollout,
            batch_size=options.batch,
            n_epochs=options.epochs,
            gamma=options.discount,
            ent_coef=options.entropy,
            seed=options.seed,
            device="cpu",
            policy_kwargs=_features(environment, options, fitted),
        )
        # its own logger would leave an empty folder among the temporary files
        loggers = library("stable_baselines3.common.logger", "rl")
        policy.set_logger(loggers.Logger(folder=None, output_formats=[]))
        watch = Watch(environment, options, evaluation, shown, began, fitted, folder, interruption)
        watch.init_callback(policy)
        if folder is not None and resume:
            policy_checkpoint.restore(folder, watch)
        left = options.learning_steps - policy.num_timesteps
        policy.learn(left, callback=watch, reset_num_timesteps=not policy.num_timesteps)
        envs.close()
    return TrainedPolicy(policy, tuple(watch.records), fitted)


def vae_of(
    environment: EnvironmentOptions,
    options: PolicyGradientOptions,
    folder: Path | None = None,
    resume: bool = False,
) -> Fitted:
    """A VAE of single frames, fitted to those of random actions; see ``fit``."""
    frames = random_frames(environment, options.collect, options.seed)
    model = ModelOptions(
        latent_dim=options.latent_dim,
        network="convolutional" if len(frames.schema.event_shape) == 3 else "mlp",
        network_options={"depth": 0} if len(frames.schema.event_shape) == 3 else {},
    )
    training = TrainingOptions(
        updates=options.vae_updates,
        batch_size=JOINT_ROWS,
        learning_rate=2e-3,
        validation=0.0,
        seed=options.seed,
        threads=1,
    )
    return fit(frames, FitOptions(model=model, training=training), folder=folder, resume=resume)


def random_frames(environment: EnvironmentOptions, steps: int, seed: int) -> Dataset:
    """Frames of random actions, one for each step."""
    env, noise = Environment(environment, seed, "random"), generator(seed, "random")
    frames, seen = list[Tensor](), env.reset()
    for _ in range(steps):
        frames.append(seen)
        arrival = env.step(uniform_actions(1, env.actions, env.classes, noise)[0])
        seen = env.reset() if arrival.terminated or arrival.truncated else arrival.frame
    return Dataset(env.frame, torch.stack(frames), source="random actions")


def _features(
    environment: EnvironmentOptions, options: PolicyGradientOptions, fitted: Fitted | None
) -> dict[str, Any]:
    """What the policy's network is made of."""

    if fitted is not None:
        kind: Any = LatentFeatures
        own: dict[str, Any] = {"fitted": fitted, "frozen": options.sees == "codes"}
    else:
        env = Environment(environment)
        kind, own = FrameFeatures, {"schema": env.frame}
        env.close()
    return {
        "features_extractor_class": kind,
        "features_extractor_kwargs": own,
        "normalize_images": False,
        "net_arch": [HIDDEN],
    }


class Watch(BaseCallback):
    """Evaluates and records a policy while it learns, and trains a joint VAE.

    Args:
        environment: of the evaluation.
        options: of the training; ``sees`` says whether the VAE learns.
        evaluation: how often the policy is evaluated.
        shown: called with the state of the run and its number of steps.
        began: processor time at the start of the run.
        fitted: the VAE of the codes; None: the policy sees frames.
        folder: of the checkpoints; None: there are none.
        interruption: whether a signal has asked to stop.
    """

    def __init__(
        self,
        environment: EnvironmentOptions,
        options: PolicyGradientOptions,
        evaluation: EvaluationOptions,
        shown: Callable[[AgentRecord, int], None] | None,
        began: float,
        fitted: Fitted | None,
        folder: Path | None,
        interruption: Interruption,
    ) -> None:
        super().__init__()
        self.options, self.evaluation, self.shown = options, evaluation, shown
        self.spent, self.began, self.fitted = options.random_steps, began, fitted
        self.env = FrameEnv(environment, options.seed, "evaluation", options.stack)
        self.records, self.scores = list[AgentRecord](), list[float]()
        self.running = np.zeros(options.environments)
        self.due = evaluation.evaluate_every or options.steps
        self.adam: Adam | None = None
        self.folder, self.interruption = folder, interruption
        self._save_at = time.monotonic() + CHECKPOINT_SECONDS

    def _on_step(self) -> bool:
        self.running += self.locals["rewards"]
        for index in np.flatnonzero(self.locals["dones"]):
            self.scores.append(float(self.running[index]))
            self.running[index] = 0.0
        return True

    def _on_rollout_end(self) -> None:
        if self.options.sees == "joint":
            self._learn_codes()

    def _on_rollout_start(self) -> None:
        self._after_updates()
        stopped = self.interruption.requested
        if self.folder is not None and (stopped or time.monotonic() >= self._save_at):
            policy_checkpoint.save(self.folder, self)
            self._save_at = time.monotonic() + CHECKPOINT_SECONDS
        if stopped:
            at = f"training was interrupted at step {self.spent + self.num_timesteps:,}"
            raise Interrupted(said_of(at, self.folder), History())

    def _on_training_end(self) -> None:
        self._after_updates(last=True)
        if self.folder is not None:
            policy_checkpoint.save(self.folder, self)

    def _after_updates(self, last: bool = False) -> None:
        steps = self.spent + self.num_timesteps
        record = AgentRecord(
            steps,
            int(self.model._n_updates),
            len(self.scores),
            round(time.process_time() - self.began, 1),
            float(np.mean(self.scores[-RECENT:])) if self.scores else None,
            environment=self.env.inner.options.name,
        )
        if self.shown is not None:
            self.shown(record, self.options.steps)
        if steps < self.due and not last:
            return
        if self.records and self.records[-1].steps == steps:  # before an interruption
            return
        before, every = time.process_time(), self.evaluation.evaluate_every
        self.due = steps - steps % every + every if every else self.options.steps
        self.env.inner.episode = steps * 2 * self.evaluation.episodes
        found = [self._played(greedy, steps) for greedy in (False, True)]
        self.records.append(replace(record, sampled=tuple(found[0]), greedy=tuple(found[1])))
        self.began += time.process_time() - before

    def _played(self, greedy: bool, steps: int) -> list[float]:
        seed = self.options.seed + steps
        return play_policy(self.model, self.env, self.evaluation.episodes, greedy, seed)

    def _learn_codes(self) -> None:
        """Updates of the VAE on frames of the last rollout."""
        assert self.fitted is not None
        model, schema = self.fitted.model, self.fitted.schema
        adam = self.codes_adam()
        learner: Any = self.model
        observed = learner.rollout_buffer.observations
        newest = torch.as_tensor(observed).flatten(0, 1)[:, -schema.event_shape[0] :]
        frames = newest.to(torch.uint8 if schema.levels is not None else torch.float32)
        dataset, objective = Dataset(schema, frames), ELBO()
        adam.clear()  # of the policy's last gradient, which a run that is resumed does not have
        for _ in range(JOINT_UPDATES):
            rows = torch.randint(len(frames), (JOINT_ROWS,))
            with torch.enable_grad():
                objective(model, dataset.batch(rows)).loss.backward()
            nn.utils.clip_grad_norm_(adam.parameters, 200.0)
            adam.step(1e-3)
            adam.clear()

    def codes_adam(self) -> Adam:
        """The optimizer of a joint VAE."""
        assert self.fitted is not None
        if self.adam is None:
            weights = self.fitted.model.parameters()
            self.adam = Adam([weight for weight in weights if weight.requires_grad])
        return self.adam


def play_policy(policy: Any, env: FrameEnv, episodes: int, greedy: bool, seed: int) -> list[float]:
    """The sums of rewards of episodes that a policy of stable-baselines3 plays."""
    found = list[float]()
    with seeded(stream_seed(seed, f"play {greedy}")):
        for _ in range(episodes):
            seen, _ = env.reset()
            score, steps, over = 0.0, 0, False
            while not over and steps < MOST_STEPS:
                chosen, _ = policy.predict(seen, deterministic=greedy)
                seen, reward, terminated, truncated, _ = env.step(chosen)
                over, score, steps = terminated or truncated, score + reward, steps + 1
            found.append(score)
    return found
