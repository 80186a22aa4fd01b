"""``lowerbound control train``: an agent that learns in an environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound import durable
from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.common.fit_folder import split_setting
from lowerbound.applications.control.agent import AgentOptions
from lowerbound.applications.control.imagined_returns import ImaginationOptions
from lowerbound.applications.control.player import AgentRecord, EvaluationOptions, write_records
from lowerbound.applications.control.policy_gradient import VAE, PolicyGradientOptions, train_policy
from lowerbound.applications.control.requests import FLAGS, TrainAgentRequest
from lowerbound.applications.control.training import AgentSettings, train_agent
from lowerbound.config import from_mapping
from lowerbound.errors import ModelFolderError, OptionError, counted
from lowerbound.fitting import folder as model_folder
from lowerbound.models.options import ModelOptions
from lowerbound.parts import AUTO
from lowerbound.training import checkpoint
from lowerbound.training.device import PROCESSOR
from lowerbound.untrusted import folders

PARTS = ("model", "network", "agent", "imagination", "policy")
FORMER = ".former"
OF_AN_AGENT = ("agent.jsonl", "manifest.json", "checkpoint", "replay", VAE)  # also unfinished
SEES = {"ppo": "frames", "ppo_codes": "codes", "ppo_joint": "joint"}


@dataclass(frozen=True)
class TrainAgentReport(Report):
    """A trained agent.

    Attributes:
        model: its folder.
        agent: how it learned.
        steps, updates, episodes: of the whole run.
        seconds: processor seconds without evaluation.
        sampled, greedy: mean returns at the end, with drawn and with the likeliest actions; NaN if
            none was played.
        records: all evaluations.
    """

    model: str
    agent: str
    steps: int
    updates: int
    episodes: int
    seconds: float
    sampled: float
    greedy: float
    records: tuple[AgentRecord, ...]

    def text(self) -> str:
        lines = [
            f"{self.agent}: {self.steps:,} steps, {self.updates:,} updates, "
            f"{counted(self.episodes, 'episode')} in {self.seconds / 60:.1f} processor minutes"
        ]
        if np.isfinite([self.sampled, self.greedy]).all():
            lines.append(
                f"mean return {self.sampled:.3g} (drawn actions), {self.greedy:.3g} (likeliest "
                "actions)"
            )
        return "\n".join([*lines, f"{self._left}: {self.model}"])

    @property
    def _left(self) -> str:
        """What the folder holds."""
        if self.agent == "world_model":
            return "agent"
        return f"records{' and VAE' * (SEES[self.agent] != 'frames')}, and no policy"


def control_train(request: TrainAgentRequest, reporter: Reporter) -> TrainAgentReport:
    """Train an agent and write its folder.

    Raises:
        OptionError: an option or the environment is not supported.
        ModelFolderError: the folder holds an agent already, or something else.
        MissingExtraError: a library is not installed.
        Interrupted: Ctrl-C; the message names what is saved.
    """
    folder = Path(request.output)
    options = settings_of(request)
    _check_free(folder, request)
    evaluation = EvaluationOptions(request.evaluate_every, request.episodes)

    def shown(record: AgentRecord, total: int) -> None:
        reporter.advance(f"acting and learning ({_said(record)})", record.steps, total)

    clear = partial(_put_aside, folder, request, reporter.say)
    if request.agent == "world_model":
        settings = _settings(request, options, evaluation)
        trained = train_agent(
            settings,
            folder=folder,
            resume=request.resume,
            ready=clear,
            shown=shown,
            say=reporter.say,
        )
        model_folder.write(folder, trained.fitted)
        records = trained.records
    else:
        own = {"sees": SEES[request.agent], "steps": request.steps, "seed": request.seed}
        policy = from_mapping(PolicyGradientOptions, {**options["policy"], **own})
        found = train_policy(request.seen, policy, evaluation, shown, clear, folder, request.resume)
        if found.fitted is not None:
            model_folder.write(folder, found.fitted)
        records = found.records
    write_records(folder, records)
    if request.agent != "world_model":  # there is no policy that could go on
        for name in (checkpoint.FOLDER, VAE):
            folders.remove_tree(folder / name)
    folders.remove_tree(_former(folder))
    last = records[-1]
    return TrainAgentReport(
        model=str(folder),
        agent=request.agent,
        steps=last.steps,
        updates=last.updates,
        episodes=last.episodes,
        seconds=last.seconds,
        sampled=_mean(last.sampled),
        greedy=_mean(last.greedy),
        records=tuple(records),
    )


def _settings(
    request: TrainAgentRequest,
    options: dict[str, dict[str, Any]],
    evaluation: EvaluationOptions,
) -> AgentSettings:
    """The settings of an agent with a world model."""
    own = {"steps": request.steps, "seed": request.seed, "device": request.device}
    return AgentSettings(
        request.seen,
        _model(request.network, options),
        from_mapping(ImaginationOptions, options["imagination"]),
        from_mapping(AgentOptions, {**options["agent"], **own}),
        evaluation,
    )


def _mean(scores: Sequence[float]) -> float:
    return float(np.mean(scores)) if len(scores) else float("nan")


def settings_of(request: TrainAgentRequest) -> dict[str, dict[str, Any]]:
    """The options of ``--set`` by part.

    Raises:
        OptionError: there is no such part, or a part or the device does not apply to this agent.
    """
    if request.agent != "world_model" and request.device not in (AUTO, PROCESSOR):
        raise OptionError(
            f"--agent {request.agent} computes on the processor: leave --device {request.device} "
            "out"
        )
    found: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    for setting in request.set:
        part, name, value = split_setting(setting, PARTS)
        if (part == "policy") != (request.agent != "world_model"):
            raise OptionError(f"--set {setting} does not apply to --agent {request.agent}")
        if part in ("agent", "policy") and name in FLAGS:
            raise OptionError(f"--set {setting}: give --{name} instead")
        found[part][name] = value
    return found


def _model(network: str, options: dict[str, dict[str, Any]]) -> ModelOptions:
    return ModelOptions(
        network=network, model_options=options["model"], network_options=options["network"]
    )


def _check_free(folder: Path, request: TrainAgentRequest) -> None:
    """Check that the folder is free, or that it may be continued or replaced.

    Raises:
        ModelFolderError: it is not, or there is nothing to resume.
    """
    interrupted = checkpoint.is_there(folder) or checkpoint.is_there(folder / VAE)
    if folder.is_file():
        raise ModelFolderError(f"{folder} is a file; choose another name for the agent's folder")
    if request.resume:
        if not interrupted:
            raise ModelFolderError(
                f"{folder} holds no interrupted training of an agent: start without --resume"
            )
        return
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not request.overwrite:
        resumed = "continue that run with --resume, " if interrupted else ""
        raise ModelFolderError(
            f"{folder} holds files already: {resumed}replace it with --overwrite, or choose "
            "another name"
        )
    if not any((folder / name).exists() for name in OF_AN_AGENT):
        raise ModelFolderError(f"{folder} holds no agent, and is not replaced: choose another name")


def _former(folder: Path) -> Path:
    """Where the agent that is replaced stays until the new one is whole."""
    place = durable.linked(folder)
    return place.with_name(f"{place.name}{FORMER}")


def _put_aside(folder: Path, request: TrainAgentRequest, say: Callable[[str], None]) -> None:
    """Move the former agent aside, or remove what an interrupted run has put in its place."""
    if not (request.overwrite and not request.resume and folder.exists()):
        return
    former = _former(folder)
    if former.exists():
        folders.remove_tree(durable.linked(folder))
    else:
        durable.linked(folder).rename(former)
    say(f"the former agent is kept as {former} until the new one is whole")


def _said(record: AgentRecord) -> str:
    recent = "no episode yet" if record.recent is None else f"return {record.recent:.3g}"
    return f"{recent}, {record.episodes:,} episodes"
