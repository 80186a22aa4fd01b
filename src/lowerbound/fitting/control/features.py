"""Features of stable-baselines3 policies: an encoder's codes, frozen or trained jointly, or a small
network of frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lowerbound.data.schema import Schema
from lowerbound.errors import MissingExtraError
from lowerbound.fitting.model import Fitted
from lowerbound.models import Encodes, require
from lowerbound.trace import Batch

try:
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
except ImportError as error:
    raise MissingExtraError("stable_baselines3", "rl") from error


SMALL = 16  # side of pictures whose first convolution has no stride


class LatentFeatures(BaseFeaturesExtractor):
    """E[z | frame] as the features of a policy.

    Use it as ``policy_kwargs={"features_extractor_class": LatentFeatures,
    "features_extractor_kwargs": {"fitted": fitted}, "normalize_images": False}``.

    Args:
        observation_space: of packed frames, such as those of ``FrameEnv``.
        fitted: a model with an encoder.
        frozen: the encoder stays as it is; else the policy's gradient trains it too.
    """

    def __init__(self, observation_space: Any, fitted: Fitted, frozen: bool = True) -> None:
        encodes = require(fitted.model, Encodes, "give features to a policy")
        self.stack = observation_space.shape[0] // fitted.schema.event_shape[0]
        super().__init__(observation_space, self.stack * encodes.latent_dim)
        self.schema, self.frozen = fitted.schema, frozen
        self.model = fitted.model
        if frozen:
            self.model.requires_grad_(False)

    def forward(self, observations: Tensor) -> Tensor:
        """Codes side by side, of packed frames stacked on their first axis, (rows, *frames)."""
        frames = observations.unflatten(1, (self.stack, -1)).flatten(0, 1)
        x = self.schema.units(frames)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            posterior = require(self.model, Encodes, "encode").encode(Batch(x.float()))
        mean: Tensor = posterior.mean
        return mean.reshape(len(observations), -1)

    def apply(self, fn: Callable[[nn.Module], None]) -> LatentFeatures:
        """Nothing: policies give all their parts new weights this way, and the encoder has some."""
        return self

    def train(self, mode: bool = True) -> LatentFeatures:
        """A frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self


class FrameFeatures(BaseFeaturesExtractor):
    """One convolution and one hidden layer over frames (Young & Tian 2019); numbers as they are.

    Args:
        observation_space: of packed frames.
        schema: of a frame.
    """

    CHANNELS, WIDTH = 16, 128

    def __init__(self, observation_space: Any, schema: Schema) -> None:
        shape = observation_space.shape
        pictures = len(shape) == 3
        super().__init__(observation_space, self.WIDTH if pictures else math.prod(shape))
        self.schema = schema
        self.layers: nn.Module = nn.Flatten()
        if not pictures:
            return
        maps, channels = list[nn.Module](), shape[0]
        side = max(shape[1:])
        while side > SMALL:  # larger pictures: strides first
            maps += [nn.Conv2d(channels, self.CHANNELS, 4, 2, 1), nn.ReLU()]
            channels, side = self.CHANNELS, side // 2
        maps += [nn.Conv2d(channels, self.CHANNELS, 3), nn.ReLU(), nn.Flatten()]
        with torch.no_grad():
            count = nn.Sequential(*maps)(torch.zeros(1, *shape)).shape[1]
        self.layers = nn.Sequential(*maps, nn.Linear(count, self.WIDTH), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:
        """Features, (rows, width), of packed frames."""
        features: Tensor = self.layers(self.schema.units(observations).float())
        return features
