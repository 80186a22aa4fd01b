"""What the commands of control share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lowerbound.applications.form import REQUIRED
from lowerbound.config import from_mapping, option, to_mapping
from lowerbound.data.sequences.episode_kind import EpisodeForm
from lowerbound.errors import UnsupportedError
from lowerbound.fitting import Fitted
from lowerbound.fitting.control.environments import EXAMPLES, EnvironmentOptions
from lowerbound.models import WorldModel

DEFAULTS = to_mapping(EnvironmentOptions())


@dataclass(frozen=True)
class EnvironmentRequest:
    """The options of a command that makes an environment."""

    environment: str = option(
        REQUIRED, f"environment, such as {EXAMPLES}", positional=True, metavar="ENV"
    )
    pixels: int = option(
        0, "side of rendered pictures that are seen instead of the observations; 0: observations"
    )
    repeat: int = option(1, "steps of the environment for which an action is kept")
    limit: int = option(0, "longest episode in steps; 0: that of the environment")
    colors: Literal["color", "grey"] = option("color", "colors of rendered pictures")

    @property
    def seen(self) -> EnvironmentOptions:
        """The environment."""
        return EnvironmentOptions(
            self.environment, self.pixels, self.repeat, self.limit, self.colors
        )


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
