"""Proximal policy optimization by stable-baselines3, on frames or on codes of a VAE.

It is what agents with a world model are compared with. Evaluation, seeds of episodes and records
are the same. Source: Schulman et al. 2017.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.actions import uniform_actions
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.fitting.control import policy_checkpoint
from lowerbound.fitting.control.environments import Environment, EnvironmentOptions, library
from lowerbound.fitting.control.frame_env import FrameEnv
from lowerbound.fitting.control.records import AgentRecord, EvaluationOptions
from lowerbound.fitting.model import FitOptions, Fitted, fit
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions
from lowerbound.training.checkpoints.randomness import generator, stream_seed
from lowerbound.training.interruption import listening

SEES = ("frames", "codes", "joint")
VAE = "vae"  # beside the checkpoint: that of the VAE
HIDDEN = 128  # units of the policy and of the value
JOINT_ROWS = 128


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
    from lowerbound.fitting.control.policy_watch import Watch

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
    from lowerbound.fitting.control.features import FrameFeatures, LatentFeatures

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
