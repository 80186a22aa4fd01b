r"""Start where the classics end: a tabular VAE begins as factor analysis of its own features.

The encoder's linear path takes the fitted factors whole. The decoder's gives each number that it
owes the slope in z that its column's linear feature has:

.. math:: u_j = s_j (w_j^T z + \mu_j) + m_j

with m and s what standardized the feature. For a continuous column that is the mean itself, and its
sigma is the noise s_j sqrt(psi_j), so the first update begins at the exact solution; for a
probability, a count or a level it is the first-order change of the number around its marginal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lowerbound.classical.factor_analysis import FactorAnalysis, chosen_ridge, fit_factor_analysis
from lowerbound.classical.self_masked_factors import fit_self_masked_factors
from lowerbound.classical.self_masking import DIRECTIONS, SelfMasking
from lowerbound.errors import DataError
from lowerbound.likelihoods.gaussian import Gaussian
from lowerbound.likelihoods.location_scale import LocationScale
from lowerbound.likelihoods.mixed import Mixed
from lowerbound.models.vae import VariationalAutoencoder
from lowerbound.networks.inputs import Columns, Role
from lowerbound.networks.tabular import TabularDecoder, TabularEncoder

if TYPE_CHECKING:  # a name for annotations
    from lowerbound.trace import Batch

LEAST_NOISE = 1e-3  # variance of a continuous feature
LOGISTIC = 1.7  # standard deviations of a normal variable to the scale of a logistic one
STEEPEST = 3.0  # slope of a rare level's logit per standard deviation of its indicator


@torch.no_grad()
def start_from_linear(model: VariationalAutoencoder, batch: Batch) -> None:
    """Fit factor analysis to the features of ``batch`` and start there, if the network can.

    Args:
        model: others than those with the network "tabular" stay as they are.
        batch: training rows, hidden cells and all.
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


def _start_self_masked(
    model: VariationalAutoencoder,
    encoder: TabularEncoder,
    features: tuple[Tensor, Tensor, Tensor],
    floor: Tensor,
) -> FactorAnalysis:
    """Start encoder and curves where cells are missing because of what they hold.

    Args:
        model: whose likelihood has curves.
        encoder: the model's.
        features: values, which were observed, and which nobody has, (rows, features) each.
        floor: the smallest noise variances.

    Raises:
        DataError: no missing cell has a curve to explain it.
    """
    likelihood, inputs = model.likelihood, model.inputs
    if not bool(features[2].any()):
        raise DataError(
            "no cell of a column of real numbers is missing, so there is nothing to explain by "
            "what it holds; leave missingness at 'at_random'"
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
    """From standardized features to the columns that they are of."""
    shift, scale = inputs.shift.double(), inputs.scale.double()
    place = inputs.feature_column[inputs.is_value]
    slope, threshold = torch.zeros(2, columns, dtype=torch.float64).unbind()
    applies = torch.zeros(columns, dtype=torch.bool)
    slope[place] = (curves.slope / scale)[inputs.is_value]
    threshold[place] = (curves.threshold * scale + shift)[inputs.is_value]
    applies[place] = curves.applies[inputs.is_value]
    return SelfMasking(slope, threshold, applies)


def _least_noise(model: VariationalAutoencoder) -> Tensor:
    """The smallest noise variance of each linear feature.

    A standardized indicator with slope w in z tells w^2 / psi of z if it is taken for a Gaussian,
    and w^2 if the level's logit has the slope w / s that it is given here (Fisher's information of
    a Bernoulli variable). Taken for more, a few columns of many levels drown what hangs together.
    The indicators of one column of L levels exclude each other, which alone gives them a variance
    of L / (L - 1) in some direction.
    """
    roles = model.inputs.roles if isinstance(model.inputs, Columns) else ()
    levels = Counter(column for column, role, _ in roles if role is Role.LEVEL)

    def least(column: int, role: Role) -> float:
        if role is Role.LEVEL:
            return levels[column] / (levels[column] - 1)
        return 1.0 if role in (Role.BIT, Role.ORDER, Role.ATOM) else LEAST_NOISE

    each = [least(column, role) for column, role, _ in roles]
    return torch.tensor(each or [LEAST_NOISE], dtype=torch.float64)


@dataclass(frozen=True)
class _Start:
    """Where one owed number starts: ``weight`` z + ``offset``; None keeps the marginal's."""

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
    for feature, (column, role, _) in enumerate(inputs.roles):
        if role in (Role.VALUE, Role.REST):
            sigma[column] = scale[feature] * fitted.noise[feature].sqrt()
    likelihood.set_noise(sigma)
    owners = likelihood.owners
    first = {int(c): int((owners == c).nonzero()[0]) for c in owners.unique()}
    owed = torch.bincount(owners)
    levels = Counter(column for column, role, _ in inputs.roles if role is Role.LEVEL)
    for feature, (column, role, level) in enumerate(inputs.roles):
        weight, row = fitted.weight[feature], first[column]
        s, m = scale[feature], shift[feature]
        match role:
            case Role.VALUE:
                yield _Start(row, s * weight, s * fitted.offset[feature] + m)
            case Role.REST:
                yield _Start(row + 1, s * weight, s * fitted.offset[feature] + m)
            case Role.ATOM | Role.BIT:
                yield _Start(row, weight * (1 / s).clamp_max(STEEPEST))
            case Role.COUNT:
                yield _Start(row, s * weight)
            case Role.ORDER:
                yield _Start(row, LOGISTIC * weight)
            case Role.LEVEL if owed[column] == levels[column]:  # a logit of its own for each
                yield _Start(row + level, weight * (s / m.clamp_min(1e-6)).clamp_max(STEEPEST))


def _offsets(decoder: TabularDecoder, starts: list[_Start]) -> Tensor:
    bias = decoder.output_bias.detach().double()
    return torch.stack([bias[s.row] if s.offset is None else s.offset for s in starts])
