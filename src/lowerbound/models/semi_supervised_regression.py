"""A measurement of a row as one more latent: known for some rows, inferred for the others."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.distributions.point import Point
from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.likelihoods import Likelihood
from lowerbound.models.base import MODELS
from lowerbound.models.labeled import LabeledVariationalAutoencoder, StackedNetworks
from lowerbound.networks.inputs import Input
from lowerbound.priors import Prior
from lowerbound.trace import Batch


@MODELS.register("semi_supervised_regression")
class SemiSupervisedRegression(LabeledVariationalAutoencoder):
    """The label is a number in units of its own spread, y ~ N(0, 1), with a Gaussian q(y | x).

    Args:
        regressor: (rows, *inputs.shape) -> (rows, 2), two heads of q(y | x).
        encoder, prior, decoder, likelihood, inputs, between, feature_dim: as of
            ``LabeledVariationalAutoencoder``.
    """

    objective: ClassVar[str] = "semi_supervised_regression"
    origin: Tensor

    def __init__(
        self,
        regressor: nn.Module,
        encoder: nn.Module,
        prior: Prior,
        decoder: nn.Module,
        likelihood: Likelihood,
        inputs: Input | None = None,
        between: StackedNetworks | None = None,
        *,
        feature_dim: int = 0,
    ) -> None:
        super().__init__(
            encoder,
            prior,
            decoder,
            likelihood,
            inputs,
            between,
            label_dim=1,
            feature_dim=feature_dim,
        )
        self.regressor = regressor
        self.register_buffer("origin", torch.zeros(1, 1, 1), persistent=False)

    @property
    def labeler(self) -> nn.Module:
        return self.regressor

    def label_posterior(self, batch: Batch) -> Distribution:
        return self.target_posterior(batch)

    def target_posterior(self, batch: Batch, labeler: nn.Module | None = None) -> Distribution:
        """q(y | x), batch shape (1, batch)."""
        numbers = (labeler or self.regressor)(self.seen(batch), None)
        distribution: Distribution = self.heads(numbers.unsqueeze(0))
        return distribution

    def label_prior(self) -> Distribution:
        return diagonal_normal(self.origin, torch.ones_like(self.origin))

    def certain(self, label: Tensor) -> Distribution:
        return Point(label.unsqueeze(0))
