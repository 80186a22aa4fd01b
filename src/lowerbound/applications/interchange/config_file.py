"""The config.json and weights of ``diffusers``' AutoencoderKL and VQModel, and their network.

::

    FOLDER/
      config.json                           sizes, with the names that ``diffusers`` gives them
      diffusion_pytorch_model.safetensors   weights

Names and shapes of the weights are checked before they are read. The modules of ``diffusers`` stand
inside a model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from lowerbound import untrusted
from lowerbound.config import from_mapping, to_mapping
from lowerbound.errors import ModelFolderError, OptionError, UnsupportedError
from lowerbound.models.base import Model
from lowerbound.models.options import ModelOptions
from lowerbound.networks.denoisers import diffusers
from lowerbound.networks.pictures.autoencoder_kl import (
    AutoencoderKL,
    DiffusersDecoder,
    DiffusersEncoder,
)
from lowerbound.posteriors.vector_quantized import Codebook

Part = TypeVar("Part", bound=nn.Module)
CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
CLASS = "_class_name"  # the key of the class in config.json
MOST_BYTES = 2**20  # of config.json
NETWORK = "autoencoder_kl"
CODEBOOK = "quantize.embedding.weight"  # the tensor of a VQModel
HALF = "diffusion_pytorch_model.fp16.safetensors"  # weights of 16 bits
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}

Shapes = Mapping[str, tuple[int, ...]]


def encoder_of(model: Model) -> DiffusersEncoder:
    """The encoder; as below."""
    return _only(model, DiffusersEncoder)


def decoder_of(model: Model) -> DiffusersDecoder:
    """The decoder.

    Raises:
        UnsupportedError: the model has another network.
    """
    return _only(model, DiffusersDecoder)


def codebook_of(model: Model) -> Codebook:
    """The only codebook.

    Raises:
        UnsupportedError: there are several, or none of learned vectors.
    """
    found = [part for part in model.modules() if isinstance(part, Codebook)]
    if len(found) != 1:
        raise UnsupportedError(
            "a VQModel of diffusers has one learned codebook: fit with model.quantizer=vq and "
            "one map"
        )
    return found[0]


def _only(model: Model, kind: type[Part]) -> Part:
    found = next((part for part in model.modules() if isinstance(part, kind)), None)
    if found is None:
        raise UnsupportedError(
            "only models with the network 'autoencoder_kl' have the form of diffusers: fit one "
            "with --network autoencoder_kl"
        )
    return found


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
    # raise an error for values that change the computation and have no form here
    if config.in_channels != config.out_channels:
        raise ModelFolderError(
            f"{path} maps {config.in_channels} channels to {config.out_channels}, and a model here "
            "has as many on both sides"
        )
    if isinstance(config, VQConfig) and config.norm_type != "group":
        raise ModelFolderError(
            f"{path} has norm_type {config.norm_type!r}, and only 'group' can be imported"
        )
    return config


def written_config(config: AutoencoderConfig) -> dict[str, Any]:
    """The values of config.json."""
    return {
        CLASS: config.architecture,
        "_diffusers_version": diffusers().__version__,
        **to_mapping(config),
    }


def read_weights(folder: Path, config: AutoencoderConfig) -> dict[str, Tensor]:
    """The weights of a folder by name, float32; attention layers by their present names.

    Raises:
        ModelFolderError: there is no safetensors file, it is damaged, or a tensor is missing, not
            known, or of another size than the config says.
    """
    path = weights_path(folder)
    content = untrusted.content(path, ModelFolderError)
    found = untrusted.declared(content, str(path), ModelFolderError)
    _check({current_name(name): each.shape for name, each in found.items()}, config, path)
    tensors = untrusted.weights(content, str(path), ModelFolderError)
    return {current_name(name): value.float() for name, value in tensors.items()}


def weights_path(folder: Path) -> Path:
    """The safetensors file of a folder.

    Raises:
        ModelFolderError: there is none; the message says how to make one from a pickle.
    """
    for name in (WEIGHTS, HALF):
        if (folder / name).is_file():
            return folder / name
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise ModelFolderError(
            f"{folder} has its weights as a pickle ({pickles[0]}), which can run any code and is "
            "not read: save the model again in diffusers, by "
            "save_pretrained(FOLDER, safe_serialization=True)"
        )
    raise ModelFolderError(f"{folder} has no {WEIGHTS}; copy the folder again from an intact one")


def expected_shapes(config: AutoencoderConfig) -> Shapes:
    """Names and shapes of the weights that a config describes, without memory for them."""
    network = config.network()
    stride, dim = network.map_stride, config.dim
    event = (config.in_channels, stride, stride)
    with torch.device("meta"):
        halves = (
            network.map_encoder(event, stride, config.heads * dim),
            network.map_decoder(stride, dim, event),
        )
    found = {name: tuple(v.shape) for half in halves for name, v in half.state_dict().items()}
    if isinstance(config, VQConfig):
        found[CODEBOOK] = (config.num_vq_embeddings, dim)
    return found


def current_name(name: str) -> str:
    """The name of a weight today; files of Stable Diffusion 1 have older names in attention."""
    *before, layer, kind = name.split(".")
    if "attentions" in before and layer in OLD_NAMES:
        return ".".join((*before, OLD_NAMES[layer], kind))
    return name


def _check(shapes: Shapes, config: AutoencoderConfig, path: Path) -> None:
    """Raise an error unless names and shapes are those that the config describes."""
    layers = config.layers_per_block * len(config.block_out_channels)
    longest = max((max(shape, default=1) for shape in shapes.values()), default=0)
    if layers > len(shapes) or max(config.block_out_channels) > longest:
        raise _wrong(path, "its config describes a larger model")
    expected = expected_shapes(config)
    for name in sorted({*expected, *shapes}):
        if name not in shapes:
            raise _wrong(path, f"{name} is missing")
        if name not in expected:
            raise _wrong(path, f"{name} is not part of an {config.architecture}")
        if shapes[name] != expected[name]:
            raise _wrong(path, f"{name} has shape {shapes[name]} instead of {expected[name]}")


def _wrong(path: Path, how: str) -> ModelFolderError:
    return ModelFolderError(f"{path} does not fit its config.json: {how}; copy the folder again")
