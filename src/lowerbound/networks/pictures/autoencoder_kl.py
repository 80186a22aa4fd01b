"""The convolutional networks of ``diffusers``' AutoencoderKL and VQModel.

::

    x in [0, 1] ── 2x - 1 ──> Encoder ──> quant_conv ──────> (height, width, numbers)
    x in [0, 1] <─ (v+1)/2 ── Decoder <── post_quant_conv <─ (height, width, numbers)

The modules are those of ``diffusers`` and weights have its names, so that a folder of ``diffusers``
is read and written without conversion. Only the two affine maps around them differ: ``diffusers``
has pictures in [-1, 1]. Source: Rombach et al. 2022; Esser et al. 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.config import option
from lowerbound.errors import OptionError
from lowerbound.networks.base import NETWORKS, Decoder, Encoder, Network, check_condition
from lowerbound.networks.denoisers import diffusers
from lowerbound.networks.pictures.patches import by_pixel

DOWN_BLOCKS = ("DownEncoderBlock2D", "AttnDownEncoderBlock2D")
UP_BLOCKS = ("UpDecoderBlock2D", "AttnUpDecoderBlock2D")


@NETWORKS.register("autoencoder_kl")
@dataclass(frozen=True)
class AutoencoderKL(Network):
    """Residual blocks with group normalization and one attention layer, as in Stable Diffusion.

    Options have the names of ``diffusers``' config.json. The latent is a map.
    """

    only_maps: ClassVar[bool] = True
    default_posterior: ClassVar[str] = "clamped_gaussian"

    block_out_channels: tuple[int, ...] = option(
        (32, 64, 128), "channels of each level, finest first; each level but the last halves"
    )
    layers_per_block: int = option(1, "residual blocks per level")
    norm_num_groups: int = option(8, "groups of channels that are normalized together")
    act_fn: str = option("silu", "nonlinearity")
    mid_block_add_attention: bool = option(True, "attention between the places of the map")
    use_quant_conv: bool = option(True, "a convolution between the encoder and the latent")
    use_post_quant_conv: bool = option(True, "a convolution between the latent and the decoder")
    latent_channels: int | None = option(
        None, "channels between networks and these convolutions; the map's unless given"
    )
    down_block_types: tuple[str, ...] = option((), "kind of each level: " + ", ".join(DOWN_BLOCKS))
    up_block_types: tuple[str, ...] = option((), "kind of each level: " + ", ".join(UP_BLOCKS))

    def __post_init__(self) -> None:
        channels, groups = self.block_out_channels, self.norm_num_groups
        if not channels or min(*channels, groups, self.layers_per_block, 1) < 1:
            raise OptionError(
                "block_out_channels, layers_per_block and norm_num_groups are positive, not "
                f"{channels}, {self.layers_per_block} and {groups}"
            )
        if any(each % groups for each in channels):
            raise OptionError(f"norm_num_groups={groups} must divide {channels}")
        for given, known in (
            (self.down_block_types, DOWN_BLOCKS),
            (self.up_block_types, UP_BLOCKS),
        ):
            if given and (len(given) != len(channels) or not set(given) <= set(known)):
                raise OptionError(
                    f"the kinds of levels are {len(channels)} of {', '.join(known)}, not {given}"
                )

    @property
    def map_stride(self) -> int:
        return int(2 ** (len(self.block_out_channels) - 1))

    def encoder(
        self, event_shape: tuple[int, ...], numbers: int, condition_dim: int = 0
    ) -> Encoder:
        raise self._only_maps()

    def decoder(
        self, latent_dim: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> Decoder:
        raise self._only_maps()

    def map_size(self, event_shape: tuple[int, ...], stride: int) -> tuple[int, int]:
        if stride != self.map_stride:
            raise OptionError(
                f"{len(self.block_out_channels)} block_out_channels give a stride of "
                f"{self.map_stride}, not {stride}: set model.stride={self.map_stride}, or give "
                "another number of levels"
            )
        if len(event_shape) != 3 or any(side % stride for side in event_shape[1:]):
            raise OptionError(
                f"the network 'autoencoder_kl' takes pictures whose sides are multiples of "
                f"{stride}, not rows of shape {event_shape}: resize them (--image-size)"
            )
        return event_shape[1] // stride, event_shape[2] // stride

    def map_encoder(
        self, event_shape: tuple[int, ...], stride: int, numbers: int, condition_dim: int = 0
    ) -> DiffusersEncoder:
        self._refuse_condition(condition_dim)
        return DiffusersEncoder(self, event_shape[0], numbers)

    def map_decoder(
        self, stride: int, numbers: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> DiffusersDecoder:
        self._refuse_condition(condition_dim)
        return DiffusersDecoder(self, numbers, parameter_shape)

    def sizes(self) -> dict[str, Any]:
        """Arguments that both halves of ``diffusers`` take."""
        return {
            "block_out_channels": self.block_out_channels,
            "layers_per_block": self.layers_per_block,
            "norm_num_groups": self.norm_num_groups,
            "act_fn": self.act_fn,
            "mid_block_add_attention": self.mid_block_add_attention,
        }

    def down_blocks(self) -> tuple[str, ...]:
        """The kind of each level of the encoder."""
        return self.down_block_types or DOWN_BLOCKS[:1] * len(self.block_out_channels)

    def up_blocks(self) -> tuple[str, ...]:
        """The kind of each level of the decoder, coarsest first."""
        return self.up_block_types or UP_BLOCKS[:1] * len(self.block_out_channels)

    def _only_maps(self) -> OptionError:
        return OptionError(
            "the network 'autoencoder_kl' has a map as latent, which the models 'vae' and "
            "'vq_vae' take: choose one of them, or another network"
        )

    def _refuse_condition(self, condition_dim: int) -> None:
        if condition_dim:
            raise OptionError(
                "the network 'autoencoder_kl' takes no condition: choose 'convolutional', or train "
                "a conditional prior on its latents (lowerbound prior)"
            )


class DiffusersEncoder(Encoder):
    """Picture in [0, 1] to a map, (rows, height * width * numbers), place after place.

    Args:
        options: sizes.
        channels: of the picture.
        numbers: of each place.
    """

    def __init__(self, options: AutoencoderKL, channels: int, numbers: int) -> None:
        super().__init__()
        self.condition_dim = 0
        self.options = options
        inner = options.latent_channels or numbers
        self.encoder: nn.Module = _library().Encoder(
            in_channels=channels,
            out_channels=inner,
            down_block_types=options.down_blocks(),
            double_z=False,
            **options.sizes(),
        )
        self.quant_conv = _between(options.use_quant_conv, inner, numbers)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        check_condition(condition, self.condition_dim)
        return by_pixel(self.quant_conv(self.encoder(2 * x - 1)))


class DiffusersDecoder(Decoder):
    """A map in the encoder's layout to a picture in units of [0, 1], which it may exceed.

    Args:
        options: sizes.
        numbers: of each place.
        parameter_shape: parameters of the likelihood.
    """

    def __init__(
        self, options: AutoencoderKL, numbers: int, parameter_shape: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.condition_dim = 0
        self.parameter_shape = tuple(parameter_shape)
        stride = options.map_stride
        self.map = (parameter_shape[1] // stride, parameter_shape[2] // stride, numbers)
        inner = options.latent_channels or numbers
        self.post_quant_conv = _between(options.use_post_quant_conv, numbers, inner)
        self.decoder: nn.Module = _library().Decoder(
            in_channels=inner,
            out_channels=parameter_shape[0],
            up_block_types=options.up_blocks(),
            **options.sizes(),
        )
        upsampling = import_module("diffusers.models.upsampling").Upsample2D
        for module in self.decoder.modules():
            if isinstance(module, upsampling):
                module.forward = partial(_doubled, module)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        check_condition(condition, self.condition_dim)
        # contiguous as in diffusers, where another layout would give other rounding errors
        places = z.unflatten(1, self.map).permute(0, 3, 1, 2).contiguous()
        picture: Tensor = self.decoder(self.post_quant_conv(places))
        return 0.5 * picture + 0.5

    @property
    def output_bias(self) -> nn.Parameter:
        bias: nn.Parameter = self.decoder.conv_out.bias  # type: ignore[assignment,union-attr]
        return bias

    @torch.no_grad()
    def set_output_bias(self, bias: Tensor) -> None:
        """Set the bias of each channel to the mean of ``bias`` over the places."""
        if tuple(bias.shape) != self.parameter_shape:
            raise ValueError(
                f"the output bias has shape {self.parameter_shape}, not {tuple(bias.shape)}"
            )
        self.output_bias.copy_(2 * bias.mean((1, 2)) - 1)


def _doubled(module: Any, picture: Tensor, output_size: int | None = None) -> Tensor:
    """``Upsample2D.forward`` with the same answer for any number of rows.

    The one of ``diffusers`` has a branch for 64 rows and more, which torch cannot export.
    """
    assert output_size is None
    doubled: Tensor = module.conv(F.interpolate(picture.contiguous(), scale_factor=2.0))
    return doubled


def _between(used: bool, entering: int, leaving: int) -> nn.Module:
    """The convolution on one side of the latent."""
    if used:
        return nn.Conv2d(entering, leaving, 1)
    if entering != leaving:
        raise OptionError(
            f"latent_channels={max(entering, leaving)} needs use_quant_conv and use_post_quant_conv"
        )
    return nn.Identity()


def _library() -> Any:
    diffusers()
    return import_module("diffusers.models.autoencoders.vae")
