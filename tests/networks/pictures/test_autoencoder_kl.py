"""The networks of diffusers: pictures in [0, 1], places one after the other, rows independent."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from lowerbound.config import from_mapping, to_mapping
from lowerbound.errors import OptionError
from lowerbound.networks import AutoencoderKL

pytest.importorskip("diffusers")

SIZES = {"block_out_channels": (8, 16), "norm_num_groups": 4}
SHAPE, NUMBERS = (3, 8, 12), 6


@pytest.fixture
def network() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(**SIZES)


def test_places_come_one_after_the_other(network: AutoencoderKL) -> None:
    assert network.map_size(SHAPE, network.map_stride) == (4, 6)
    encoder = network.map_encoder(SHAPE, 2, NUMBERS)
    x = torch.rand(2, *SHAPE)
    maps = encoder.quant_conv(encoder.encoder(2 * x - 1))
    found = encoder(x).view(2, 4, 6, NUMBERS)
    assert torch.equal(found[1, 2, 5], maps[1, :, 2, 5])


def test_the_decoder_takes_the_encoders_layout(network: AutoencoderKL) -> None:
    decoder = network.map_decoder(2, 3, (6, *SHAPE[1:]))
    z = torch.randn(2, 4 * 6 * 3)
    maps = z.view(2, 4, 6, 3).permute(0, 3, 1, 2)
    expected = (decoder.decoder(decoder.post_quant_conv(maps)) + 1) / 2
    torch.testing.assert_close(decoder(z), expected)


def test_the_output_bias_of_a_channel_is_the_mean_of_its_places(network: AutoencoderKL) -> None:
    decoder = network.map_decoder(2, 3, SHAPE)
    decoder.decoder.conv_out.weight.data.zero_()
    bias = torch.rand(SHAPE)
    decoder.set_output_bias(bias)
    expected = bias.mean((1, 2), keepdim=True).expand(SHAPE)
    torch.testing.assert_close(decoder(torch.randn(1, 72))[0], expected)
    with pytest.raises(ValueError, match="the output bias has shape"):
        decoder.set_output_bias(torch.zeros(3))


def test_a_row_does_not_depend_on_its_neighbors(network: AutoencoderKL) -> None:
    encoder, decoder = network.map_encoder(SHAPE, 2, 3), network.map_decoder(2, 3, SHAPE)
    x = torch.rand(4, *SHAPE)
    order = torch.tensor([3, 1])
    torch.testing.assert_close(
        decoder(encoder(x[order])), decoder(encoder(x))[order], rtol=1e-4, atol=1e-5
    )


def test_gradients_reach_every_parameter_and_input(network: AutoencoderKL) -> None:
    encoder, decoder = network.map_encoder(SHAPE, 2, 3), network.map_decoder(2, 3, SHAPE)
    x = torch.rand(2, *SHAPE, requires_grad=True)
    decoder(encoder(x)).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    for parameter in (*encoder.parameters(), *decoder.parameters()):
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_options_survive_json(network: AutoencoderKL) -> None:
    assert from_mapping(AutoencoderKL, json.loads(json.dumps(to_mapping(network)))) == network


BAD: list[tuple[dict[str, Any], str]] = [
    ({"block_out_channels": ()}, "are positive"),
    ({"layers_per_block": 0}, "are positive"),
    ({"norm_num_groups": 3}, "must divide"),
    ({"up_block_types": ("DownEncoderBlock2D",) * 2}, "the kinds of levels are 2 of UpDec"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=str)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        AutoencoderKL(**{**SIZES, **options})


def test_what_it_cannot_build_is_refused(network: AutoencoderKL) -> None:
    with pytest.raises(OptionError, match=r"give a stride of 2, not 4: set model\.stride=2"):
        network.map_size(SHAPE, 4)
    for shape in ((3, 9, 8), (64,)):
        with pytest.raises(OptionError, match="whose sides are multiples of 2"):
            network.map_size(shape, 2)
    with pytest.raises(OptionError, match="has a map as latent"):
        network.encoder(SHAPE, 4)
    with pytest.raises(OptionError, match="has a map as latent"):
        network.decoder(4, SHAPE)
    with pytest.raises(OptionError, match="takes no condition"):
        network.map_encoder(SHAPE, 2, 4, condition_dim=3)
    narrow = AutoencoderKL(**SIZES, latent_channels=2, use_quant_conv=False)
    with pytest.raises(OptionError, match="latent_channels=4 needs use_quant_conv"):
        narrow.map_encoder(SHAPE, 2, 4)
