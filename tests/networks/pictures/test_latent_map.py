"""A latent that is a map: channels first, and each place by its own neighborhood."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowerbound import VAE
from lowerbound.errors import OptionError
from lowerbound.networks.base import Decoder, Encoder
from lowerbound.networks.pictures.linear_path import LatentMapDecoder, LatentMapEncoder

SHAPE = (3, 2, 4)


class ByPlace(Encoder):
    condition_dim = 0

    def forward(self, x, condition=None):
        return x


class Same(Decoder):
    condition_dim = 0
    parameter_shape = (24,)
    output_bias = None

    def forward(self, z, condition=None):
        return z


def test_heads_are_maps_with_their_channels_first():
    numbers = torch.arange(2 * 48.0).view(2, 2, 4, 2, 3)  # rows, height, width, heads, channels
    heads = LatentMapEncoder(ByPlace(), SHAPE)(numbers.flatten(1)).view(2, 2, *SHAPE)
    assert heads[1, 0, 2, 1, 3] == numbers[1, 1, 3, 0, 2]
    assert heads[1, 1, 0, 0, 2] == numbers[1, 0, 2, 1, 0]


def test_the_decoder_undoes_the_order_of_the_encoder():
    means = torch.randn(2, 2, 4, 3)
    encoded = LatentMapEncoder(ByPlace(), SHAPE)(means.flatten(1))
    assert torch.equal(LatentMapDecoder(Same(), SHAPE)(encoded), means.flatten(1))


@pytest.fixture(scope="module")
def fitted():
    x = np.random.default_rng(0).integers(0, 5, size=(60, 3, 16, 16)).astype(np.uint8)
    options = {"latent_dim": 2, "network": "convolutional", "epochs": 1, "random_state": 0}
    return VAE(**options, network_options={"width": 4}, model_options={"stride": 4}).fit(x), x


def test_the_latent_has_the_size_of_the_map(fitted, tmp_path):
    vae, x = fitted
    assert vae.transform(x[:3]).shape == (3, 2 * 4 * 4)
    assert vae.sample(2).shape == (2, 3, 16, 16)
    vae.save(tmp_path / "m.lb")
    again = VAE.load(tmp_path / "m.lb")
    assert np.array_equal(again.transform(x[:3]), vae.transform(x[:3]))


def test_a_place_of_the_map_depends_on_what_is_near_it(fitted):
    vae, x = fitted
    other = x[:1].copy()
    other[..., 12:, 12:] = 4 - other[..., 12:, 12:]
    moved = (vae.transform(other) - vae.transform(x[:1])).reshape(2, 4, 4)
    assert np.abs(moved[:, 3, 3]).max() > 1e-4
    assert np.abs(moved[:, 0, 0]).max() < 1e-6


def test_a_network_without_maps_is_refused_with_those_that_have_them():
    x = np.zeros((20, 1, 8, 8), np.uint8)
    with pytest.raises(
        OptionError, match="'mlp' has no latent maps: take one of autoencoder_kl, convolutional"
    ):
        VAE(network="mlp", model_options={"stride": 2}, epochs=1).fit(x)


def test_a_posterior_that_is_not_by_place_is_refused():
    x = np.random.default_rng(0).integers(0, 5, size=(20, 1, 16, 16)).astype(np.uint8)
    with pytest.raises(OptionError, match="belong to no place"):
        VAE(network="convolutional", posterior="full", model_options={"stride": 4}, epochs=1).fit(x)
