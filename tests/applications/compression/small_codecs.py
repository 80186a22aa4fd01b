"""Small fitted-like models of every kind that has an exact form, and their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from lowerbound.data import Dataset, load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.fitting.assembly import assemble
from lowerbound.models import Model, VectorQuantizedVariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.priors.codes import MarginalCodes

RECTIFIED = {"activation": "relu"}
KINDS: Mapping[str, dict[str, Any]] = {
    "mlp": {"network": "mlp", "network_options": {**RECTIFIED, "hidden": [24]}},
    "convolutional": {"network": "convolutional", "network_options": {**RECTIFIED, "width": 6}},
    "chain": {
        "model": "hierarchical",
        "network": "mlp",
        "network_options": {**RECTIFIED, "hidden": [24]},
        "model_options": {**RECTIFIED, "levels": 3, "hidden": [16]},
    },
    "dense ladder": {
        "model": "ladder",
        "network": "mlp",
        "model_options": {**RECTIFIED, "levels": 2, "width": 16},
    },
    "ladder": {
        "model": "ladder",
        "network": "convolutional",
        "model_options": {**RECTIFIED, "levels": 3, "width": 6},
    },
}


def digits(grey: bool = False) -> Dataset:
    """scikit-learn's digits, 17 levels or bits."""
    found = load("digits", binarize="none" if grey else "threshold")
    return found if grey else found.binarized(0)


def small_model(kind: str, rows: Dataset, seed: int = 0) -> Model:
    """One whose weights are drawn, and loud enough that latents and rows tell of each other."""
    likelihood = "bernoulli" if rows.schema.binary else "discretized_logistic"
    with seeded(seed):
        options = ModelOptions(latent_dim=6, likelihood=likelihood, **KINDS[kind])
        model = assemble(rows.schema, options)
        for parameter in model.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@contextmanager
def without_onednn() -> Iterator[None]:
    """Layers by torch's own loops; ``torch.backends.mkldnn.flags`` warns of TF32 on its way."""
    try:
        torch._C._set_mkldnn_enabled(False)
        yield
    finally:
        torch._C._set_mkldnn_enabled(True)


def small_codes(
    rows: Dataset, seed: int = 0, network: str = "mlp", **chosen: Any
) -> VectorQuantizedVariationalAutoencoder:
    """A model of codes started from rows and then shaken, its prior far from even if it can be."""
    with seeded(seed):
        made = ModelOptions(
            model="vq_vae",
            network=network,
            network_options={"hidden": [24]} if network == "mlp" else {"width": 6},
            latent_dim=3,
            model_options={"codes": 16, **chosen},
        )
        model = assemble(rows.schema, made)
        model.start(rows)
        for parameter in model.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
        for part in model.modules():
            if isinstance(part, MarginalCodes):
                part.shares.copy_(torch.distributions.Dirichlet(part.shares * 8).sample())
    assert isinstance(model, VectorQuantizedVariationalAutoencoder)
    return model.eval()
