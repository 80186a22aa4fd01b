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

Start a model of pictures as a linear one: principal components, then the likelihood's own fit.

.. math::
    q(z \mid x) = N\big((W_0^T W_0 + \sigma^2 I)^{-1} W_0^T (x - \bar x),\;
        \operatorname{diag} v\big), \quad \text{parameters} = W z + b

The means of q are those of probabilistic principal component analysis. W starts at W_0 where the
likelihood has a location, else at zero; then Adam raises the bound of this linear model over W, b,
v and the likelihood's own scales. The networks beside the path start at zero. Training goes on with
W and v. (With W fixed, the bound was lower after some hundred updates; with the analysis learned
too, it was much lower for large pictures.)

A component that holds few nats may be left out; its z_j then starts at the prior. Training does not
give up a weak linear code, and free networks find a better one after some thousand updates.
Source of W_0: Tipping & Bishop 1999.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.optim import Adam

from lowerbound.classical.factor_analysis import (
    FactorAnalysis,
    chosen_ridge,
    fit_factor_analysis,
    principal_components,
)
from lowerbound.classical.self_masked_factors import fit_self_masked_factors
from lowerbound.classical.self_masking import SelfMasking
from lowerbound.data.columns.kind import LEAST_NOISE
from lowerbound.data.dataset import spread_rows
from lowerbound.distributions.divergence import normal_kl
from lowerbound.errors import DataError
from lowerbound.likelihoods.base import Likelihood, LocationScale
from lowerbound.likelihoods.location_scale import Gaussian
from lowerbound.likelihoods.mixed import Mixed
from lowerbound.networks.base import Decoder, Encoder
from lowerbound.networks.inputs import Columns
from lowerbound.networks.mlp import DenseDecoder, DenseEncoder
from lowerbound.networks.pictures.linear_path import LinearPath, OpenPath
from lowerbound.networks.tabular import TabularDecoder, TabularEncoder
from lowerbound.parts import DIRECTIONS
from lowerbound.posteriors.gaussian import GaussianPosterior, gaussian_heads, raw_log_variance
from lowerbound.trace import Emission

if TYPE_CHECKING:
    from lowerbound.models.vae import VariationalAutoencoder
    from lowerbound.trace import Batch

ROWS = 5_000
MOST_EXACT = 1e9  # operations of the exact decomposition, about a second
LEAST_REST = 1e-6  # smallest variance that the components leave, model units squared
MOST_UPDATES, MOST_PASSES = 200, 40
LEARNING_RATE = 0.01
BATCH = 256
BATCH_NUMBERS = 2**20  # most numbers of the pictures of an update


class LinearParts(NamedTuple):
    """What a linear start of pictures sets: a path, the networks beside it, and the scales."""

    path: LinearPath
    decoder: Decoder
    likelihood: Likelihood


def path_of(model: VariationalAutoencoder, event_shape: tuple[int, ...]) -> LinearPath | None:
    """An empty path for a VAE of pictures; None: its parts have no linear start."""
    encoder = model.encoder
    fits = (
        isinstance(model.posterior, GaussianPosterior)
        and model.inputs is None
        and isinstance(encoder, Encoder)
        and encoder.output_layer is not None
    )
    return empty_path(model.decoder, model.likelihood, model.latent_dim, event_shape, fits)


def empty_path(
    decoder: nn.Module,
    likelihood: Likelihood,
    latent_dim: int,
    event_shape: tuple[int, ...],
    fits: bool = True,
    learned: bool = True,
) -> LinearPath | None:
    """An empty path of ``latent_dim`` numbers; None: the parts have no linear start.

    Args:
        decoder: beside the path.
        likelihood: of its parameters.
        latent_dim: numbers of a code of the path.
        event_shape: of a picture; other rows have no path.
        fits: whether the model's other parts have a linear start.
        learned: whether training changes the path.
    """
    fits = (
        fits
        and len(event_shape) == 3
        and isinstance(decoder, Decoder)
        and decoder.output_layer is not None
        and len(likelihood.parameter_shape) == 3
        and tuple(likelihood.parameter_shape[1:]) == tuple(event_shape[1:])
    )
    if not fits:
        return None
    return LinearPath(event_shape, latent_dim, likelihood.parameter_shape, learned)


