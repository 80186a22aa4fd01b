"""Environments: gymnasium's, MinAtar, Atari and dm-control by one interface of packed frames.

A run of an environment is a function of a seed and the actions: each episode starts with a seed of
its own. An interrupted episode is therefore restored by its actions, and not by the environment's
state, which most libraries cannot save.

Tasks of the DeepMind control suite (Tassa et al. 2018) become gymnasium environments, and an
``Environment`` has gymnasium's interface for other libraries.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from lowerbound.applications.control.environment_options import EnvironmentOptions
from lowerbound.config import to_mapping
from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.pictures.pixels import ImageFormat
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.episode_kind import EpisodeForm
from lowerbound.errors import DataError, MissingExtraError, MissingLibraryError, OptionError
from lowerbound.training.randomness import stream_seed

SEEDS = 2**31  # that libraries accept
WHITE = 255
SIDE = 64  # of the pictures of dm-control
CAMERA = 0  # that renders these


class Arrival(NamedTuple):
    """What follows from an action.

    Attributes:
        frame: packed, (*frame).
        reward: summed over repeats.
        terminated: whether the episode ended of itself.
        truncated: whether it was cut off, at a limit of time.
    """

    frame: Tensor
    reward: float
    terminated: bool
    truncated: bool


def make(options: EnvironmentOptions, rendered: bool = False) -> Any:
    """The gymnasium environment.

    Args:
        options: name and what is seen.
        rendered: whether ``render`` gives pictures, for films.

    Raises:
        MissingExtraError: its library is not installed.
        OptionError: there is no such environment, or its module cannot be imported; the message
            has gymnasium's words.
    """
    gymnasium = library("gymnasium", "rl")
    _register(options.name)
    mode: dict[str, Any] = {"render_mode": "rgb_array"} if options.pixels or rendered else {}
    if options.name.startswith("ALE/"):
        mode["frameskip"] = options.repeat if options.repeat > 1 else 4
    if options.pixels or rendered:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    try:
        env = gymnasium.make(options.name, **mode)
    except MissingLibraryError:
        raise
    except (gymnasium.error.Error, ImportError) as error:
        raise OptionError(f"{options.name!r} cannot be made: {error}") from error
    return env


def is_provided(name: str) -> bool:
    """Whether an environment is registered: by gymnasium, by a library that is installed or by this
    package. Then its name imports nothing; gymnasium would import the part of another name before
    a colon."""
    try:
        _register(name)
    except OptionError:
        return False
    known = library("gymnasium", "rl").registry
    return name in known or any(name == other.rpartition("-v")[0] for other in known)


def library(name: str, extra: str = "", packages: str = "") -> Any:
    """An optional library.

    Args:
        name: of its module.
        extra: that installs it.
        packages: that pip installs, where no extra does: some games have copyleft licences.

    Raises:
        MissingExtraError, MissingLibraryError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        if packages:
            raise MissingLibraryError(name, packages) from error
        raise MissingExtraError(name, extra) from error


def _register(name: str) -> None:
    """Register the environments of the library that a name belongs to."""
    gymnasium = library("gymnasium", "rl")
    if name.startswith("MinAtar/"):
        library("minatar", packages="minatar")
        if "MinAtar/Breakout-v1" not in gymnasium.registry:
            library("minatar.gym", packages="minatar").register_envs()
    elif name.startswith("ALE/"):
        gymnasium.register_envs(library("ale_py", packages="ale-py"))
    elif name.startswith("dmc/"):
        register(name)
    elif name.startswith("lowerbound/") and "lowerbound/GridCatch-v0" not in gymnasium.registry:
        gymnasium.register(
            "lowerbound/GridCatch-v0", "lowerbound.applications.control.grid_catch:GridCatch"
        )


