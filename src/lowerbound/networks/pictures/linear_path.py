r"""A linear path beside the networks of pictures, from a picture to its code and back.

.. math:: \mu = A x + a + f(x), \qquad \text{parameters} = W z + g(z)

with f and g the encoder and the decoder. :mod:`lowerbound.models.linear_start` sets the path before
the first update. Then W is trained with the networks, which learn what the path lacks, and A stays
fixed: a step of Adam in each of its many weights would move the codes too far. Pictures of more
than 64 pixels per side take the path at a lower resolution.

The code may be a map, (channels, height, width), of networks that answer by place:

::

    picture ──map encoder──> (height, width, 2 channels) ──> mean (channels, height, width), raw ...
    picture <──map decoder── (height, width, channels)   <── z    (channels, height, width)
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.base import Decoder, Encoder
from lowerbound.networks.matrix_products import AffineMap

MOST_SIDE = 64


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


class OpenPath(NamedTuple):
    """The maps of an open path."""

    analysis: nn.Linear
    log_variance: nn.Parameter
    synthesis: nn.Linear


class LinearPath(nn.Module):
    """Pictures to the heads of a diagonal Gaussian, and codes to parameters of a likelihood.

    It is empty, and adds nothing, until ``open``; a model folder holds nothing of an empty path.

    Args:
        event_shape: (channels, height, width) of a picture.
        latent_dim: d.
        parameter_shape: (P, height, width) of the likelihood's parameters.
        learned: whether training changes W and the variances of the codes.

    Attributes:
        size: (h, w), the resolution of the path.
        place: an empty tensor, which moves with the model: the maps are made where it is.
        analysis: A and a, from C h w numbers to d; None if empty.
        log_variance: the heads of the log-variances, (d,); None if empty.
        synthesis: W, from d to P h w numbers; None if empty.
    """

    analysis: nn.Linear | None
    log_variance: nn.Parameter | None
    synthesis: nn.Linear | None
    place: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent_dim: int,
        parameter_shape: tuple[int, ...],
        learned: bool = True,
    ) -> None:
        super().__init__()
        self.learned = learned
        self.event_shape, self.parameter_shape = tuple(event_shape), tuple(parameter_shape)
        self.latent_dim = latent_dim
        step = math.ceil(max(event_shape[1:]) / MOST_SIDE)
        height, width = event_shape[1:]
        self.size = (math.ceil(height / step), math.ceil(width / step))
        self.register_buffer("place", torch.empty(0), persistent=False)
        self.register_module("analysis", None)
        self.register_parameter("log_variance", None)
        self.register_module("synthesis", None)
        self.register_load_state_dict_pre_hook(_as_stored)  # type: ignore[no-untyped-call]

    @property
    def is_open(self) -> bool:
        """Whether it adds anything."""
        return self.analysis is not None

    @property
    def full_size(self) -> bool:
        """Whether it has the resolution of the pictures."""
        return self.size == self.event_shape[1:]

    def open(self) -> OpenPath:
        """Make the maps, which are zero, where the model is."""
        inputs = self.event_shape[0] * math.prod(self.size)
        outputs = self.parameter_shape[0] * math.prod(self.size)
        self.analysis = AffineMap(inputs, self.latent_dim)
        self.log_variance = nn.Parameter(torch.zeros(self.latent_dim))
        self.synthesis = AffineMap(self.latent_dim, outputs, bias=False)
        for value in self.parameters():
            nn.init.zeros_(value).requires_grad_(self.learned)
        self.analysis.requires_grad_(False)
        self.to(self.place)
        return OpenPath(self.analysis, self.log_variance, self.synthesis)

    def close(self) -> None:
        """Make it empty."""
        self.analysis = self.log_variance = self.synthesis = None

    def take_layout(self, names: Collection[str], prefix: str = "") -> None:
        """Be open if tensors of these names are those of an open path, else empty."""
        stored = f"{prefix}synthesis.weight" in names
        if stored and not self.is_open:
            self.open()
        elif not stored:
            self.close()

    def analysis_parameters(self) -> list[nn.Parameter]:
        """Those from a picture to its code."""
        if self.analysis is None or self.log_variance is None:
            return []
        return [*self.analysis.parameters(), self.log_variance]

    def synthesis_parameters(self) -> list[nn.Parameter]:
        """Those from a code to the parameters of a likelihood."""
        return [] if self.synthesis is None else list(self.synthesis.parameters())

    def codes(self, x: Tensor) -> Tensor:
        """A x + a of pictures, (rows, d), by an open path."""
        assert self.analysis is not None
        codes: Tensor = self.analysis(self.reduced(x).flatten(1))
        return codes

    def heads(self, x: Tensor, numbers: Tensor) -> Tensor:
        """The encoder's ``numbers``, (rows, 2 d), plus those of the path."""
        if self.log_variance is None:
            return numbers
        mean = self.codes(x)
        return numbers + torch.cat((mean, self.log_variance.expand_as(mean)), 1)

    def parameters_of(self, z: Tensor, numbers: Tensor) -> Tensor:
        """The decoder's ``numbers``, (rows, *parameter_shape), plus those of the path."""
        if self.synthesis is None:
            return numbers
        added: Tensor = self.synthesis(z)
        return numbers + self.enlarged(added.unflatten(1, (self.parameter_shape[0], *self.size)))

    def reduced(self, x: Tensor) -> Tensor:
        """Pictures at the resolution of the path, (rows, channels, h, w)."""
        return x if self.full_size else F.adaptive_avg_pool2d(x, self.size)

    def enlarged(self, maps: Tensor) -> Tensor:
        """Maps of the path at the resolution of the pictures."""
        if self.full_size:
            return maps
        return F.interpolate(maps, self.parameter_shape[1:], mode="bilinear", align_corners=False)


def _as_stored(path: nn.Module, state: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    assert isinstance(path, LinearPath)
    path.take_layout(state, prefix)