@torch.no_grad()
def start_linear_path(parts: LinearParts, rows: Tensor, least: float = 0.0) -> bool:
    """Open a path and set it, and set the decoder beside it to zero.

    The path stays empty if the linear model's bound of the rows is not above that of the marginals.

    Args:
        parts: unchanged if the path stays empty; the decoder's output bias is at the marginals.
        rows: pictures in model units, (rows, *event), complete.
        least: nats that a component has to hold, or it is left out.

    Returns:
        Whether the path is open.
    """
    path, decoder, likelihood = parts
    rows = rows.to(decoder.output_bias)
    own = [value for value in likelihood.parameters() if value.requires_grad]
    marginal = [value.clone() for value in (decoder.output_bias, *own)]
    few = spread_rows(len(rows), max(1, 4 * BATCH_NUMBERS // rows[0].numel()))
    alone = float(_emission(parts, decoder.output_bias).log_prob(rows[few]).mean())
    maps, means = set_to_components(parts, rows)
    _fit(parts, maps, (rows, means), own)
    weak = _held(maps, means) < least
    if weak.any():
        _leave_out(maps, weak)
        means[:, weak] = 0
    if weak.any() and not weak.all():  # the scales were those of all components
        _fit(parts, maps, (rows, means), own, weak)
    if not _bound(parts, maps, rows[few], means[few]) > alone:  # too few rows for the latents
        path.close()
        for value, before in zip((decoder.output_bias, *own), marginal, strict=True):
            value.copy_(before)
        return False
    assert decoder.output_layer is not None
    nn.init.zeros_(decoder.output_layer.weight)
    return True


def _fit(
    parts: LinearParts,
    maps: OpenPath,
    pictures: tuple[Tensor, Tensor],
    own: list[nn.Parameter],
    weak: Tensor | None = None,
) -> None:
    """Raise the bound of the linear model.

    Args:
        parts: of the model.
        maps: of its path.
        pictures: rows, (rows, *event), and the means of their codes.
        own: learned parameters of the likelihood.
        weak: which components are left out, (d,); None: none.
    """
    rows, means = pictures
    learned = [maps.synthesis.weight, maps.log_variance, parts.decoder.output_bias, *own]
    batch = min(BATCH, len(rows), max(1, BATCH_NUMBERS // rows[0].numel()))
    updates = min(MOST_UPDATES, math.ceil(MOST_PASSES * len(rows) / batch))
    optimizer = Adam(learned, LEARNING_RATE)
    for update in range(updates):
        share = update / updates
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (0.5 + 0.5 * math.cos(math.pi * share))
        chosen = torch.randint(len(rows), (batch,))
        with torch.enable_grad():
            bound = _bound(parts, maps, rows[chosen], means[chosen])
            gradients = torch.autograd.grad(-bound, learned, allow_unused=True)
        for value, gradient in zip(learned, gradients, strict=True):
            value.grad = gradient
        optimizer.step()
        if weak is not None:
            _leave_out(maps, weak)
    optimizer.zero_grad()


def _held(maps: OpenPath, means: Tensor) -> Tensor:
    """Nats that each component holds, (d,), for codes of these means, (rows, d)."""
    _, scale = gaussian_heads(torch.cat((means, maps.log_variance.expand_as(means)), 1))
    return normal_kl(Normal(means, scale), Normal(0.0, torch.ones(()))).mean(0)


def _leave_out(maps: OpenPath, weak: Tensor) -> None:
    """Set components to zero, and their codes to the prior; weak: which, (d,)."""
    for value in (maps.analysis.weight, maps.analysis.bias, maps.synthesis.weight.T):
        value[weak] = 0
    maps.log_variance[weak] = raw_log_variance(torch.zeros(()))


@torch.no_grad()
def set_to_components(parts: LinearParts, rows: Tensor) -> tuple[OpenPath, Tensor]:
    """Open a path, and set its analysis to the codes of principal components, its synthesis near
    their sums, and output bias and scales to what the components leave.

    Args:
        parts: of the model.
        rows: pictures in model units, (rows, *event).

    Returns:
        The maps of the path, and the codes of the rows, (rows, d).
    """
    path, maps = parts.path, parts.path.open()
    seen = path.reduced(rows).flatten(1)
    found = principal_components(seen, min(path.latent_dim, seen.shape[1] - 1), MOST_EXACT)
    noise = found.rest.clamp_min(LEAST_REST)
    weight = seen.new_zeros(seen.shape[1], path.latent_dim)
    weight[:, : len(found.variances)] = found.weight(noise)
    precision = weight.square().sum(0) + noise
    maps.analysis.weight.copy_(weight.T / precision.unsqueeze(1))
    maps.analysis.bias.copy_(-(maps.analysis.weight @ found.mean))
    maps.log_variance.copy_(raw_log_variance(torch.log(noise / precision)))
    means: Tensor = maps.analysis(seen)
    shape = (path.event_shape[0], *path.size)
    mean = rows.mean(0)
    left = rows - mean - path.enlarged((means @ weight.T).unflatten(1, shape))
    start = parts.likelihood.linear_start(mean, weight.unflatten(0, shape), left.abs().mean(0))
    if start is not None:
        maps.synthesis.weight.copy_(start[0].flatten(0, 2))
        parts.decoder.set_output_bias(start[1])
    return maps, means


def _bound(parts: LinearParts, maps: OpenPath, x: Tensor, means: Tensor) -> Tensor:
    """The mean bound of rows x, (rows, *event), under N(0, I), with one draw of each code."""
    _, scale = gaussian_heads(torch.cat((means, maps.log_variance.expand_as(means)), 1))
    z = means + scale * torch.randn_like(means)
    emission = _emission(parts, parts.decoder.output_bias, z)
    rate = normal_kl(Normal(means, scale), Normal(0.0, torch.ones(()))).sum(1)
    bound: Tensor = (emission.log_prob(x) - rate).mean()
    return bound


def _emission(parts: LinearParts, bias: Tensor, z: Tensor | None = None) -> Emission:
    """p(x | z) of the linear model for z, (rows, d), or its marginal at the output bias."""
    numbers = bias.reshape(1, *parts.path.parameter_shape)
    numbers = numbers if z is None else parts.path.parameters_of(z, numbers)
    emission: Emission = parts.likelihood(numbers.unsqueeze(0))
    return emission


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
        # convert curves of standardized features to curves of their columns
        columns = likelihood.event_shape[0]
        shift, scale = inputs.shift.double(), inputs.scale.double()
        place = inputs.feature_column[inputs.is_value]
        slope, threshold = torch.zeros(2, columns, dtype=torch.float64).unbind()
        applies = torch.zeros(columns, dtype=torch.bool)
        slope[place] = (curves.slope / scale)[inputs.is_value]
        threshold[place] = (curves.threshold * scale + shift)[inputs.is_value]
        applies[place] = curves.applies[inputs.is_value]
        curves = SelfMasking(slope, threshold, applies)
    likelihood.start_curves(curves)
    return fitted


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
