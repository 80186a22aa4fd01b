r"""Start a VAE of the network "linear" at probabilistic principal component analysis.

.. math::
    \mu(z) = W z + \bar x, \quad
    q(z \mid x) = N\big(\Lambda^{-1} W^T (x - \bar x),\; \sigma^2 \Lambda^{-1}\big), \quad
    \Lambda = W^T W + \sigma^2 I

The columns of W are orthogonal, so the exact posterior is diagonal and does not depend on x beyond
its mean. With a Gaussian likelihood of one scale this is the optimum of the bound, and the bound is
tight. Source: Tipping & Bishop 1999; Lucas et al. 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lowerbound.classical.principal_components import principal_components
from lowerbound.likelihoods.gaussian import Gaussian
from lowerbound.networks.mlp import DenseDecoder, DenseEncoder
from lowerbound.posteriors.gaussian import GaussianPosterior, raw_log_variance

if TYPE_CHECKING:  # names for annotations: the model starts by this module
    from lowerbound.models.vae import VariationalAutoencoder
    from lowerbound.trace import Batch


@torch.no_grad()
def start_from_principal_components(model: VariationalAutoencoder, batch: Batch) -> None:
    """Set encoder, decoder and noise to the closed-form solution of the rows.

    Args:
        model: one that ``starts_at_principal_components``.
        batch: training rows.
    """
    rows, likelihood = batch.filled.flatten(1), model.likelihood
    encoder, decoder = _affine(model.encoder), _affine(model.decoder)
    assert encoder is not None
    assert decoder is not None
    assert isinstance(likelihood, Gaussian)
    found = principal_components(rows, model.latent_dim)
    likelihood.scale.set(found.rest.sqrt().expand(batch.filled.shape[1:]))
    noise = likelihood.scale().square().mean()
    weight = rows.new_zeros(rows.shape[1], model.latent_dim)
    weight[:, : len(found.variances)] = found.weight(noise)
    _set(decoder, weight, found.mean)
    precision = weight.square().sum(0) + noise
    means = weight.T / precision.unsqueeze(1)
    log_variance = raw_log_variance(torch.log(noise / precision))
    _set(
        encoder,
        torch.cat((means, torch.zeros_like(means))),
        torch.cat((-means @ found.mean, log_variance)),
    )


def starts_at_principal_components(model: VariationalAutoencoder) -> bool:
    """Whether both halves are one affine map of complete rows without a condition, the posterior is
    "gaussian" and the likelihood "gaussian" with one scale."""
    encoder, decoder = _affine(model.encoder), _affine(model.decoder)
    return (
        encoder is not None
        and decoder is not None
        and model.inputs is None
        and isinstance(model.likelihood, Gaussian)
        and model.likelihood.scale.mode != "feature"
        and isinstance(model.posterior, GaussianPosterior)
        and model.latent_dim < decoder.out_features
    )


def _affine(half: nn.Module) -> nn.Linear | None:
    """The map of a half that is one affine map without a condition."""
    if not isinstance(half, DenseEncoder | DenseDecoder) or half.condition_dim:
        return None
    only = half.layers[0]
    return only if len(half.layers) == 1 and isinstance(only, nn.Linear) else None


def _set(layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
