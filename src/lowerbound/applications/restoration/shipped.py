"""The denoiser of photographs that comes with the package.

``shipped/denoiser/README.md`` describes its training data and its quality on other photographs;
``benchmarks/ship_denoiser.py`` makes it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lowerbound import durable, untrusted
from lowerbound.errors import ModelFolderError, OptionError
from lowerbound.models.picture_denoiser import PictureDenoiser

DENOISER = Path(__file__).parents[2] / "shipped" / "denoiser"
HASH_DIGITS = 16  # of the SHA-256 in the file's name


def write_shipped(model: PictureDenoiser) -> Path:
    """Write a denoiser into the package, in 16-bit floating-point numbers, in place of the former.

    The file is named by its hash.
    """
    for former in DENOISER.glob("*.safetensors"):
        former.unlink()
    path = DENOISER / "new.safetensors"
    durable.write_tensors(path, {name: own.half() for name, own in model.state_dict().items()})
    return path.rename(DENOISER / f"{durable.sha256(path)[:HASH_DIGITS]}.safetensors")


@cache
def shipped_denoiser() -> PictureDenoiser:
    """The denoiser of photographs.

    Raises:
        OptionError: this installation does not include it.
        ModelFolderError: its file is damaged.
    """
    path = next(iter(sorted(DENOISER.glob("*.safetensors"))), None)
    if path is None:
        raise OptionError("this copy of lowerbound has no denoiser of its own: name a model folder")
    if durable.sha256(path)[:HASH_DIGITS] != path.stem:
        raise ModelFolderError(f"{path} is damaged: install lowerbound again")
    content = untrusted.content(path, ModelFolderError)
    stored = untrusted.weights(content, str(path), ModelFolderError)
    model = PictureDenoiser()
    model.load_state_dict({name: tensor.float() for name, tensor in stored.items()})
    return model.eval()
