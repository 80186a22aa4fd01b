"""A latent that is a map, (channels, height, width): between it and networks that answer by place.

::

    picture ──map encoder──> (height, width, 2 channels) ──> mean (channels, height, width), raw ...
    picture <──map decoder── (height, width, channels)   <── z    (channels, height, width)
"""

from __future__ import annotations

from torch import Tensor, nn

from lowerbound.networks.base import Decoder, Encoder


class LatentMapEncoder(Encoder):
    """Reorder the output of a map encoder: each head is a map with its channels first.

    Args:
        encoder: picture to (rows, height * width * heads * channels), place after place.
        latent_shape: (channels, height, width).
    """

    def __init__(self, encoder: Encoder, latent_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = encoder
        self.latent_shape = latent_shape
        self.condition_dim = encoder.condition_dim

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        channels, height, width = self.latent_shape
        numbers: Tensor = self.encoder(x, condition)
        heads = numbers.unflatten(1, (height, width, -1, channels))
        maps: Tensor = heads.permute(0, 3, 4, 1, 2).flatten(1)
        return maps


class LatentMapDecoder(Decoder):
    """A decoder of z, (rows, channels * height * width), from one that takes place after place.

    Args:
        decoder: (rows, height * width * channels) to the parameters of the likelihood.
        latent_shape: (channels, height, width).
    """

    def __init__(self, decoder: Decoder, latent_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.decoder = decoder
        self.latent_shape = latent_shape
        self.condition_dim = decoder.condition_dim
        self.parameter_shape = decoder.parameter_shape

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        places = z.unflatten(1, self.latent_shape).permute(0, 2, 3, 1).flatten(1)
        parameters: Tensor = self.decoder(places, condition)
        return parameters

    @property
    def output_bias(self) -> nn.Parameter:
        return self.decoder.output_bias

    def set_output_bias(self, bias: Tensor) -> None:
        self.decoder.set_output_bias(bias)
