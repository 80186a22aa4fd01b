"""What happens while a policy of stable-baselines3 learns: evaluation, records, a joint VAE."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import nn

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.fitting.control import policy_checkpoint
from lowerbound.fitting.control.environments import EnvironmentOptions
from lowerbound.fitting.control.frame_env import FrameEnv
from lowerbound.fitting.control.player import MOST_STEPS
from lowerbound.fitting.control.policy_gradient import JOINT_ROWS, PolicyGradientOptions
from lowerbound.fitting.control.records import (
    RECENT,
    AgentRecord,
    EvaluationOptions,
    said_of,
)
from lowerbound.fitting.model import Fitted
from lowerbound.objectives import ELBO
from lowerbound.training import History, Interrupted
from lowerbound.training.adam import Adam
from lowerbound.training.checkpoints.randomness import stream_seed
from lowerbound.training.interruption import Interruption

CHECKPOINT_SECONDS = 120.0  # least time between two checkpoints
JOINT_UPDATES = 16  # of the VAE after each rollout


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
