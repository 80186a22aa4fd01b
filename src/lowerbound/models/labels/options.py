"""Options that every model with a label among its latents has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lowerbound.config import from_mapping, option
from lowerbound.errors import OptionError, unknown
from lowerbound.networks.activations import ACTIVATIONS
from lowerbound.networks.base import NETWORKS, Decoder, Encoder, Network
from lowerbound.networks.mlp import MLP
from lowerbound.networks.pictures.strided import StridedEncoder

LEAST_SIDE = 8  # smallest side of a picture that strided convolutions take


@dataclass(frozen=True)
class LabelOptions:
    """Options of M1+M2's latent between the style and the data, and of the label's networks.

    ``stacked=True, feature_dim=50`` with a latent of 50 is the M1+M2 of Kingma et al. 2014.
    """

    stacked: bool = option(False, "M1+M2: a latent between the label and the data")
    feature_dim: int | None = option(
        None, "numbers of that latent; twice those of the style unless given"
    )
    hidden: tuple[int, ...] | None = option(
        None, "hidden layers between the latents; sized from them unless given"
    )
    activation: str = option("silu", "nonlinearity: " + ", ".join(ACTIVATIONS))
    width: int = option(24, "channels of the first strided convolution")

    def __post_init__(self) -> None:
        ACTIVATIONS[self.activation]
        if self.feature_dim is not None and self.feature_dim < 1:
            raise OptionError(f"feature_dim is at least 1, not {self.feature_dim}")
        if self.width < 1:
            raise OptionError(f"width is a positive number of channels, not {self.width}")

    def labeling(
        self,
        network: Network,
        shape: tuple[int, ...],
        numbers: int,
        name: str | None,
        options: Mapping[str, Any],
    ) -> Encoder:
        """A network from rows of that shape to the numbers of q(y | x), by its name; None: the
        model's ``network``, or strided convolutions for pictures."""
        if name is None and not options:
            if len(shape) == 3 and min(shape[1:]) >= LEAST_SIDE:
                return StridedEncoder(shape, numbers, self.width, self.activation)
            return network.encoder(shape, numbers)
        kind = type(network) if name is None else NETWORKS[name]
        chosen: Network = from_mapping(kind, options)
        return chosen.encoder(shape, numbers)

    def below(self, latent_dim: int) -> int:
        """Numbers of z_1; 0: there is no z_1."""
        return (self.feature_dim or 2 * latent_dim) if self.stacked else 0

    def upward(self, feature_dim: int, latent_dim: int, label_dim: int) -> Encoder:
        """A network from z_1 and the label to two heads of the style."""
        return MLP(self.hidden, self.activation).encoder((feature_dim,), 2 * latent_dim, label_dim)

    def downward(self, feature_dim: int, latent_dim: int, label_dim: int) -> Decoder:
        """A network from the style and the label to two heads of z_1."""
        return MLP(self.hidden, self.activation).decoder(latent_dim, (2 * feature_dim,), label_dim)


def refuse_tabular(name: str | None, of: str) -> None:
    """Refuse the network 'tabular', which returns a posterior of its own.

    Raises:
        OptionError: it is requested.
    """
    if name == "tabular":
        raise unknown(f"network of a {of}", name, set(NETWORKS) - {"tabular"})
