"""The modules of ``diffusers`` inside a model."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from lowerbound.errors import UnsupportedError
from lowerbound.models import Model
from lowerbound.networks.pictures.autoencoder_kl import DiffusersDecoder, DiffusersEncoder
from lowerbound.posteriors import Codebook

Part = TypeVar("Part", bound=nn.Module)


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
