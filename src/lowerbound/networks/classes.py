"""What a model with a class among its latents is made of, besides encoder and decoder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lowerbound.config import from_mapping, option
from lowerbound.errors import OptionError, unknown
from lowerbound.networks.activations import ACTIVATIONS
from lowerbound.networks.base import NETWORKS, Decoder, Encoder, Network
from lowerbound.networks.mlp import MLP
from lowerbound.networks.strided import StridedEncoder

LEAST_SIDE = 8  # of pictures that are seen as such
UNIFORM = "uniform"
ROUNDING = 1e-3  # that probabilities said by hand may miss one by


@dataclass(frozen=True)
class Classes:
    """The classifier, and the latent between the style and the data, where there is one.

    ``Classes(stacked=True, feature_dim=50)`` with a latent of 50 is the M1+M2 of Kingma et al.
    2014.
    """

    stacked: bool = option(False, "M1+M2: a latent between the class and the data")
    feature_dim: int | None = option(
        None, "numbers of that latent; twice those of the style unless given"
    )
    hidden: tuple[int, ...] | None = option(
        None, "hidden layers between the latents; sized from them unless given"
    )
    activation: str = option("silu", "nonlinearity: " + ", ".join(ACTIVATIONS))
    classifier: str | None = option(
        None, "network of q(y | x): strided convolutions of pictures, else the encoder's"
    )
    classifier_options: Mapping[str, Any] = field(default_factory=dict)
    width: int = option(24, "channels of the first strided convolution")
    class_prior: str | tuple[float, ...] | Mapping[str, float] | None = option(
        None,
        "p(y), where labels were not picked at random: uniform, or the probability of each class, "
        "in their order or by name; the shares among the labels unless given",
    )

    def __post_init__(self) -> None:
        ACTIVATIONS[self.activation]
        if self.feature_dim is not None and self.feature_dim < 1:
            raise OptionError(f"feature_dim is at least 1, not {self.feature_dim}")
        if self.width < 1:
            raise OptionError(f"width is a positive number of channels, not {self.width}")
        if self.classifier == "tabular":
            raise unknown("network of a classifier", "tabular", set(NETWORKS) - {"tabular"})

    def classifying(self, network: Network, shape: tuple[int, ...], classes: int) -> Encoder:
        """Rows of that shape to logits, where ``network`` is the model's."""
        if self.classifier is None and not self.classifier_options:
            if len(shape) == 3 and min(shape[1:]) >= LEAST_SIDE:
                return StridedEncoder(shape, classes, self.width, self.activation)
            return network.encoder(shape, classes)
        kind = type(network) if self.classifier is None else NETWORKS[self.classifier]
        chosen: Network = from_mapping(kind, self.classifier_options)
        return chosen.encoder(shape, classes)

    def prior(self, names: Sequence[str]) -> tuple[float, ...] | None:
        """p(y) of the classes of these names, where it is said by hand.

        Raises:
            OptionError: it is no distribution over these classes.
        """
        said = self.class_prior
        if said is None:
            return None
        if isinstance(said, str):
            if said != UNIFORM:
                raise unknown("class_prior", said, (UNIFORM,))
            return (1 / len(names),) * len(names)
        if isinstance(said, Mapping):
            said = _by_name(said, names)
        if len(said) != len(names):
            raise OptionError(
                f"class_prior has {len(said)} probabilities, and there are {len(names)} classes: "
                f"{', '.join(names)}"
            )
        total = math.fsum(said)
        if not min(said) > 0 or not abs(total - 1) <= ROUNDING:
            raise OptionError(
                "class_prior is one positive probability for each class, and they sum to one, not "
                f"{', '.join(f'{value:g}' for value in said)}"
            )
        return tuple(value / total for value in said)

    def upward(self, feature_dim: int, latent_dim: int, classes: int) -> Encoder:
        """z_1 and the class to two heads of the style."""
        return MLP(self.hidden, self.activation).encoder((feature_dim,), 2 * latent_dim, classes)

    def downward(self, feature_dim: int, latent_dim: int, classes: int) -> Decoder:
        """The style and the class to two heads of z_1."""
        return MLP(self.hidden, self.activation).decoder(latent_dim, (2 * feature_dim,), classes)


def _by_name(said: Mapping[str, float], names: Sequence[str]) -> tuple[float, ...]:
    for name in said:
        if name not in names:
            raise unknown("class in class_prior", name, names)
    left_out = [name for name in names if name not in said]
    if left_out:
        raise OptionError(f"class_prior leaves out the class {left_out[0]}: say all of them")
    return tuple(float(said[name]) for name in names)
