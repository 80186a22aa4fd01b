"""Small data and models that train in a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.distributions.reparameterization import seeded
from lowerbound.likelihoods import Bernoulli, Gaussian
from lowerbound.models import VariationalAutoencoder
from lowerbound.networks import NETWORKS
from lowerbound.posteriors import GaussianPosterior
from lowerbound.priors import StandardNormal
from lowerbound.training import TrainingOptions

FEATURES = 12
LATENTS = 2


def grey_rows(rows: int = 90, seed: int = 0) -> Dataset:
    """Grey levels of two kinds of rows, whose bits are drawn anew at each visit."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.rand(rows, 1, generator=generator) < 0.5
    grey = torch.rand(rows, FEATURES, generator=generator) * 150
    grey[:, : FEATURES // 2] += 100 * kind
    schema = Schema(
        "vectors", (FEATURES,), levels=256, white=255.0, dtype="uint8", binarize="dynamic"
    )
    return Dataset(schema, grey.to(torch.uint8))


def real_rows(rows: int = 90, seed: int = 0) -> Dataset:
    """Real numbers that two latents explain, in float64 as tables have it."""
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(rows, LATENTS, generator=generator, dtype=torch.float64)
    loading = torch.randn(LATENTS, FEATURES, generator=generator, dtype=torch.float64)
    noise = torch.randn(rows, FEATURES, generator=generator, dtype=torch.float64)
    return Dataset(Schema("vectors", (FEATURES,)), latent @ loading + 0.3 * noise)


def vae(likelihood: str = "bernoulli", seed: int = 0) -> VariationalAutoencoder:
    """A small model with weights drawn from ``seed``."""
    network: Any = NETWORKS["mlp"](hidden=(8,))  # type: ignore[call-arg]
    family: Any = {"bernoulli": Bernoulli, "gaussian": Gaussian}[likelihood]
    with seeded(seed):
        return VariationalAutoencoder(
            network.encoder((FEATURES,), 2 * LATENTS),
            GaussianPosterior(LATENTS),
            StandardNormal(LATENTS),
            network.decoder(LATENTS, (FEATURES,)),
            family((FEATURES,)),
        )


def options(**changes: Any) -> TrainingOptions:
    """A short run in float32, without what a test does not ask for."""
    plain: dict[str, Any] = {
        "updates": 40,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "precision": "float32",
        "compile": "off",
        "patience": 0,
    }
    return TrainingOptions(**{**plain, **changes})


def weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of the state."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same_weights(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Bit for bit."""
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different


def at_call(number: int, action: Callable[[], None]) -> Callable[[object], None]:
    """A hook that acts when it is called for the given time, counted from 1."""
    calls = 0

    def hook(argument: object) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            action()

    return hook


def average_factors(decay: float, count: int) -> list[float]:
    """The weight of each of ``count`` states in the moving average, the oldest first."""
    found: list[float] = []
    for number in range(1, count + 1):
        share = max(1 - decay, 5 / (number + 4))
        found = [(1 - share) * factor for factor in found] + [share]
    return found
