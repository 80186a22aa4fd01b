"""The environment that an agent was trained in, and where it plays."""

from __future__ import annotations

import shlex
from typing import Any

from lowerbound import untrusted
from lowerbound.applications.control.environment_options import EnvironmentOptions
from lowerbound.applications.control.environments import Environment, is_provided
from lowerbound.applications.control.requests import PlayRequest
from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.sequences.episode_kind import EpisodeForm
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.fitting.fitted import Fitted
from lowerbound.models.powers import WorldModel

DEFAULTS = to_mapping(EnvironmentOptions())


def typed(seen: EnvironmentOptions) -> str:
    """An environment as it is typed, without defaults: "CartPole-v1 --pixels 48"."""
    given = to_mapping(seen)
    others = [name for name in given if name != "name" and given[name] != DEFAULTS[name]]
    flags = [f"--{name} {given[name]}" for name in others]
    return " ".join([seen.name, *flags])


def world_of(fitted: Fitted, task: str) -> WorldModel:
    """The world model of a fitted model.

    Raises:
        UnsupportedError: it is another model.
    """
    if isinstance(fitted.model, WorldModel):
        return fitted.model
    raise UnsupportedError(
        f"only a world model can {task}, and this is {fitted.options.model.model!r}: lowerbound "
        "control train makes one (--agent world_model), and lowerbound fit EPISODES --windows 32 "
        "fits one to clips"
    )


def environment_for(request: PlayRequest, fitted: Fitted, stream: str) -> Environment:
    """The environment that the agent was trained in, with episodes of ``stream``.

    Raises:
        UnsupportedError: the model is no agent.
        OptionError: the folder names an environment that only the user may name.
        DataError: the environment has other frames or actions than the agent's.
    """
    found = environment_of(fitted)
    name = untrusted.printable(found.name)
    if request.environment and request.environment != found.name:
        raise OptionError(
            f"{request.model} was trained in {untrusted.printable(typed(found))}, and not in "
            f"{request.environment}: leave --environment out"
        )
    if not request.environment and not is_provided(found.name):
        raise OptionError(
            f"{request.model} names the environment {name!r}, which no installed library "
            "registers, and making it could run code: if you trust it, give "
            f"--environment {shlex.quote(name)}"
        )
    env, form = Environment(found, request.seed, stream), EpisodeForm.of(fitted.schema)
    own, its = (
        (tuple(f.frame.event_shape), f.frame.levels, f.actions, f.classes) for f in (form, env.form)
    )
    if own != its:
        env.close()
        raise DataError(f"{name} has other frames or actions than the agent in {request.model}")
    return env


def environment_of(fitted: Fitted) -> EnvironmentOptions:
    """The environment that an agent was trained in.

    Raises:
        UnsupportedError: the model was fitted to clips, whose environment is not known.
    """
    world_of(fitted, "play")
    found: dict[str, Any] = dict(EpisodeForm.of(fitted.schema).environment)
    if not found:
        raise UnsupportedError(
            "this model was fitted to clips, and has no environment and no actor: lowerbound "
            "control train makes an agent"
        )
    return from_mapping(EnvironmentOptions, found)
