"""Checkpoints of a policy that learns by PPO, between two rollouts."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lowerbound.applications.control.player import AgentRecord, write_records
from lowerbound.config import from_mapping, to_mapping
from lowerbound.errors import OptionError
from lowerbound.training import checkpoint as files
from lowerbound.training.checkpoint import Checkpoint, joined
from lowerbound.training.randomness import noise_state, set_noise_state
from lowerbound.training.saving import refuse_another_run

if TYPE_CHECKING:  # a name for annotations
    from lowerbound.applications.control.policy_gradient import Watch

ALGORITHM = "ppo"
PROCESSOR = torch.device("cpu")


def save(folder: Path, watch: Watch) -> None:
    """Write a checkpoint and the records so far.

    Raises:
        OSError: they cannot be written; the previous checkpoint is intact.
    """
    learner: Any = watch.model
    name, keys, place, has_gauss, gauss = np.random.get_state()  # noqa: NPY002, whose state the library uses
    seen = torch.as_tensor(learner._last_obs)
    state = learner.policy.optimizer.state_dict()["state"]
    optimizer = {f"{i}.{key}": value for i, each in state.items() for key, value in each.items()}
    parts = {
        "policy": learner.policy.state_dict(),
        "optimizer": optimizer,
        "codes": {} if watch.adam is None else watch.adam.tensors(),
        "random": {**noise_state(PROCESSOR), "numpy": torch.from_numpy(np.asarray(keys, np.int64))},
        "player": {"seen": seen, "starts": torch.as_tensor(learner._last_episode_starts)},
    }
    values = {
        "identity": _identity(watch),
        "steps": learner.num_timesteps,
        "updates": learner._n_updates,
        "numpy": [str(name), int(place), int(has_gauss), float(gauss)],
        "environments": [{"seed": env.inner.seed, **env.inner.state()} for env in _envs(watch)],
        "due": watch.due if watch.evaluation.evaluate_every else None,
        "scores": watch.scores,
        "running": watch.running.tolist(),
        "records": [asdict(record) for record in watch.records],
        "seconds": time.process_time() - watch.began,
    }
    files.save(folder, Checkpoint(joined(parts), values))
    if watch.records:
        write_records(folder, watch.records)


def restore(folder: Path, watch: Watch) -> None:
    """Continue from the checkpoint in a folder; the learner is new.

    Raises:
        OptionError: it belongs to another run, and the message names the differences; or it has
            done more steps than this run has.
        ModelFolderError: it is damaged.
    """
    checkpoint = files.load(folder)
    if checkpoint is None:  # the signal came before the first rollout
        return
    with checkpoint.used():
        values = checkpoint.values
        if "environments" not in values:
            raise OptionError(f"the checkpoint in {folder} is not one of PPO")
        refuse_another_run(values["identity"], _identity(watch), folder)
        if values["steps"] > watch.options.learning_steps:
            raise OptionError(
                f"the run in {folder} has done {values['steps']:,} steps already: give more steps "
                "to go on"
            )
        _restore_learner(watch, checkpoint)
        watch.scores, watch.running = list(values["scores"]), np.array(values["running"])
        watch.records = [from_mapping(AgentRecord, record) for record in values["records"]]
        watch.due = values["due"] or watch.options.steps
        watch.num_timesteps = values["steps"]
        watch.began = time.process_time() - values["seconds"]
        name, *numbers = values["numpy"]
        random = checkpoint.part("random")
        keys = random["numpy"].numpy().astype(np.uint32)
        np.random.set_state((name, keys, *numbers))  # noqa: NPY002
        set_noise_state(random, PROCESSOR)


def _restore_learner(watch: Watch, checkpoint: Checkpoint) -> None:
    """The weights, the optimizers, and the unfinished episodes, played again by their actions."""
    learner: Any = watch.model
    values, player = checkpoint.values, checkpoint.part("player")
    learner.policy.load_state_dict(checkpoint.part("policy"))
    state: dict[int, dict[str, Any]] = {}
    for name, value in checkpoint.part("optimizer").items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimizer = learner.policy.optimizer
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    if codes := checkpoint.part("codes"):
        watch.codes_adam().restore(codes)
    learner.num_timesteps, learner._n_updates = values["steps"], values["updates"]
    learner._last_obs = player["seen"].numpy()
    learner._last_episode_starts = player["starts"].numpy()
    for env, known, seen in zip(
        _envs(watch), values["environments"], learner._last_obs, strict=True
    ):
        env.inner.seed = known["seed"]
        env.inner.restore(known)
        env.show(seen)


def _identity(watch: Watch) -> dict[str, Any]:
    """JSON values that are equal if and only if the runs are the same."""
    options = {name: v for name, v in to_mapping(watch.options).items() if name != "steps"}
    environment = to_mapping(watch.env.inner.options)
    return {"agent": ALGORITHM, "options": options, "environment": environment}


def _envs(watch: Watch) -> list[Any]:
    learner: Any = watch.model
    return list(learner.env.envs)
