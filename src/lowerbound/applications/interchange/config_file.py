"""The config.json of ``diffusers``' AutoencoderKL and VQModel, and the network it describes.

::

    FOLDER/
      config.json                           sizes, with the names that ``diffusers`` gives them
      diffusion_pytorch_model.safetensors   weights
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from lowerbound import untrusted
from lowerbound.config import from_mapping, to_mapping
from lowerbound.errors import ModelFolderError, OptionError
from lowerbound.models.options import ModelOptions
from lowerbound.networks import AutoencoderKL
from lowerbound.networks.denoisers.library import diffusers

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
CLASS = "_class_name"
MOST_BYTES = 2**20
NETWORK = "autoencoder_kl"


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig(ABC):
    """What the config of both architectures says; defaults are those of ``diffusers``.

    Attributes:
        architecture: the name of the class in ``diffusers``.
        model: the model in which it is used here.
    """

    architecture: ClassVar[str]
    model: ClassVar[str]

    in_channels: int = 3
    out_channels: int = 3
    down_block_types: tuple[str, ...] = ("DownEncoderBlock2D",)
    up_block_types: tuple[str, ...] = ("UpDecoderBlock2D",)
    block_out_channels: tuple[int, ...] = (64,)
    layers_per_block: int = 1
    act_fn: str = "silu"
    latent_channels: int = 4
    norm_num_groups: int = 32
    sample_size: int | tuple[int, int] = 32
    scaling_factor: float = 0.18215
    force_upcast: bool = True
    mid_block_add_attention: bool = True

    @property
    @abstractmethod
    def heads(self) -> int:
        """Numbers of the encoder for each number of the latent."""

    @property
    def dim(self) -> int:
        """Numbers of the latent at a place."""
        return self.latent_channels

    @abstractmethod
    def options(self) -> ModelOptions:
        """The options of the model of these sizes."""

    def network(self) -> AutoencoderKL:
        """The network of these sizes.

        Raises:
            OptionError: sizes that do not fit each other.
        """
        return from_mapping(AutoencoderKL, self._sizes())

    def _sizes(self) -> dict[str, Any]:
        known = {field.name for field in fields(AutoencoderKL)} - {"latent_channels"}
        return {name: value for name, value in to_mapping(self).items() if name in known}


@dataclass(frozen=True, kw_only=True)
class KLConfig(AutoencoderConfig):
    """The config of an AutoencoderKL."""

    architecture: ClassVar[str] = "AutoencoderKL"
    model: ClassVar[str] = "vae"

    shift_factor: float | None = None
    latents_mean: tuple[float, ...] | None = None
    latents_std: tuple[float, ...] | None = None
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True

    @property
    def heads(self) -> int:
        return 2

    def options(self) -> ModelOptions:
        stride = self.network().map_stride
        return ModelOptions(
            model=self.model,
            latent_dim=self.dim,
            network=NETWORK,
            network_options=self._sizes(),
            model_options={"stride": stride},
        )


@dataclass(frozen=True, kw_only=True)
class VQConfig(AutoencoderConfig):
    """The config of a VQModel."""

    architecture: ClassVar[str] = "VQModel"
    model: ClassVar[str] = "vq_vae"

    latent_channels: int = 3
    num_vq_embeddings: int = 256
    vq_embed_dim: int | None = None
    norm_type: str = "group"
    lookup_from_codebook: bool = False
    force_upcast: bool = False

    @property
    def heads(self) -> int:
        return 1

    @property
    def dim(self) -> int:
        return self.latent_channels if self.vq_embed_dim is None else self.vq_embed_dim

    def options(self) -> ModelOptions:
        return ModelOptions(
            model=self.model,
            latent_dim=self.dim,
            network=NETWORK,
            network_options=self._sizes(),
            model_options={"stride": self.network().map_stride, "codes": self.num_vq_embeddings},
        )

    def _sizes(self) -> dict[str, Any]:
        return {**super()._sizes(), "latent_channels": self.latent_channels}


ARCHITECTURES: dict[str, type[AutoencoderConfig]] = {
    kind.architecture: kind for kind in (KLConfig, VQConfig)
}


def read_config(folder: Path) -> AutoencoderConfig:
    """The config in a folder.

    Raises:
        ModelFolderError: there is none, it is damaged, or it is of another architecture.
    """
    path = folder / CONFIG
    if not folder.is_dir():
        raise ModelFolderError(f"there is no folder {folder}; check the name")
    if not path.is_file():
        raise ModelFolderError(
            f"{folder} has no {CONFIG}: give the folder of a diffusers AutoencoderKL or VQModel, "
            "such as the folder vae of Stable Diffusion"
        )
    values = untrusted.read_mapping(path, ModelFolderError, MOST_BYTES)
    name = values.get(CLASS)
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise ModelFolderError(
            f"{path} describes {'no model' if name is None else f'a {name}'}, and only "
            f"{' and '.join(ARCHITECTURES)} can be imported"
        )
    try:
        config = from_mapping(
            ARCHITECTURES[name], {key: values[key] for key in values if not key.startswith("_")}
        )
        config.network()
    except OptionError as error:
        raise ModelFolderError(f"{path} describes a {name} that cannot be read: {error}") from error
    _refuse_variants(config, path)
    return config


def written_config(config: AutoencoderConfig) -> dict[str, Any]:
    """The values of config.json."""
    return {
        CLASS: config.architecture,
        "_diffusers_version": diffusers().__version__,
        **to_mapping(config),
    }


def _refuse_variants(config: AutoencoderConfig, path: Path) -> None:
    """Raise an error for values that change the computation and have no form here."""
    if config.in_channels != config.out_channels:
        raise ModelFolderError(
            f"{path} maps {config.in_channels} channels to {config.out_channels}, and a model here "
            "has as many on both sides"
        )
    if isinstance(config, VQConfig) and config.norm_type != "group":
        raise ModelFolderError(
            f"{path} has norm_type {config.norm_type!r}, and only 'group' can be imported"
        )
