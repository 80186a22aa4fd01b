"""A small model of sound that nobody fitted, and clips for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lowerbound.data.audio.clips import Clips
from lowerbound.data.audio.kind import learned, rows_of
from lowerbound.data.sequences.windows import Windows
from lowerbound.distributions.reparameterization import seeded
from lowerbound.fitting.assembly import assemble
from lowerbound.models import VectorQuantizedVariationalAutoencoder
from lowerbound.models.options import ModelOptions

RATE, HOP = 200, 8


def clips(*lengths: int, seed: int = 0) -> Clips:
    """Decaying tones."""
    random = np.random.default_rng(seed)
    sounds = []
    for length in lengths:
        times = np.arange(length) / RATE
        pitch = random.uniform(10, 60)
        sounds.append(np.float32(0.5 * np.sin(2 * np.pi * pitch * times) * np.exp(-3 * times)))
    return Clips(tuple(sounds), RATE, tuple(f"{i}.wav" for i in range(len(sounds))))


def sound_model(**model: Any) -> VectorQuantizedVariationalAutoencoder:
    """Three codebooks of 16 codes each, 25 times per second."""
    windows = Windows(80, 40)
    options = ModelOptions(
        model="vq_vae",
        latent_dim=4,
        network="frames",
        network_options={"hop": HOP, "width": 12, "depth": 2},
        model_options={"quantizer": "residual", "quantizers": 3, "codes": 16, **model},
    )
    dataset = rows_of(clips(700, 500), learned(RATE, windows), windows)
    with seeded(0):
        built = assemble(dataset.schema, options)
        built.start(dataset)
    assert isinstance(built, VectorQuantizedVariationalAutoencoder)
    torch.manual_seed(0)
    for prior in built.priors:
        prior.learn(torch.randint(0, 5, (400, 10)))  # type: ignore[operator]
    return built.eval()
