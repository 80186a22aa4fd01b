"""Networks from tensors to tensors: the two halves of an autoencoder for any event shape."""

from lowerbound.networks.base import NETWORKS, Decoder, Encoder, Network
from lowerbound.networks.initialization import ACTIVATIONS
from lowerbound.networks.inputs import Columns, Input, Masked
from lowerbound.networks.mlp import MLP, Linear
from lowerbound.networks.pictures.autoencoder_kl import AutoencoderKL
from lowerbound.networks.pictures.convolutional import Convolutional
from lowerbound.networks.signals import Frames
from lowerbound.networks.tabular import Tabular, TabularDecoder, TabularEncoder
from lowerbound.networks.tokens import Positions, Recurrent, SequenceTransformer
from lowerbound.networks.transformer import Transformer

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "NETWORKS",
    "AutoencoderKL",
    "Columns",
    "Convolutional",
    "Decoder",
    "Encoder",
    "Frames",
    "Input",
    "Linear",
    "Masked",
    "Network",
    "Positions",
    "Recurrent",
    "SequenceTransformer",
    "Tabular",
    "TabularDecoder",
    "TabularEncoder",
    "Transformer",
]
