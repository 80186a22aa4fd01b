r"""Networks that start as factor analysis: exact for every pattern of missing cells, then more.

::

    features ─┬─ linear path: exact posterior N(m, L L^T) ──┐
              └─ residual(values, mask, m, ...) ── a, s ────┴─> mu = m + L a, factor L diag(e^s)
    z ────────┬─ W z + b ───────────────────────────────────┐
              └─ residual(z) ───────────────────────────────┴─> parameters of the likelihood

Both residual networks return zeros at the start, so training begins at the solution of
:mod:`lowerbound.classical.factor_analysis` and adds to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lowerbound.classical.factor_analysis import FactorAnalysis
from lowerbound.classical.self_masked_factors import posterior_sites
from lowerbound.classical.self_masking import SelfMasking
from lowerbound.distributions.triangular import dim_of, inverse_factor, pack
from lowerbound.errors import OptionError
from lowerbound.networks.base import NETWORKS, Decoder, Encoder, beside, hidden_widths
from lowerbound.networks.initialization import QUIET, linear
from lowerbound.networks.mlp import DenseNetwork, dense_layers

ROUNDS = 5  # of expectation propagation; the residual network learns the remaining error
MAX_STRETCH = 3.0
"""The residual network can widen or narrow the exact posterior by at most e^3 per direction."""


@NETWORKS.register("tabular")
@dataclass(frozen=True)
class Tabular(DenseNetwork):
    """Factor analysis and a residual MLP, for rows with missing cells.

    The encoder's input is values and their mask (``networks.inputs``). Its output is for the
    posterior "full", a Gaussian with full covariance.
    """

    reads_mask: ClassVar[bool] = True
    full_posterior: ClassVar[bool] = True

    def encoder(
        self,
        event_shape: tuple[int, ...],
        numbers: int,
        condition_dim: int = 0,
        *,
        linear: int | None = None,
        tells_missing: bool = False,
    ) -> TabularEncoder:
        """The encoder of features of ``event_shape``.

        Args:
            event_shape: shape of the features; flattened, the first ``linear`` are values, as many
                more their mask, and the rest embeddings.
            numbers: parameters of the posterior: d + d (d + 1) / 2.
            condition_dim: numbers of the condition.
            linear: number of values; None: half of the features, without embeddings.
            tells_missing: whether the features after the mask mark the missing values.

        Raises:
            OptionError: ``numbers`` is not the number of parameters of the posterior "full", or the
                features have no mask of the values.
        """
        width, latent_dim = math.prod(event_shape), dim_of(numbers)
        if latent_dim is None:
            raise OptionError(
                f"the network 'tabular' goes with the posterior 'full', which takes d + d (d + 1)"
                f" / 2 parameters for d latent dimensions, and not with one that takes {numbers}"
            )
        parts = 3 if tells_missing else 2
        values = width // parts if linear is None else linear
        if (linear is None and width % parts) or not 0 < parts * values <= width:
            raise OptionError(
                "the network 'tabular' reads values and, beside them, as many cells of their mask: "
                f"{width} features cannot hold {values or 'any'} values and their mask alone"
            )
        return TabularEncoder(
            values,
            width,
            latent_dim,
            condition_dim,
            hidden=self._widths(values),
            activation=self.activation,
            tells_missing=tells_missing,
        )

    def decoder(
        self, latent_dim: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> TabularDecoder:
        hidden = tuple(reversed(self._widths(math.prod(parameter_shape))))
        return TabularDecoder(
            latent_dim, parameter_shape, condition_dim, hidden=hidden, activation=self.activation
        )


class TabularEncoder(Encoder):
    r"""The posterior of a trainable factor analysis, shifted and scaled by a residual network.

    .. math::
        \mu = m + L a, \quad L_q = L \operatorname{diag}(e^s), \quad s = 3 \tanh(h / 3)

    with m and L L^T = A^{-1} exact
    (:class:`~lowerbound.classical.factor_analysis.FactorAnalysis`), and a, h from an MLP of
    values, mask, m, embeddings and condition. :func:`lowerbound.distributions.triangular.pack`
    packs the result. If cells are missing because of their values, m and L are those of
    :mod:`lowerbound.classical.self_masked_factors`, in which only the terms of missing cells are
    approximate.

    Args:
        linear: F, the number of values among the features; F more are their mask.
        event_width: number of all features; those after 2 F (3 F) are embeddings.
        latent_dim: d.
        condition_dim: numbers of the condition.
        hidden: widths of the residual network's hidden layers.
        activation: its nonlinearity's name.
        tells_missing: whether F features after the mask mark the missing values.
    """

    large_batches: ClassVar[bool] = True
    slope: Tensor
    threshold: Tensor
    applies: Tensor

    def __init__(
        self,
        linear: int,
        event_width: int,
        latent_dim: int,
        condition_dim: int = 0,
        *,
        hidden: tuple[int, ...] | None = None,
        activation: str = "silu",
        tells_missing: bool = False,
    ) -> None:
        super().__init__()
        self.tells_missing = tells_missing
        self.linear, self.latent_dim, self.condition_dim = linear, latent_dim, condition_dim
        # small shares of variance: at the start each latent explains a little of each value
        self.weight = nn.Parameter(torch.randn(linear, latent_dim) * QUIET / math.sqrt(latent_dim))
        self.offset = nn.Parameter(torch.zeros(linear))
        self.log_noise = nn.Parameter(torch.zeros(linear))
        if tells_missing:
            self.register_buffer("slope", torch.zeros(linear))
            self.register_buffer("threshold", torch.zeros(linear))
            self.register_buffer("applies", torch.zeros(linear, dtype=torch.bool))
        widths = hidden_widths(linear) if hidden is None else hidden
        inputs = event_width + latent_dim + condition_dim
        self.residual = ending_in_zeros((inputs, *widths, 2 * latent_dim), activation)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        features = x.flatten(1)
        mean, factor = self.exact(features)
        inputs = beside(
            torch.cat((features, mean.to(features.dtype)), 1), condition, self.condition_dim
        )
        shift, stretch = self.residual(inputs).to(mean.dtype).chunk(2, 1)
        scale = torch.exp(MAX_STRETCH * torch.tanh(stretch / MAX_STRETCH))
        moved = mean + (factor * shift.unsqueeze(1)).sum(2)
        return pack(moved, factor * scale.unsqueeze(1)).to(self.weight.dtype)

    def exact(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """m, (rows, d), and L, (rows, d, d), of the linear path, both in float64.

        Informative values have far larger precisions than others; float32 would lose the small
        ones.
        """
        with torch.autocast(features.device.type, enabled=False):
            weight, offset, log_noise = (
                part.double() for part in (self.weight, self.offset, self.log_noise)
            )
            values, mask = features[:, : 2 * self.linear].double().chunk(2, 1)
            if self.tells_missing:
                values, mask = self._with_sites(features, values, mask)
            weighted = weight * torch.exp(-log_noise).unsqueeze(1)
            products = (weighted.unsqueeze(2) * weight.unsqueeze(1)).flatten(1)
            identity = torch.eye(self.latent_dim, dtype=weight.dtype, device=weight.device)
            factor = inverse_factor((mask @ products).unflatten(1, identity.shape) + identity)
            evidence = (mask * (values - offset)) @ weighted
            whitened = (factor * evidence.unsqueeze(2)).sum(1)  # L^T b
            return (factor * whitened.unsqueeze(1)).sum(2), factor

    @torch.no_grad()
    def _with_sites(self, features: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Values and masks that include the evidence of the missing cells."""
        missing = features[:, 2 * self.linear : 3 * self.linear] > 0
        noise = torch.exp(self.log_noise.double())
        fitted = FactorAnalysis(self.weight.double(), self.offset.double(), noise)
        curves = SelfMasking(self.slope.double(), self.threshold.double(), self.applies)
        sites = posterior_sites(fitted, curves, values, mask, missing, ROUNDS)
        return sites.beside(values, mask, noise)

    @torch.no_grad()
    def start_from(self, fitted: FactorAnalysis, curves: SelfMasking | None = None) -> None:
        """Start at the exact posterior of ``fitted``, with the missingness ``curves`` if given.

        Raises:
            ValueError: ``fitted`` has another number of values or of factors.
        """
        _check_shape(fitted.weight, tuple(self.weight.shape))
        self.weight.copy_(fitted.weight)
        self.offset.copy_(fitted.offset)
        self.log_noise.copy_(torch.log(fitted.noise))
        if curves is not None:
            self.slope.copy_(curves.slope)
            self.threshold.copy_(curves.threshold)
            self.applies.copy_(curves.applies)


