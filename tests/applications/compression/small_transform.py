"""A small transform coder, started from tiles and then shaken, and its rows."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_sample_images

from lowerbound.data import Dataset, load
from lowerbound.data.pictures.pixels import tiles_of
from lowerbound.distributions.reparameterization import seeded
from lowerbound.fitting.assembly import assemble
from lowerbound.models import TransformCoder
from lowerbound.models.options import ModelOptions

SMALL = {"block": 8, "width": 16, "restoration": 8, "depth": 1}


@cache
def photograph() -> np.ndarray:
    """(427, 640, 3) uint8."""
    return np.asarray(load_sample_images().images[0])


@cache
def tiles() -> Dataset:
    """Color tiles of 32 pixels."""
    return load(tiles_of(photograph()[:160, :256], (32, 32)).x)


def small_coder(seed: int = 0) -> TransformCoder:
    """One whose networks say something, though nothing that helps."""
    with seeded(seed):
        model = assemble(tiles().schema, ModelOptions(model="transform", model_options=SMALL))
        model.start(tiles())
        for parameter in model.parameters():
            parameter.data.add_(0.03 * torch.randn_like(parameter))
    assert isinstance(model, TransformCoder)
    return model.eval()


def cutout(height: int, width: int, rows: int = 1) -> torch.Tensor:
    """Parts of the photograph, (rows, 3, height, width), model units."""
    parts = [photograph()[20 * i : 20 * i + height, 30 : 30 + width] for i in range(rows)]
    return torch.from_numpy(np.stack(parts)).movedim(-1, 1).float() / 255
