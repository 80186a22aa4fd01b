r"""Start a VAE at a linear model: a tabular one at the factor analysis of its own features.

The encoder's linear path takes all fitted factors. The decoder's linear path gives each of its
outputs the slope in z of the column's linear feature:

.. math:: u_j = s_j (w_j^T z + \mu_j) + m_j

with m and s the mean and scale that standardized the feature. For a continuous column, u_j is its
mean, and its sigma is the noise s_j sqrt(psi_j), so training begins at the exact solution. For a
probability, a count or a level, u_j is the first-order change around its marginal.

A VAE of the network "linear" starts at probabilistic principal component analysis:

.. math::
    \mu(z) = W z + \bar x, \quad
    q(z \mid x) = N\big(\Lambda^{-1} W^T (x - \bar x),\; \sigma^2 \Lambda^{-1}\big), \quad
    \Lambda = W^T W + \sigma^2 I

The columns of W are orthogonal, so the exact posterior is diagonal and does not depend on x beyond
its mean. With a Gaussian likelihood of one scale this is the optimum of the bound, and the bound is
tight. Source: Tipping & Bishop 1999; Lucas et al. 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lowerbound.classical.factor_analysis import (
    FactorAnalysis,
    chosen_ridge,
    fit_factor_analysis,
    principal_components,
)
from lowerbound.classical.self_masked_factors import fit_self_masked_factors
from lowerbound.classical.self_masking import SelfMasking
from lowerbound.data.columns.kind import LEAST_NOISE
from lowerbound.errors import DataError
from lowerbound.likelihoods.base import LocationScale
from lowerbound.likelihoods.location_scale import Gaussian
from lowerbound.likelihoods.mixed import Mixed
from lowerbound.networks.inputs import Columns
from lowerbound.networks.mlp import DenseDecoder, DenseEncoder
from lowerbound.networks.tabular import TabularDecoder, TabularEncoder
from lowerbound.parts import DIRECTIONS
from lowerbound.posteriors.gaussian import GaussianPosterior, raw_log_variance

if TYPE_CHECKING:
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


@torch.no_grad()
def start_from_linear(model: VariationalAutoencoder, batch: Batch) -> None:
    """Fit factor analysis to the features of ``batch`` and start there, if the network can.

    Args:
        model: unchanged unless its network is "tabular".
        batch: training rows, with their hidden cells.
    """
    encoder, decoder = model.encoder, model.decoder
    if not isinstance(encoder, TabularEncoder) or not isinstance(decoder, TabularDecoder):
        return
    features = model.seen(batch).flatten(1).double()
    values, mask = features[:, : 2 * encoder.linear].chunk(2, 1)
    dim, floor = encoder.latent_dim, _least_noise(model)
    if encoder.tells_missing:
        missing = features[:, 2 * encoder.linear : 3 * encoder.linear] > 0
        fitted = _start_self_masked(model, encoder, (values, mask > 0, missing), floor)
    else:
        ridge = chosen_ridge(values, mask > 0, dim, floor=floor)
        fitted = fit_factor_analysis(values, mask > 0, dim, ridge=ridge, floor=floor)
        encoder.start_from(fitted)
    starts = list(_starts(model, fitted))
    if starts:
        decoder.start_from(
            torch.tensor([start.row for start in starts]),
            torch.stack([start.weight for start in starts]),
            _offsets(decoder, starts),
        )


def starts_at_factor_analysis(model: VariationalAutoencoder) -> bool:
    """Whether ``start_from_linear`` changes the model."""
    return isinstance(model.encoder, TabularEncoder) and isinstance(model.decoder, TabularDecoder)


def _start_self_masked(
    model: VariationalAutoencoder,
    encoder: TabularEncoder,
    features: tuple[Tensor, Tensor, Tensor],
    floor: Tensor,
) -> FactorAnalysis:
    """Start the encoder and the missingness curves if cells are missing because of their values.

    Args:
        model: the model; its likelihood has the curves.
        encoder: the model's encoder.
        features: values, masks of observed and of missing cells, (rows, features) each.
        floor: the smallest noise variances.

    Raises:
        DataError: no missing cell has a curve to explain it.
    """
    likelihood, inputs = model.likelihood, model.inputs
    if not bool(features[2].any()):
        raise DataError(
            "no cell of a column of real numbers is missing, so there is no missingness to "
            "explain; leave missingness at 'at_random'"
        )
    assert isinstance(likelihood, (Gaussian, Mixed))
    direction = DIRECTIONS[likelihood.missingness]
    fitted, curves = fit_self_masked_factors(*features, encoder.latent_dim, direction, floor=floor)
    encoder.start_from(fitted, curves)
    if isinstance(inputs, Columns):
        curves = _in_model_units(curves, inputs, likelihood.event_shape[0])
    likelihood.start_curves(curves)
    return fitted


def _in_model_units(curves: SelfMasking, inputs: Columns, columns: int) -> SelfMasking:
    """Convert curves of standardized features to curves of their columns."""
    shift, scale = inputs.shift.double(), inputs.scale.double()
    place = inputs.feature_column[inputs.is_value]
    slope, threshold = torch.zeros(2, columns, dtype=torch.float64).unbind()
    applies = torch.zeros(columns, dtype=torch.bool)
    slope[place] = (curves.slope / scale)[inputs.is_value]
    threshold[place] = (curves.threshold * scale + shift)[inputs.is_value]
    applies[place] = curves.applies[inputs.is_value]
    return SelfMasking(slope, threshold, applies)


def _least_noise(model: VariationalAutoencoder) -> Tensor:
    """The smallest noise variance of each linear feature."""
    features = model.inputs.features if isinstance(model.inputs, Columns) else ()
    each = [feature.least_noise for _, feature in features]
    return torch.tensor(each or [LEAST_NOISE], dtype=torch.float64)


@dataclass(frozen=True)
class _Start:
    """The start of one parameter, ``weight`` z + ``offset``; None keeps its marginal value."""

    row: int
    weight: Tensor
    offset: Tensor | None = None


def _starts(model: VariationalAutoencoder, fitted: FactorAnalysis) -> Iterator[_Start]:
    likelihood, inputs = model.likelihood, model.inputs
    if isinstance(likelihood, Mixed) and isinstance(inputs, Columns):
        yield from _by_columns(likelihood, inputs, fitted)
    elif isinstance(likelihood, LocationScale) and len(likelihood.event_shape) == 1:
        likelihood.scale.set(fitted.noise.sqrt())
        for row in range(len(fitted.offset)):
            yield _Start(row, fitted.weight[row], fitted.offset[row])


def _by_columns(likelihood: Mixed, inputs: Columns, fitted: FactorAnalysis) -> Iterator[_Start]:
    shift, scale = inputs.shift.double(), inputs.scale.double()
    sigma = torch.ones(likelihood.event_shape, dtype=torch.float64)
    for place, (column, feature) in enumerate(inputs.features):
        if feature.measured:
            sigma[column] = scale[place] * fitted.noise[place].sqrt()
    likelihood.set_noise(sigma)
    owners = likelihood.owners
    first = {int(c): int((owners == c).nonzero()[0]) for c in owners.unique()}
    counts = torch.bincount(owners)
    for place, (column, feature) in enumerate(inputs.features):
        if feature.owed not in (None, int(counts[column])):
            continue
        s, m = scale[place], shift[place]
        slope = feature.slope(fitted.weight[place], m, s)
        offset = s * fitted.offset[place] + m if feature.measured else None
        yield _Start(first[column] + feature.number, slope, offset)


def _offsets(decoder: TabularDecoder, starts: list[_Start]) -> Tensor:
    bias = decoder.output_bias.detach().double()
    return torch.stack([bias[s.row] if s.offset is None else s.offset for s in starts])
