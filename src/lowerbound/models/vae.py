"""The variational autoencoder, conditional too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import Parameter

from lowerbound.errors import UnsupportedError
from lowerbound.likelihoods import Likelihood
from lowerbound.models.base import DRAW, MODELS, Model
from lowerbound.networks.inputs import Input
from lowerbound.posteriors import Posterior
from lowerbound.priors import Prior
from lowerbound.trace import Batch, Choose, Emission, Step, Trace, fold


@MODELS.register("vae")
class VariationalAutoencoder(Model):
    r"""z ~ p(z), x ~ p(x | z), with q(z | x) proposed by the encoder.

    With a condition y (a class, an embedding) the encoder and the decoder are told y and the prior
    is not: p(x | y) = \int p(x | z, y) p(z) dz, the conditional VAE of Sohn et al. 2015 with an
    unconditional prior.

    Args:
        encoder: (rows, *inputs.shape), condition -> (rows, posterior.numbers).
        posterior: those numbers -> q(z | x).
        prior: p(z).
        decoder: (rows, latent_dim), condition -> (rows, *likelihood.parameter_shape).
        likelihood: those numbers -> p(x | z).
        inputs: what the encoder is fed; None: the row as it is.

    Source: Kingma & Welling 2014.
    """

    def __init__(
        self,
        encoder: nn.Module,
        posterior: Posterior,
        prior: Prior,
        decoder: nn.Module,
        likelihood: Likelihood,
        inputs: Input | None = None,
    ) -> None:
        super().__init__(inputs)
        self.encoder = encoder
        self.posterior = posterior
        self.prior = prior
        self.decoder = decoder
        self.likelihood = likelihood
        self.latent_dim = prior.latent_dim

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        if batch.x is None:
            return self.imagine(batch, choose)
        return self._pass(self.encode(batch), batch, choose)

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass that sees no data."""
        return self._pass(None, batch, choose)

    def encode(self, batch: Batch) -> Distribution:
        """q(z | x), batch shape (1, batch)."""
        distribution: Distribution = self.posterior(self.encoder(self.seen(batch), batch.condition))
        return distribution

    def prior_distribution(self) -> Distribution:
        """p(z), batch shape (1, 1)."""
        distribution: Distribution = self.prior(self._encode_rows)
        return distribution

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """p(x | z) for z (samples, batch, latent_dim)."""
        emission: Emission = self.likelihood(fold(self.decoder, z, condition))
        return emission

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        return {
            "inference": [
                *self.input_parameters(),
                *self.encoder.parameters(),
                *self.posterior.parameters(),
            ],
            "generative": [
                *self.prior.parameters(),
                *self.decoder.parameters(),
                *self.likelihood.parameters(),
            ],
        }

    def _pass(self, posterior: Distribution | None, batch: Batch, choose: Choose) -> Trace:
        prior = self.prior_distribution()
        if posterior is None:
            prior = prior.expand(torch.Size((1, len(batch))))
        z = choose(0, posterior, prior)
        emission = self.decode(z, batch.condition)
        if posterior is not None:
            emission = emission.knowing(batch.missing)
        return Trace((Step(z, posterior, prior),), emission)

    def _encode_rows(self, x: Tensor) -> Distribution:
        if getattr(self.encoder, "condition_dim", 0):
            raise UnsupportedError(
                f"{type(self.prior).__name__} asks the encoder about rows without a class, which "
                "a conditional model cannot answer; choose the prior standard_normal, mixture or "
                "flow"
            )
        distribution: Distribution = self.posterior(self.encoder(self.seen(Batch(x)), None))
        return distribution