@dataclass
class Environment:
    """An environment whose frames are packed, and whose episodes start from seeds.

    Attributes:
        options: see ``EnvironmentOptions``.
        seed: of the run.
        stream: name of the random stream, so that evaluation has episodes of its own.
        rendered: whether ``picture`` is needed.

    Raises:
        OptionError: observations or actions are of a kind that is not supported.
    """

    options: EnvironmentOptions
    seed: int = 0
    stream: str = "training"
    rendered: bool = False
    episode: int = field(default=0, init=False)
    done: list[list[float]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        from gymnasium import spaces

        self._env = make(self.options, self.rendered)
        self._gymnasium_spaces = spaces
        actions = self._env.action_space
        if isinstance(actions, spaces.Discrete):
            self.classes, self.actions = int(actions.n), int(actions.n)
        elif isinstance(actions, spaces.Box) and np.isfinite([actions.low, actions.high]).all():
            self.classes, self.actions = 0, int(np.prod(actions.shape))
        else:
            raise OptionError(
                f"{self.options.name} has actions {actions}: supported are Discrete, and Box with "
                "finite bounds"
            )
        self._space = self._env.observation_space
        if not self.options.pixels and not isinstance(self._space, spaces.Box | spaces.Discrete):
            raise OptionError(
                f"{self.options.name} has observations {self._space}: supported are Box and "
                "Discrete; pictures of any environment that renders are seen with --pixels 64"
            )
        self._started = False
        first = self.reset()
        self.frame_shape = tuple(first.shape)
        self.episode, self._started = 0, False

    @property
    def form(self) -> EpisodeForm:
        """The form of its episodes."""
        details = to_mapping(self.options)
        return EpisodeForm(self.frame.to_mapping(), self.actions, self.classes, True, details)

    @property
    def frame(self) -> Schema:
        """The schema of a frame."""
        if self.options.pixels or self._is_picture:
            levels = 2 if self._binary else 256
            return Schema(
                kind="images",
                event_shape=self.frame_shape,
                levels=levels,
                white=float(levels - 1),
                dtype="uint8",
                image=ImageFormat("first", "pad"),
            )
        # of the units of the environment
        columns = tuple(Column(f"x{i}") for i in range(self.frame_shape[0]))
        return Schema("vectors", self.frame_shape, columns=columns, dtype="float32")

    def reset(self) -> Tensor:
        """Start the next episode, and return its first frame.

        Raises:
            DataError: an observation is not a finite number.
        """
        number = self.episode
        self.episode, self.done, self._length = number + 1, [], 0
        seed = stream_seed(self.seed, f"{self.stream}/{number}") % SEEDS
        observation, _ = self._fresh().reset(seed=seed)
        self._started = True
        return self._packed(observation)

    def step(self, action: Tensor) -> Arrival:
        """Act.

        Args:
            action: one-hot class, or numbers in [-1, 1], (numbers,).

        Raises:
            DataError: the reward or an observation is not a finite number.
        """
        self.done.append(action.tolist())
        given, total = self._given(action), 0.0
        repeats = 1 if self.options.name.startswith("ALE/") else self.options.repeat
        for _ in range(repeats):
            observation, reward, terminated, truncated, _ = self._env.step(given)
            total += float(reward)
            if terminated or truncated:
                break
        if not np.isfinite(total):
            raise DataError(
                f"{self.options.name} gave the reward {total} in episode {self.episode - 1}: "
                "rewards must be finite numbers"
            )
        self._length += 1
        cut = bool(self.options.limit) and self._length >= self.options.limit
        return Arrival(self._packed(observation), total, bool(terminated), bool(truncated) or cut)

    def picture(self) -> Array:
        """A color picture of the present, (height, width, 3) uint8.

        Raises:
            OptionError: the environment cannot render here.
        """
        name = self.options.name
        try:
            picture = self._env.render()
        except Exception as error:
            absent = library("gymnasium", "rl").error.DependencyNotInstalled
            if isinstance(error, absent | ModuleNotFoundError):  # it says what to install
                raise OptionError(f"{name} cannot be rendered: {error}") from error
            raise OptionError(
                f"{name} cannot be rendered here ({error}): without a screen, set the variable "
                "SDL_VIDEODRIVER=dummy for pygame, or MUJOCO_GL=egl (or osmesa) for mujoco"
            ) from error
        if picture is None:
            raise OptionError(f"{name} renders nothing: it has no pictures")
        return np.asarray(picture)

    def state(self) -> dict[str, Any]:
        """JSON values from which ``restore`` continues."""
        return {"episode": self.episode, "done": self.done}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue an episode: start it again, and repeat its actions."""
        self.episode = int(state["episode"]) - 1
        self.reset()
        for action in state["done"]:
            self.step(torch.tensor(action))

    def close(self) -> None:
        self._env.close()

    def _fresh(self) -> Any:
        game = getattr(self._env.unwrapped, "game", None)
        if game is not None and hasattr(game, "last_action"):
            game.last_action = 0  # MinAtar keeps it, so that a sticky action crosses episodes
        return self._env

    def _given(self, action: Tensor) -> Any:
        space = self._env.action_space
        if self.classes:
            return int(space.start) + int(action.argmax())
        share = (action.clamp(-1, 1).numpy() + 1) / 2
        return (space.low + share.reshape(space.shape) * (space.high - space.low)).astype(
            space.dtype
        )

    @property
    def _is_picture(self) -> bool:
        """Whether observations have the form of a picture, and are bytes or bits."""
        space = self._space
        if len(getattr(space, "shape", ())) not in (2, 3) or space.dtype.kind not in "iub":
            return False
        return bool(np.min(space.low) >= 0 and np.max(space.high) <= WHITE)

    @property
    def _binary(self) -> bool:
        return not self.options.pixels and float(np.max(self._space.high)) <= 1

    def _packed(self, observation: Any) -> Tensor:
        if self.options.pixels:
            return _shrunk(self.picture(), self.options.pixels, self.options.colors)
        if isinstance(self._space, self._gymnasium_spaces.Discrete):
            one_hot = torch.zeros(int(self._space.n))
            one_hot[int(observation) - int(self._space.start)] = 1.0
            return one_hot
        values = np.asarray(observation)
        if not self._is_picture:
            return torch.from_numpy(self._finite(values.reshape(-1)))
        frame = values.astype(np.uint8)
        frame = frame[..., None] if frame.ndim == 2 else frame
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(frame, -1, 0)))

    def _finite(self, values: Array) -> Array:
        """The observed numbers in float32.

        Raises:
            DataError: one is not finite.
        """
        with np.errstate(over="ignore"):  # it is refused below
            values = values.astype(np.float32)
        (wrong,) = np.nonzero(~np.isfinite(values))
        if len(wrong):
            raise DataError(
                f"{self.options.name} gave the observation {values[wrong[0]]} at place "
                f"{wrong[0] + 1} in episode {self.episode - 1}: observations must be finite numbers"
            )
        return values


def _shrunk(picture: Array, side: int, colors: str) -> Tensor:
    """A picture of that side, (channels, side, side) uint8, each pixel the mean of its area."""
    from PIL import Image

    image = Image.fromarray(picture).convert("L" if colors == "grey" else "RGB")
    small = np.array(image.resize((side, side), Image.Resampling.BOX))  # a copy can be written to
    small = small[..., None] if small.ndim == 2 else small
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(small, -1, 0)))


class FrameEnv(gymnasium.Env[Array, Any]):
    """Packed frames, (channels, height, width) or (numbers,), and actions in [-1, 1] or classes.

    Args:
        options: the environment.
        seed: of its episodes, unless ``reset`` has one.
        stream: name of the random stream.
        stack: newest frames that are seen together, side by side on the first axis; before an
            episode starts, its first frame counts.
    """

    action_space: Any
    observation_space: spaces.Box

    def __init__(
        self,
        options: EnvironmentOptions,
        seed: int = 0,
        stream: str = "training",
        stack: int = 1,
    ) -> None:
        self.inner = Environment(options, seed, stream)
        self._seen: deque[Array] = deque(maxlen=stack)
        frame, inner = self.inner.frame, self.inner
        shape = (stack * frame.event_shape[0], *frame.event_shape[1:])
        if frame.levels is None:
            self.observation_space = spaces.Box(-np.inf, np.inf, shape, np.float32)
        else:
            self.observation_space = spaces.Box(0, frame.top_code, shape, np.uint8)
        self.action_space = (
            spaces.Discrete(inner.classes)
            if inner.classes
            else spaces.Box(-1.0, 1.0, (inner.actions,), np.float32)
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.inner.seed, self.inner.episode = seed, 0
        first = self.inner.reset().numpy()
        self._seen.extend([first] * (self._seen.maxlen or 1))
        return np.concatenate(self._seen), {}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        if self.inner.classes:
            given = torch.zeros(self.inner.classes)
            given[int(action)] = 1.0
        else:
            given = torch.as_tensor(np.asarray(action, np.float32))
        found = self.inner.step(given)
        self._seen.append(found.frame.numpy())
        return np.concatenate(self._seen), found.reward, found.terminated, found.truncated, {}

    def show(self, seen: Array) -> None:
        """Set the frames that are seen together, as ``step`` gave them."""
        self._seen.extend(np.split(seen, self._seen.maxlen or 1))

    def render(self) -> Array:
        return self.inner.picture()

    def close(self) -> None:
        self.inner.close()


class ControlTask(gymnasium.Env[Array, Array]):
    """A task of the suite, named dmc/DOMAIN-TASK. Episodes have no end, only a limit of time.

    Pictures have no shadows.

    Args:
        domain, task: names in the suite.
        render_mode: "rgb_array", or None.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 - as gymnasium's
    action_space: spaces.Box
    observation_space: spaces.Box

    def __init__(self, domain: str, task: str, render_mode: str | None = None) -> None:
        self.render_mode, self._names = render_mode, (domain, task)
        self._env = self._loaded()
        actions = self._env.action_spec()
        low, high = (np.asarray(v, np.float32) for v in (actions.minimum, actions.maximum))
        self.action_space = spaces.Box(low, high, dtype=np.float32)
        count = sum(int(np.prod(spec.shape)) for spec in self._env.observation_spec().values())
        self.observation_space = spaces.Box(-np.inf, np.inf, (count,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self._env.task._random = np.random.RandomState(seed % 2**32)
        return self._numbers(self._env.reset()), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        found = self._env.step(action)
        over = found.last()
        terminated = over and found.discount == 0
        reward = float(found.reward or 0.0)
        return self._numbers(found), reward, bool(terminated), bool(over and not terminated), {}

    def render(self) -> Array:
        picture: Array = self._env.physics.render(SIDE, SIDE, camera_id=CAMERA)
        return picture

    def _loaded(self) -> Any:
        suite = _suite()
        try:
            env = suite.load(*self._names)
        except (ValueError, KeyError) as error:
            raise OptionError(
                f"dmc/{'-'.join(self._names)} is no task of the suite: {error}"
            ) from error
        # without a graphics card shadows take two thirds of the time, and at 64x64 few pixels
        env.physics.model.vis.quality.shadowsize = 0
        return env

    @staticmethod
    def _numbers(found: Any) -> Array:
        parts = [np.ravel(value) for value in found.observation.values()]
        return np.concatenate(parts).astype(np.float32)


def register(name: str) -> None:
    """Register a task under its name, dmc/DOMAIN-TASK.

    Raises:
        OptionError: the name has another form.
    """
    domain, _, task = name.removeprefix("dmc/").partition("-")
    if not task:
        raise OptionError(
            f"{name!r} is no task: names have the form dmc/DOMAIN-TASK, such as "
            "dmc/cartpole-swingup"
        )
    if name not in gymnasium.registry:
        entry = "lowerbound.applications.control.environments:ControlTask"
        gymnasium.register(name, entry, kwargs={"domain": domain, "task": task})


def _suite() -> Any:
    os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        from dm_control import suite
    except ImportError as error:
        raise MissingExtraError("dm_control", "dmc") from error
    return suite
