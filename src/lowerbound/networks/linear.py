"""One affine map for each half: the network of principal component analysis."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lowerbound.networks.base import NETWORKS, Network
from lowerbound.networks.mlp import DenseDecoder, DenseEncoder, dense_layers


@NETWORKS.register("linear")
@dataclass(frozen=True)
class Linear(Network):
    """Encoder W x + b, decoder W z + b.

    With a Gaussian likelihood of one scale, the optimum of the VAE is probabilistic PCA, and that
    of the autoencoder spans the principal subspace (Tipping & Bishop 1999; Lucas et al. 2019).
    """

    def encoder(
        self, event_shape: tuple[int, ...], numbers: int, condition_dim: int = 0
    ) -> DenseEncoder:
        widths = (math.prod(event_shape) + condition_dim, numbers)
        return DenseEncoder(dense_layers(widths), condition_dim)

    def decoder(
        self, latent_dim: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> DenseDecoder:
        widths = (latent_dim + condition_dim, math.prod(parameter_shape))
        return DenseDecoder(dense_layers(widths), parameter_shape, condition_dim)
