"""The weights of a folder of ``diffusers``: names and shapes are checked before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lowerbound import untrusted
from lowerbound.applications.interchange.config_file import WEIGHTS, AutoencoderConfig, VQConfig
from lowerbound.errors import ModelFolderError

CODEBOOK = "quantize.embedding.weight"
HALF = "diffusion_pytorch_model.fp16.safetensors"
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}

Shapes = Mapping[str, tuple[int, ...]]


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
