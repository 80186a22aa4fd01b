"""Convolutional networks: levels, exact sizes, residual scale, memory layout."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lowerbound.errors import DataError
from lowerbound.networks import Convolutional
from lowerbound.networks.base import Level, as_picture, pyramid
from lowerbound.networks.initialization import convolution
from lowerbound.networks.pictures.convolutional import (
    ResidualBlock,
    Upsample,
    by_pixel,
    channels_last,
    residual_blocks,
)

SIZES = [(1, 1), (1, 30), (7, 5), (8, 8), (9, 8), (28, 28), (64, 48), (33, 17), (96, 96), (101, 3)]


def test_levels_of_a_digit() -> None:
    assert pyramid((28, 28)) == (Level((14, 14), (2, 2), 32), Level((7, 7), (2, 2), 64))


def test_only_the_long_axis_is_halved() -> None:
    assert pyramid((9, 5)) == (Level((5, 5), (2, 1), 32),)
    assert [level.size for level in pyramid((33, 17))] == [(17, 9), (9, 5), (5, 5)]
    assert pyramid((7, 5)) == (Level((7, 5), (1, 1), 32),)


def test_channels_double_up_to_a_limit() -> None:
    assert [level.channels for level in pyramid((512, 512))] == [32, 64, 128, 256, 256, 256]
    assert [level.channels for level in pyramid((64, 64), channels=300)] == [300, 300, 300]


def test_shapes_seen_as_pictures() -> None:
    assert as_picture((5,)) == (5, 1, 1)
    assert as_picture((4, 6)) == (1, 4, 6)
    with pytest.raises(DataError, match="use the network 'mlp'"):
        as_picture((1, 2, 3, 4))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_decoder_passes_the_encoder_s_sizes_in_reverse(size: tuple[int, int]) -> None:
    network = Convolutional(width=2, depth=1)
    encoder, decoder = network.encoder((1, *size), 4), network.decoder(2, (3, *size))
    seen: dict[str, list[torch.Size]] = {"encoder": [], "decoder": []}

    def watch(half: str) -> None:
        for module in (encoder if half == "encoder" else decoder).modules():
            if isinstance(module, ResidualBlock):
                module.register_forward_hook(lambda *args: seen[half].append(args[2].shape[2:]))

    watch("encoder")
    watch("decoder")
    encoder(torch.randn(2, 1, *size))
    assert decoder(torch.randn(2, 2)).shape == (2, 3, *size)
    assert seen["encoder"] == [level.size for level in pyramid(size, 2)]
    assert seen["decoder"] == seen["encoder"][::-1]


def test_upsampling_interleaves_its_phases_and_crops() -> None:
    upsample = Upsample(Level((5, 5), (2, 2), 3), 4, (9, 10), taps=(3, 3))
    features = torch.randn(2, 3, 5, 5)
    finer = upsample(features)
    phases_last = upsample.layer(features).unflatten(1, (4, 4)).transpose(1, 2).flatten(1, 2)
    expected = nn.functional.pixel_shuffle(phases_last, 2)
    assert torch.equal(finer, expected[:, :, :9])


def test_upsampling_along_one_axis() -> None:
    upsample = Upsample(Level((1, 5), (1, 2), 3), 1, (1, 9), taps=(1, 3))
    features = torch.randn(1, 3, 1, 5)
    left, right = upsample.layer(features)[0, :, 0]
    assert torch.equal(upsample(features)[0, 0, 0], torch.stack((left, right), 1).flatten()[:9])


def test_residual_blocks_let_the_variance_grow_at_most_e_fold() -> None:
    for bottleneck in (True, False):
        blocks = nn.Sequential(*residual_blocks(16, 64, (3, 3), "relu", bottleneck, total=16))
        with torch.no_grad():
            growth = blocks(torch.randn(16, 64, 12, 12)).var().item()
        assert 1.2 < growth < math.e


def test_a_residual_block_is_its_formula() -> None:
    block = ResidualBlock(4, (3, 3), "tanh", inner=2)
    first, second, third = (m for m in block.layers if isinstance(m, nn.Conv2d))
    assert [m.kernel_size for m in (first, second, third)] == [(1, 1), (3, 3), (1, 1)]
    h = torch.randn(2, 4, 5, 5)
    expected = h + third(second(first(h.tanh()).tanh()).tanh())
    torch.testing.assert_close(block(h), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_stored_pixel_by_pixel(channels: int) -> None:
    pictures = torch.randn(2, channels, 5, 7)
    stored = channels_last(pictures)
    assert torch.equal(stored, pictures)
    assert stored.stride() == (35 * channels, 1, 7 * channels, channels)
    assert by_pixel(stored).data_ptr() == stored.data_ptr()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28)], ids=str)
def test_maps_stay_pixel_by_pixel_through_the_network(shape: tuple[int, ...]) -> None:
    """The faster layout is lost silently where one layer answers in the other."""
    encoder, decoder = Convolutional().encoder(shape, 4), Convolutional().decoder(2, shape)
    for half in (encoder, decoder):
        for module in half.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                module.register_forward_hook(lambda *args: strides.append(args[2].stride(1)))
    strides: list[int] = []
    encoder(torch.randn(2, *shape))
    decoder(torch.randn(2, 2))
    assert len(strides) == 16
    assert set(strides) == {1}


def test_a_pixel_reaches_only_the_maps_around_it() -> None:
    encoder = Convolutional(depth=0).encoder((1, 28, 28), 4)
    x = torch.zeros(1, 1, 28, 28)
    touched = x.clone()
    touched[0, 0, 0, 0] = 1.0
    features = encoder.layers(encoder.stem(touched)) - encoder.layers(encoder.stem(x))
    assert features[0, :, 0, 0].abs().sum() > 0
    assert features[0, :, 2:, :].abs().sum() == 0


def test_a_single_pixel_takes_a_matrix_product_with_the_same_answer() -> None:
    layer = convolution(6, 4, (1, 1))
    nn.init.normal_(layer.bias)
    pixels = torch.randn(5, 6, 1, 1)
    expected = nn.functional.conv2d(pixels, layer.weight, layer.bias)
    torch.testing.assert_close(layer(pixels), expected)
    assert "Convolution" not in type(layer(pixels).grad_fn.next_functions[0][0]).__name__