class TabularDecoder(Decoder):
    """W z + b plus a residual MLP of z and the condition that starts at zero.

    Args:
        latent_dim: d.
        parameter_shape: of the parameters of the likelihood.
        condition_dim: numbers of the condition.
        hidden: widths of the residual network's hidden layers.
        activation: its nonlinearity's name.
    """

    def __init__(
        self,
        latent_dim: int,
        parameter_shape: tuple[int, ...],
        condition_dim: int = 0,
        *,
        hidden: tuple[int, ...] | None = None,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.parameter_shape = tuple(parameter_shape)
        self.condition_dim = condition_dim
        features = math.prod(self.parameter_shape)
        self.linear = linear(latent_dim, features, QUIET)
        widths = hidden_widths(features) if hidden is None else hidden
        inputs = latent_dim + condition_dim
        # the linear path has a bias already
        self.residual = ending_in_zeros((inputs, *widths, features), activation, bias=False)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        added = self.residual(beside(z, condition, self.condition_dim))
        shaped: Tensor = (added + self.linear(z)).unflatten(1, self.parameter_shape)
        return shaped

    @property
    def output_bias(self) -> nn.Parameter:
        return self.linear.bias

    @torch.no_grad()
    def start_from(self, rows: Tensor, weight: Tensor, offset: Tensor) -> None:
        """Start some of the parameters at ``weight`` z + ``offset``; the others do not change.

        Args:
            rows: indices into the flattened ``parameter_shape``, (K,).
            weight: (K, d).
            offset: (K,).

        Raises:
            ValueError: the shapes do not fit.
        """
        _check_shape(weight, (len(rows), self.linear.in_features))
        _check_shape(offset, (len(rows),))
        self.linear.weight[rows] = weight.to(self.linear.weight)
        self.linear.bias[rows] = offset.to(self.linear.bias)


def ending_in_zeros(widths: tuple[int, ...], activation: str, bias: bool = True) -> nn.Sequential:
    """Dense layers whose last layer starts at zero, with a bias if ``bias``."""
    layers = dense_layers(widths, activation)
    layers[-1] = linear(widths[-2], widths[-1], gain=0.0, bias=bias)
    return layers


def _check_shape(given: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(given.shape) != expected:
        raise ValueError(f"the linear path has shape {expected}, not {tuple(given.shape)}")
