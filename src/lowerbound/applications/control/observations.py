"""Observations replaced by the codes of a fitted VAE: q(z | frame) as the state of a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.schema import Schema
from lowerbound.distributions.reparameterization import draw, seeded
from lowerbound.errors import DataError
from lowerbound.fitting.fitted import Fitted
from lowerbound.models.base import Model
from lowerbound.models.powers import Encodes, require
from lowerbound.trace import Batch
from lowerbound.training.device import PROCESSOR

TASK = "encode observations"


class LatentObservation(gymnasium.ObservationWrapper[Array, Any, Array]):
    r"""Gives E[z | frame], or a draw from q(z | frame), in the place of each frame.

    The weights of the model are frozen.

    Args:
        env: with frames of the kind that the model was fitted on.
        fitted: a model with an encoder, or its folder.
        deterministic: the posterior mean; else a draw.
        seed: of the draws.

    Raises:
        DataError: the observations are not those of the model, and the message names both shapes;
            or ``env`` has another interface than gymnasium's.
        UnsupportedError: the model has no encoder.
    """

    observation_space: Any

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        fitted: Fitted | str | Path,
        deterministic: bool = True,
        seed: int = 0,
    ) -> None:
        if not isinstance(fitted, Fitted):
            from lowerbound.fitting import folder

            fitted = folder.read(Path(fitted), PROCESSOR)
        if not isinstance(env, gymnasium.Env):
            raise DataError(
                f"{type(env).__name__} is no environment of gymnasium: wrap one of the old gym in "
                "shimmy.GymV26CompatibilityV0 or shimmy.GymV21CompatibilityV0 (pip install shimmy)"
            )
        super().__init__(env)
        encodes = require(fitted.model, Encodes, TASK)
        self.model: Model = fitted.model.eval().requires_grad_(False)
        self.schema, self.deterministic = fitted.schema, deterministic
        self.seed, self._count = seed, 0
        check_frames(env, self.schema)
        shape = (encodes.latent_dim,)
        self.observation_space = spaces.Box(-np.inf, np.inf, shape, np.float32)

    def observation(self, observation: Array) -> Array:
        """The code of one frame, (latent_dim,) float32."""
        self._count += 1
        z = codes_of(
            self.model,
            self.schema,
            frames_of(observation, self.schema),
            None if self.deterministic else self.seed + self._count,
        )
        return np.asarray(z[0].numpy(), dtype=np.float32)


@torch.no_grad()
def codes_of(model: Model, schema: Schema, frames: Array, seed: int | None = None) -> Tensor:
    """Codes of frames, (frames, latent_dim): means, or draws if there is a seed.

    Args:
        model: with an encoder.
        schema: of a frame.
        frames: in original units, (frames, ...).
        seed: of the draws; None: the means.
    """
    packed, observed = schema.pack(frames)
    posterior = require(model, Encodes, TASK).encode(Batch(schema.units(packed), observed))
    if seed is None:
        mean: Tensor = posterior.mean
        return mean.reshape(len(frames), -1)
    with seeded(seed):
        return draw(posterior, 1).reshape(len(frames), -1)


def frames_of(observation: Array, schema: Schema) -> Array:
    """One observation as a row in the layout of the schema."""
    values = np.asarray(observation)
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    return values[None]


def check_frames(env: gymnasium.Env[Any, Any], schema: Schema) -> None:
    """Check that an environment's observations are rows of a schema.

    Raises:
        DataError: they are not.
    """
    space = env.observation_space
    try:
        schema.pack(frames_of(np.asarray(space.sample()), schema))
    except (DataError, TypeError, ValueError) as error:
        raise DataError(
            f"the model encodes {schema.summary}, and the observations are {space}: {error}"
        ) from error
