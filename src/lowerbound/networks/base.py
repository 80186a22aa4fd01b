"""The two halves of an autoencoder: tensors in, tensors out, no probability.

::

    x (rows, *event) ──> Encoder ──> (rows, numbers)             parameters of the posterior
    z (rows, latent_dim) ──> Decoder ──> (rows, *parameter_shape)   parameters of the likelihood

Networks see rows only: the sample axis is folded into the rows before them and unfolded after.
No row's answer depends on its neighbors (so there is no batch normalization anywhere).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from lowerbound.errors import DataError
from lowerbound.networks.initialization import linear
from lowerbound.registry import Registry


class Encoder(nn.Module, ABC):
    """x, (rows, *event), and an optional condition, (rows, condition_dim), to (rows, numbers).

    The last linear layer holds the heads side by side: a diagonal Gaussian posterior takes
    ``numbers = 2 * latent_dim``, the mean and the raw log-variance of each latent coordinate.

    Attributes:
        large_batches: whether it is so small that more rows hardly add to the time of an update.
    """

    large_batches: ClassVar[bool] = False
    condition_dim: int

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
    @abstractmethod
    def output_bias(self) -> nn.Parameter:
        """What is added last, one number per parameter, in the order of ``parameter_shape``."""

    @torch.no_grad()
    def set_output_bias(self, bias: Tensor) -> None:
        """Start from ``bias``, (*parameter_shape): the marginals that the likelihood supplies.

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

    A subclass is a frozen dataclass. Sizes that are not given are taken from the data's shape.

    Attributes:
        reads_mask: whether the encoder takes values and, beside them, which were observed.
        full_posterior: whether the encoder answers with a Gaussian of full covariance and nothing
            else.
    """

    reads_mask: ClassVar[bool] = False
    full_posterior: ClassVar[bool] = False

    @abstractmethod
    def encoder(
        self, event_shape: tuple[int, ...], numbers: int, condition_dim: int = 0
    ) -> Encoder:
        """The encoder of rows of ``event_shape``, with ``numbers`` owed to the posterior."""

    @abstractmethod
    def decoder(
        self, latent_dim: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> Decoder:
        """The decoder of ``latent_dim`` coordinates to rows of ``parameter_shape``."""


NETWORKS: Registry[type[Network]] = Registry("network")


class Conditioned(nn.Module):
    """A network that adds a linear map of its condition to its first features.

    Weight files call the map ``told``.
    """

    told: nn.Module | None

    def start_condition(self, condition_dim: int, width: int, *, bias: bool = False) -> None:
        """Make the map from a condition to ``width`` channels; none without a condition."""
        self.told = linear(condition_dim, width, bias=bias) if condition_dim else None

    def conditioned(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """Features (rows, channels, height, width) or (rows, places, channels) plus that map."""
        if self.told is None or condition is None:
            return features
        shift: Tensor = self.told(condition.to(features.dtype))
        return features + (shift[:, :, None, None] if features.dim() == 4 else shift.unsqueeze(1))


def check_condition(condition: Tensor | None, condition_dim: int) -> None:
    """Raise DataError unless a condition is given exactly where the network was built for one."""
    given = 0 if condition is None else condition.shape[-1]
    if given != condition_dim:
        raise DataError(
            f"this network was built for a condition of {condition_dim} numbers per row, "
            f"and was given {given}"
        )


def beside(features: Tensor, condition: Tensor | None, condition_dim: int) -> Tensor:
    """``features``, (rows, width), with the condition beside them where there is one."""
    check_condition(condition, condition_dim)
    if condition is None:
        return features
    return torch.cat((features, condition.to(features.dtype)), 1)
