"""Training an agent: the loop, evaluation on the way, checkpoints and resuming."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowerbound.applications.control.agent import AgentOptions, AgentRun
from lowerbound.applications.control.environment_options import EnvironmentOptions
from lowerbound.applications.control.environments import Environment
from lowerbound.applications.control.imagined_returns import ImaginationOptions
from lowerbound.applications.control.player import (
    RECENT,
    AgentRecord,
    EvaluationOptions,
    play,
    said_of,
    write_records,
)
from lowerbound.config import from_mapping, to_mapping
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.options import FitOptions
from lowerbound.models.options import ModelOptions
from lowerbound.networks.processor import processor_threads
from lowerbound.training import checkpoint as files
from lowerbound.training.checkpoint import Checkpoint
from lowerbound.training.loop import Interrupted, listening
from lowerbound.training.randomness import stream_seed
from lowerbound.training.reporter import History
from lowerbound.training.saving import refuse_another_run

FREE_TO_CHANGE = ("steps", "threads", "device")  # of a resumed run


@dataclass(frozen=True)
class AgentSettings:
    """All options of an agent."""

    environment: EnvironmentOptions = field(default_factory=EnvironmentOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    imagination: ImaginationOptions = field(default_factory=ImaginationOptions)
    agent: AgentOptions = field(default_factory=AgentOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)

    def identity(self) -> dict[str, Any]:
        """JSON values that are equal if and only if the runs are the same."""
        agent = {k: v for k, v in to_mapping(self.agent).items() if k not in FREE_TO_CHANGE}
        return {
            "options": agent,
            "environment": to_mapping(self.environment),
            "model": to_mapping(self.model),
            "imagination": to_mapping(self.imagination),
        }


@dataclass(frozen=True)
class TrainedAgent:
    """A trained agent.

    Attributes:
        fitted: the world model with its behavior.
        records: one per evaluation.
    """

    fitted: Fitted
    records: tuple[AgentRecord, ...]


Shown = Callable[[AgentRecord, int], None]


def train_agent(
    settings: AgentSettings,
    *,
    folder: Path | None = None,
    resume: bool = False,
    ready: Callable[[], None] = lambda: None,
    shown: Shown | None = None,
    say: Callable[[str], None] | None = None,
    checkpoint_seconds: float = 120.0,
) -> TrainedAgent:
    """Train an agent.

    Args:
        settings: all options.
        folder: checkpoints, replay and records go there; None: nowhere.
        resume: continue from the checkpoint in ``folder``, exactly as if never stopped.
        ready: called once the environment and all options are known to make sense, before anything
            is written.
        shown: called with the state of the run and its number of steps, about once a second.
        say: called with messages for the log.
        checkpoint_seconds: least time between two checkpoints.

    Raises:
        OptionError: an option or the environment is not supported, or the run that is resumed has
            done more steps.
        MissingExtraError: a library is not installed.
        Interrupted: Ctrl-C; a checkpoint was saved.
    """
    say = say or (lambda sentence: None)
    with seeded(stream_seed(settings.agent.seed, "agent")):
        run = AgentRun(settings.environment, settings.model, settings.imagination, settings.agent)
        ready()
        watch = _Watch(run, settings, folder, shown)
        checkpoint = files.load(folder) if folder is not None and resume else None
        if checkpoint is not None:
            with checkpoint.used():
                watch.restore(checkpoint)
            say(f"resumed at step {run.steps:,}")
            watch.catch_up()
        with listening() as interruption, processor_threads(settings.agent.threads):
            due = time.monotonic() + checkpoint_seconds
            while not run.ended:
                if interruption.requested:
                    watch.save()
                    raise Interrupted(watch.interrupted(), History())
                run.step()
                watch.after_step()
                if folder is not None and time.monotonic() >= due:
                    watch.save()
                    due = time.monotonic() + checkpoint_seconds
        if folder is not None:
            watch.save()
    fitted = Fitted(run.world.eval(), run.schema, FitOptions(run.model, "elbo"), History())
    return TrainedAgent(fitted, tuple(watch.records))


class _Watch:
    """Evaluates, records, shows and saves a run."""

    def __init__(
        self, run: AgentRun, settings: AgentSettings, folder: Path | None, shown: Shown | None
    ) -> None:
        self.run, self.settings, self.folder, self.shown = run, settings, folder, shown
        self.records = list[AgentRecord]()
        self._seconds = 0.0
        self._began = time.process_time()
        self._next = 0.0
        self._env: Environment | None = None

    def after_step(self) -> None:
        """Evaluate if it is due, and show the run."""
        every = self.settings.evaluation.evaluate_every
        if self.run.ended or (every and self.run.steps % every == 0):
            self.records.append(self._evaluated())
            if self.folder is not None:
                write_records(self.folder, self.records)
        now = time.monotonic()
        if self.shown is not None and (now >= self._next or self.run.ended):
            self.shown(self.now(), self.settings.agent.steps)
            self._next = now + 1.0

    def now(self) -> AgentRecord:
        """The state of the run."""
        run, recent = self.run, self.run.scores[-RECENT:]
        return AgentRecord(
            run.steps,
            run.updates,
            len(run.scores),
            round(self._seconds + time.process_time() - self._began, 1),
            float(np.mean(recent)) if recent else None,
            readings=dict(run.readings),
            environment=run.environment.name,
        )

    def save(self) -> None:
        """Write the replay and a checkpoint.

        Raises:
            OSError: they cannot be written; the previous checkpoint is intact.
        """
        if self.folder is None:
            return
        parts = self.run.replay.write(self.folder)
        values = {
            "identity": self.settings.identity(),
            "torch": torch.__version__,
            "run": self.run.values(),
            "records": [asdict(record) for record in self.records],
            "replay files": parts,
            "seconds": self.now().seconds,
        }
        files.save(self.folder, Checkpoint(self.run.tensors(), values))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint.

        Raises:
            OptionError: it belongs to another run, and the message names the differences; or it
                has done more steps than this run has.
            ModelFolderError: it is damaged.
        """
        assert self.folder is not None
        values = checkpoint.values
        if "replay files" not in values:
            raise OptionError(f"the checkpoint in {self.folder} is not one of an agent")
        refuse_another_run(values["identity"], self.settings.identity(), self.folder)
        done, steps = values["run"]["steps"], self.settings.agent.steps
        if done > steps:
            raise OptionError(
                f"the run in {self.folder} has done {done:,} steps already, more than {steps:,}: "
                "give more steps to go on"
            )
        self.run.replay.read(self.folder, values["replay files"])
        self.run.restore(checkpoint, values["run"])
        self.records = [from_mapping(AgentRecord, record) for record in values["records"]]
        self._seconds = values["seconds"]

    def catch_up(self) -> None:
        """Evaluate a run that was interrupted at the step where it ends now."""
        if self.run.ended and (not self.records or self.records[-1].steps < self.run.steps):
            self.after_step()

    def interrupted(self) -> str:
        """What the exception of Ctrl-C says."""
        return said_of(f"training was interrupted at step {self.run.steps:,}", self.folder)

    def _evaluated(self) -> AgentRecord:
        """The state of the run, with the returns of evaluated episodes."""
        before, record = time.process_time(), self.now()
        options, run = self.settings.evaluation, self.run
        if options.episodes and run.updates:
            if self._env is None:
                self._env = Environment(run.environment, run.options.seed, "evaluation")
            self._env.episode = run.steps * 2 * options.episodes  # new episodes each time
            found = [self._scores(greedy) for greedy in (False, True)]
            record = replace(record, sampled=tuple(found[0]), greedy=tuple(found[1]))
        self._began += time.process_time() - before
        return record

    def _scores(self, greedy: bool) -> list[float]:
        assert self._env is not None
        run, count = self.run, self.settings.evaluation.episodes
        seed = run.options.seed + run.steps
        found = play(run.world, self._env, run.form.frame, count, greedy=greedy, seed=seed)
        return [episode.score for episode in found]
