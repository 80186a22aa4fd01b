"""A small world model, and windows of random episodes for it."""

from __future__ import annotations

import torch

from lowerbound.data.schema import Schema
from lowerbound.data.sequences.episode_kind import EpisodeForm
from lowerbound.data.sequences.windows import Windows
from lowerbound.distributions.reparameterization import seeded
from lowerbound.fitting.assembly import assemble
from lowerbound.models import RecurrentStateSpace
from lowerbound.models.options import ModelOptions
from lowerbound.trace import Batch

TIME, FRAME, ACTIONS = 6, 5, 3
FORM = EpisodeForm(
    Schema(kind="vectors", event_shape=(FRAME,), levels=2, dtype="uint8").to_mapping(),
    ACTIONS,
    ACTIONS,
    True,
)
SMALL = {"memory": 12, "groups": 3, "classes": 4, "width": 10, "behavior": True}


def world(latents: str = "codes", seed: int = 0) -> RecurrentStateSpace:
    """A world model with random weights."""
    options = ModelOptions(
        model="recurrent_state_space",
        network="mlp",
        network_options={"hidden": (8,)},
        model_options={**SMALL, "latents": latents},
    )
    with seeded(seed):
        made = assemble(FORM.of_windows(Windows(TIME, TIME)), options)
        assert isinstance(made, RecurrentStateSpace)
        for parameter in made.parameters():  # heads start at zero, which would hide errors
            parameter.data.add_(0.2 * torch.randn_like(parameter))
    return made


def batch(rows: int = 4, time: int = TIME, seed: int = 1) -> Batch:
    """Random frames, actions and outcomes; episodes start at the first time only."""
    with seeded(seed):
        classes = torch.randint(ACTIONS, (rows, time))
        resets = torch.zeros(rows, time, dtype=torch.bool)
        resets[:, 0] = True
        return Batch(
            x=(torch.rand(rows, time, FRAME) < 0.5).float(),
            condition=torch.nn.functional.one_hot(classes, ACTIONS).float(),
            outcomes=torch.stack([torch.randn(rows, time), torch.ones(rows, time)], -1),
            resets=resets,
        )
