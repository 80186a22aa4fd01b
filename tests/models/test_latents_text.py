"""What a fit says of a model's latents, against the sizes of the built model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lowerbound.data import load
from lowerbound.fitting.assembly import assemble, resolve
from lowerbound.models import MODELS
from lowerbound.models.options import ModelOptions
from lowerbound.models.parts import ModelParts

PICTURES = np.random.default_rng(0).integers(0, 2, (6, 12, 8)).astype(np.uint8)
ROWS = np.random.default_rng(1).normal(size=(30, 6))


def said_and_built(options: ModelOptions, pictures: bool = True) -> tuple[str, object]:
    schema = load(PICTURES if pictures else ROWS).schema
    chosen = resolve(schema, options)
    text = MODELS[chosen.model].latents_text(ModelParts(schema, chosen))
    return text, assemble(schema, options)


def test_a_vector() -> None:
    said, built = said_and_built(ModelOptions(latent_dim=3), pictures=False)
    assert said == "3 latent numbers"
    assert built.latent_dim == 3


def test_a_map() -> None:
    options = ModelOptions(
        latent_dim=3, network="convolutional", posterior="gaussian", model_options={"stride": 4}
    )
    said, built = said_and_built(options)
    assert said == "3 latent numbers at each place of a map of 3 x 2"
    assert built.latent_dim == 3 * 3 * 2


@pytest.mark.parametrize("given", [{"levels": 3}, {"latent_dims": (5, 2)}])
def test_a_chain(given: dict[str, object]) -> None:
    options = ModelOptions(model="hierarchical", network="mlp", latent_dim=8, model_options=given)
    said, built = said_and_built(options, pictures=False)
    dims = {"levels": "2, 4, 8", "latent_dims": "2, 5"}[next(iter(given))]
    assert said == f"latents of {dims} numbers, the coarsest first"
    assert built.levels == len(dims.split(", "))
    assert built.latent_dim == int(dims.split(", ")[-1])


@pytest.mark.parametrize("network", ["mlp", "convolutional"])
def test_a_ladder(network: str) -> None:
    options = ModelOptions(
        model="ladder", network=network, latent_dim=4, model_options={"levels": 4, "width": 8}
    )
    said, built = said_and_built(options)
    total = sum(math.prod(shape) for shape in built.latent_shapes)
    assert said == f"4 latents, {total:,} latent numbers in all"
    assert built.latent_dim == total


def test_codes() -> None:
    said, built = said_and_built(ModelOptions(model="vq_vae", network="convolutional"))
    assert said == f"codes whose vectors have {built.dim} numbers"
