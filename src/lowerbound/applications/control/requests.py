"""The requests to train agents in environments, and to play with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lowerbound.applications.common.form import (
    REQUIRED,
    DeviceRequest,
    FolderDataRequest,
    FolderRequest,
)
from lowerbound.applications.control.environment_options import EXAMPLES, EnvironmentOptions
from lowerbound.config import option, option_of, options_of
from lowerbound.parts import AUTO, MODELS, NETWORKS

FLAGS = ("steps", "seed", "device")  # options of an agent that are flags of the command


@dataclass(frozen=True)
class EnvironmentRequest:
    """The options of a command that makes an environment."""

    environment: str = option(
        REQUIRED, f"environment, such as {EXAMPLES}", positional=True, metavar="ENV"
    )
    pixels: int = option_of(EnvironmentOptions, "pixels")
    repeat: int = option_of(EnvironmentOptions, "repeat")
    limit: int = option_of(EnvironmentOptions, "limit")
    colors: Literal["color", "grey"] = option_of(EnvironmentOptions, "colors")

    @property
    def seen(self) -> EnvironmentOptions:
        """The environment."""
        return EnvironmentOptions(
            self.environment, self.pixels, self.repeat, self.limit, self.colors
        )


@dataclass(frozen=True, kw_only=True)
class PlayRequest(FolderRequest):
    """The options of a command that plays with a trained agent."""

    environment: str = option(
        "",
        "environment of the agent; needed if no installed library registers the one that the "
        "agent's folder names",
        metavar="ENV",
    )
    seed: int = option(0, "of the episodes")


@dataclass(frozen=True, kw_only=True)
class CollectRequest(EnvironmentRequest):
    """Write episodes of an environment."""

    output: str = option(
        REQUIRED, "clips to write (.npz)", short="-o", metavar="CLIPS", writes=True
    )
    steps: int = option(5_000, "steps of the environment")
    agent: str | None = option(
        None, "trained agent that acts (default: random actions)", metavar="MODEL", reads="model"
    )
    greedy: bool = option(False, "the agent takes its likeliest actions instead of drawing them")
    seed: int = option(0, "of episodes and actions")


def part_options() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """The names of the options of every part, by the part and who has it."""
    from lowerbound.applications.common.fit_folder import option_names
    from lowerbound.applications.control.agent import MODEL, AgentOptions
    from lowerbound.applications.control.imagined_returns import ImaginationOptions
    from lowerbound.applications.control.policy_gradient import PolicyGradientOptions

    agent, policy = (
        [name for name in options_of(options) if name not in FLAGS]
        for options in (AgentOptions, PolicyGradientOptions)
    )
    return {
        "agent": {"world_model": agent},
        "imagination": {"world_model": options_of(ImaginationOptions)},
        "policy": {"ppo": policy},
        "model": {MODEL: MODELS[MODEL].option_names()},
        "network": option_names(NETWORKS),
    }


@dataclass(frozen=True, kw_only=True)
class TrainAgentRequest(EnvironmentRequest, DeviceRequest):
    """Train an agent."""

    output: str = option(
        REQUIRED, "agent's folder to write", short="-o", metavar="MODEL", writes=True
    )
    agent: Literal["world_model", "ppo", "ppo_codes", "ppo_joint"] = option(
        "world_model",
        "how it learns: in a world model, or by PPO on frames, on codes of a frozen VAE, or on "
        "codes of a VAE that learns with the policy; PPO leaves its records, and its VAE, but no "
        "policy",
    )
    network: str = option(AUTO, "network of the world model's frames", choices=NETWORKS.after(AUTO))
    steps: int = option(40_000, "steps of the environment, random ones included")
    evaluate_every: int = option(5_000, "steps between two evaluations; 0: only at the end")
    episodes: int = option(10, "evaluated episodes, with drawn actions and with the likeliest each")
    set: tuple[str, ...] = option(
        (),
        "an option of a part, such as agent.every=8, imagination.entropy=0.003, model.memory=512, "
        "network.depth=1 or policy.learning_rate=1e-3; repeatable",
        metavar="PART.OPTION=VALUE",
        part_options=part_options,
    )
    resume: bool = option(False, "continue the run that was interrupted in this folder")
    overwrite: bool = option(False, "replace the agent in this folder")
    seed: int = option(0, "of environment, weights, actions and minibatches")


@dataclass(frozen=True)
class EvaluateAgentRequest(PlayRequest):
    """Play episodes with a trained agent."""

    episodes: int = option(20, "episodes with drawn actions, and as many with the likeliest")


@dataclass(frozen=True)
class CompareAgentsRequest:
    """Compare trained agents."""

    agents: tuple[str, ...] = option(
        REQUIRED,
        "agents of one kind, one folder for each seed: NAME=FOLDER,FOLDER,...; or one folder",
        positional=True,
        metavar="AGENT",
        reads="model",
    )
    output: str | None = option(
        None, "learning curves to draw (.png)", short="-o", metavar="PICTURE", writes=True
    )
    greedy: bool = option(False, "compare the likeliest actions instead of drawn ones")
    start: float = option(0.0, "return before the first step, for the area under the curve")
    seed: int = option(0, "of the bootstrap")


LAST = 4  # most windows of a film


@dataclass(frozen=True)
class EncodeClipsRequest(FolderDataRequest):
    """Turn frames into codes or states."""

    output: str = option(REQUIRED, "file to write (.npz)", short="-o", metavar="OUT", writes=True)
    seed: int = option(0, "of the draws of states")


@dataclass(frozen=True)
class VideoRequest(PlayRequest):
    """Film an agent and its dreams."""

    output: str = option(
        REQUIRED,
        "film (.gif, .webp, .mp4) or sheet (.png) to write",
        short="-o",
        metavar="FILM",
        writes=True,
    )
    context: int = option(5, "frames that the model sees before it dreams")
    frames: int = option(45, "frames of the dream")
    windows: int = option(2, f"episodes side by side, at most {LAST}")
    greedy: bool = option(False, "likeliest actions instead of drawn ones")
    fps: float = option(8.0, "frames per second")
