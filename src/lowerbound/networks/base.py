"""The base classes of networks, the two halves of an autoencoder.

::

    x (rows, *event) ──> Encoder ──> (rows, numbers)             parameters of the posterior
    z (rows, latent_dim) ──> Decoder ──> (rows, *parameter_shape)   parameters of the likelihood

Networks see rows only: callers fold the sample axis into the rows and unfold it afterwards. The
output for a row does not depend on other rows, so there is no batch normalization.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from lowerbound.errors import DataError, OptionError
from lowerbound.networks.initialization import linear
from lowerbound.registry import Registry


class Encoder(nn.Module, ABC):
    """x, (rows, *event), and an optional condition, (rows, condition_dim), to (rows, numbers).

    The last linear layer holds the heads side by side: a diagonal Gaussian posterior takes
    ``numbers = 2 * latent_dim``, the mean and the raw log-variance of each latent coordinate.

    Attributes:
        large_batches: whether it is so small that larger batches hardly take more time.
    """

    large_batches: ClassVar[bool] = False
    condition_dim: int

    @property
    def output_layer(self) -> nn.Linear | nn.Conv2d | None:
        """The layer of the heads; without its weights the output is its bias. None: there is no
        such layer."""
        return None

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The parameters of the posterior, (rows, numbers)."""


class Decoder(nn.Module, ABC):
    """z, (rows, latent_dim), and an optional condition to (rows, *parameter_shape)."""

    condition_dim: int
    parameter_shape: tuple[int, ...]

    @abstractmethod
    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The parameters of the likelihood, (rows, *parameter_shape)."""

    @property
    def output_layer(self) -> nn.Linear | nn.Conv2d | None:
        """The last layer; without its weights the output is ``output_bias``. None: there is no such
        layer."""
        return None

    @property
    @abstractmethod
    def output_bias(self) -> nn.Parameter:
        """The bias of the output, one number per parameter, in the order of ``parameter_shape``."""

    @torch.no_grad()
    def set_output_bias(self, bias: Tensor) -> None:
        """Set the output bias, (*parameter_shape), to the marginals from the likelihood.

        Raises:
            ValueError: the shape is not ``parameter_shape``.
        """
        if tuple(bias.shape) != self.parameter_shape:
            raise ValueError(
                f"the output bias has shape {self.parameter_shape}, not {tuple(bias.shape)}"
            )
        self.output_bias.copy_(bias.reshape(self.output_bias.shape))


class Network(ABC):
    """Options of one family of networks; builds the two halves for any event shape.

    A subclass is a frozen dataclass. Default sizes follow from the data's shape.

    Attributes:
        reads_mask: whether the encoder takes values and their mask.
        full_posterior: whether the encoder supports only a Gaussian with full covariance.
        only_maps: whether the latent can only be a map.
        default_posterior: the posterior unless one is given.
    """

    reads_mask: ClassVar[bool] = False
    full_posterior: ClassVar[bool] = False
    only_maps: ClassVar[bool] = False
    default_posterior: ClassVar[str] = "gaussian"

    @abstractmethod
    def encoder(
        self, event_shape: tuple[int, ...], numbers: int, condition_dim: int = 0
    ) -> Encoder:
        """An encoder from rows of ``event_shape`` to ``numbers`` parameters of the posterior."""

    @abstractmethod
    def decoder(
        self, latent_dim: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> Decoder:
        """A decoder from ``latent_dim`` coordinates to parameters of shape ``parameter_shape``."""

    @property
    def map_stride(self) -> int | None:
        """The stride of the latent map if the network's options decide it; None: they do not."""
        return None

    def map_size(self, event_shape: tuple[int, ...], stride: int) -> tuple[int, int]:
        """Height and width of a latent map ``stride`` times smaller than the picture.

        Raises:
            OptionError: this network has no latent maps, or not of that stride.
        """
        raise self._no_maps()

    def map_encoder(
        self, event_shape: tuple[int, ...], stride: int, numbers: int, condition_dim: int = 0
    ) -> Encoder:
        """The encoder to a map, (rows, places * numbers), place after place."""
        raise self._no_maps()

    def map_decoder(
        self, stride: int, numbers: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> Decoder:
        """The decoder from such a map, with ``numbers`` at each place."""
        raise self._no_maps()

    def _no_maps(self) -> OptionError:
        name = next((name for name in NETWORKS if NETWORKS[name] is type(self)), "")
        able = [n for n in NETWORKS if NETWORKS[n].map_size is not Network.map_size]
        return OptionError(
            f"the network {name!r} has no latent maps: take one of {', '.join(able)}, or leave "
            "model.stride out"
        )


NETWORKS: Registry[type[Network]] = Registry("network")


class Conditioned(nn.Module):
    """A network that adds a linear map of its condition to its first features.

    Weight files call the map ``told``.
    """

    condition_dim: int
    told: nn.Module | None

    def start_condition(self, condition_dim: int, width: int, *, bias: bool = False) -> None:
        """Make the map from a condition to ``width`` channels; no map if there is no condition."""
        self.condition_dim = condition_dim
        self.told = linear(condition_dim, width, bias=bias) if condition_dim else None

    def conditioned(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """Features (rows, channels, height, width) or (rows, places, channels) plus that map."""
        if self.told is None or condition is None:
            return features
        shift: Tensor = self.told(condition.to(features.dtype))
        return features + (shift[:, :, None, None] if features.dim() == 4 else shift.unsqueeze(1))


def check_condition(condition: Tensor | None, condition_dim: int) -> None:
    """Raise DataError if a condition is missing, or given to a network built without one."""
    given = 0 if condition is None else condition.shape[-1]
    if given != condition_dim:
        raise DataError(
            f"this network was built for a condition of {condition_dim} numbers per row, "
            f"and was given {given}"
        )


def beside(features: Tensor, condition: Tensor | None, condition_dim: int) -> Tensor:
    """``features``, (rows, width), with the condition beside them if there is one."""
    check_condition(condition, condition_dim)
    if condition is None:
        return features
    return torch.cat((features, condition.to(features.dtype)), 1)
