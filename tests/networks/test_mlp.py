"""Fully connected networks against their formulas, and the scales that they start with."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lowerbound.networks import ACTIVATIONS, MLP, Linear
from lowerbound.networks.base import hidden_widths
from lowerbound.networks.initialization import gain
from lowerbound.networks.matrix_products import AffineMap


def widths(layers: nn.Sequential) -> list[int]:
    affine = [layer for layer in layers if isinstance(layer, nn.Linear)]
    return [affine[0].in_features, *(layer.out_features for layer in affine)]


def test_the_network_of_the_importance_weighted_paper() -> None:
    network = MLP(hidden=(200, 200), activation="tanh")
    encoder, decoder = network.encoder((1, 28, 28), 100), network.decoder(50, (1, 28, 28))
    assert widths(encoder.layers) == [784, 200, 200, 100]
    assert widths(decoder.layers) == [50, 200, 200, 784]
    x, z = torch.rand(3, 1, 28, 28), torch.randn(3, 50)
    for half, row in ((encoder, x), (decoder, z)):
        first, second, last = (layer for layer in half.layers if isinstance(layer, nn.Linear))
        by_hand = last(second(first(row.flatten(1)).tanh()).tanh())
        torch.testing.assert_close(half(row).flatten(1), by_hand)


def test_one_hidden_layer_of_relu() -> None:
    network = MLP(hidden=(512,), activation="relu")
    kinds = [type(layer) for layer in network.encoder((784,), 32).layers]
    assert kinds == [AffineMap, nn.ReLU, AffineMap]
    assert widths(network.decoder(16, (784,)).layers) == [16, 512, 784]


def test_the_decoder_has_the_hidden_layers_in_reverse() -> None:
    network = MLP(hidden=(7, 5))
    assert widths(network.encoder((3, 2), 4).layers) == [6, 7, 5, 4]
    assert widths(network.decoder(2, (3, 2)).layers) == [2, 5, 7, 6]


def test_sizes_grow_with_the_root_of_the_data() -> None:
    assert hidden_widths(3) == hidden_widths(64) == (128, 128)
    assert hidden_widths(784) == (448, 448)
    assert hidden_widths(10**6) == (1024, 1024)
    assert widths(MLP().encoder((1, 28, 28), 8).layers) == [784, 448, 448, 8]


def test_the_condition_stands_beside_the_row() -> None:
    encoder = MLP(hidden=()).encoder((2,), 3, condition_dim=2)
    x, condition = torch.randn(4, 2), torch.randn(4, 2)
    torch.testing.assert_close(encoder(x, condition), encoder.layers(torch.cat((x, condition), 1)))


def test_linear_is_affine_both_ways() -> None:
    encoder, decoder = Linear().encoder((2, 3), 4), Linear().decoder(4, (2, 3))
    for half, shape in ((encoder, (2, 3)), (decoder, (4,))):
        assert [type(layer) for layer in half.layers] == [AffineMap]
        half = half.double()
        nn.init.normal_(half.layers[-1].bias)
        a, b = torch.randn(2, 5, *shape, dtype=torch.float64)
        torch.testing.assert_close(half(a + b) + half(0 * a), half(a) + half(b))


@pytest.mark.parametrize(("name", "expected"), [("relu", math.sqrt(2)), ("tanh", 1.5925)])
def test_gain_of_activations_with_known_moments(name: str, expected: float) -> None:
    assert gain(name) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_gain_keeps_the_second_moment_at_one(name: str) -> None:
    signal = ACTIVATIONS[name]()(torch.randn(1_000_000)) * gain(name)
    assert signal.square().mean().item() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_signals_keep_their_scale_through_many_layers(name: str) -> None:
    layers = MLP(hidden=(256,) * 8, activation=name).encoder((256,), 256).layers
    signal = torch.randn(256, 256)
    scales = []
    for layer in layers:
        signal = layer(signal)
        if isinstance(layer, nn.Linear):
            scales.append(signal.square().mean().item())
    assert all(0.5 < scale < 2.0 for scale in scales[:-1])
    assert scales[-1] == pytest.approx(0.09, rel=0.5)
