"""The options of an environment, apart from the requests that have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lowerbound.config import option
from lowerbound.errors import OptionError

EXAMPLES = (
    "lowerbound/GridCatch-v0, MinAtar/Breakout-v1, CartPole-v1, ALE/Pong-v5, dmc/cartpole-swingup"
)


@dataclass(frozen=True)
class EnvironmentOptions:
    """An environment, and what is seen of it."""

    name: str = option("lowerbound/GridCatch-v0", f"environment, such as {EXAMPLES}")
    pixels: int = option(
        0, "side of rendered pictures that are seen instead of the observations; 0: observations"
    )
    repeat: int = option(1, "steps of the environment for which an action is kept")
    limit: int = option(0, "longest episode in steps; 0: that of the environment")
    colors: Literal["color", "grey"] = option("color", "colors of rendered pictures")

    def __post_init__(self) -> None:
        if self.pixels < 0 or self.repeat < 1 or self.limit < 0:
            raise OptionError("pixels and limit must not be negative, and repeat is at least 1")
