"""Networks from tensors to tensors: the two halves of an autoencoder for any event shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowerbound.registry import public_names

if TYPE_CHECKING:
    from lowerbound.networks.base import (
        NETWORKS as NETWORKS,
        Decoder as Decoder,
        Encoder as Encoder,
        Network as Network,
    )
    from lowerbound.networks.initialization import ACTIVATIONS as ACTIVATIONS
    from lowerbound.networks.inputs import Columns as Columns, Input as Input, Masked as Masked
    from lowerbound.networks.mlp import MLP as MLP, Linear as Linear
    from lowerbound.networks.pictures.autoencoder_kl import AutoencoderKL as AutoencoderKL
    from lowerbound.networks.pictures.convolutional import Convolutional as Convolutional
    from lowerbound.networks.signals import Frames as Frames
    from lowerbound.networks.tabular import (
        Tabular as Tabular,
        TabularDecoder as TabularDecoder,
        TabularEncoder as TabularEncoder,
    )
    from lowerbound.networks.tokens import (
        Positions as Positions,
        Recurrent as Recurrent,
        SequenceTransformer as SequenceTransformer,
    )
    from lowerbound.networks.transformer import Transformer as Transformer

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        ".base": "NETWORKS Decoder Encoder Network",
        ".initialization": "ACTIVATIONS",
        ".inputs": "Columns Input Masked",
        ".mlp": "MLP Linear",
        ".pictures.autoencoder_kl": "AutoencoderKL",
        ".pictures.convolutional": "Convolutional",
        ".signals": "Frames",
        ".tabular": "Tabular TabularDecoder TabularEncoder",
        ".tokens": "Positions Recurrent SequenceTransformer",
        ".transformer": "Transformer",
    },
)
