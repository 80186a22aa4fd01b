"""The deterministic autoencoder: each row has one code, and there is no prior to sample from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import Parameter

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.point import Point
from lowerbound.likelihoods.base import Likelihood
from lowerbound.models.base import DRAW, MODELS, Model
from lowerbound.models.powers import Imagines, require
from lowerbound.networks.base import NETWORKS
from lowerbound.networks.inputs import Input
from lowerbound.parts import AT_RANDOM, AUTO
from lowerbound.trace import Batch, Choose, Emission, Trace, fold

if TYPE_CHECKING:  # names for annotations
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts


@MODELS.register("autoencoder")
class DeterministicAutoencoder(Model):
    r"""z = f(x), x' = g(z): minimizes only -log p(x | z = f(x)).

    Squared error is the Gaussian likelihood with fixed sigma, and absolute error is the Laplace
    likelihood; both keep their constants. The model has no p(z), so it does not know which codes
    are plausible. Its Trace therefore has no steps, and sampling raises an error.

    Args:
        encoder: (rows, *inputs.shape), condition -> (rows, latent_dim).
        decoder: (rows, latent_dim), condition -> (rows, *likelihood.parameter_shape).
        likelihood: the decoder's output -> p(x | z).
        latent_dim: length of the code.
        inputs: makes the encoder's input from a row; None: the row unchanged.
    """

    title: ClassVar[str] = "autoencoder"
    uses: ClassVar[tuple[str, ...]] = ("network", "likelihood")

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        latent_dim: int,
        inputs: Input | None = None,
    ) -> None:
        super().__init__(inputs)
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.latent_dim = latent_dim

    @classmethod
    def rival_options(cls, dataset: Dataset, options: ModelOptions) -> ModelOptions:
        if options.network not in NETWORKS or not NETWORKS[options.network].full_posterior:
            return options
        return replace(
            options,
            network=AUTO,
            network_options={},
            posterior=AUTO,
            posterior_options={},
            missingness=AT_RANDOM,
        )

    @classmethod
    def build(cls, parts: ModelParts) -> DeterministicAutoencoder:
        latent_dim, likelihood = parts.latent_dim, parts.likelihood()
        decoder = parts.decoder(likelihood, latent_dim)
        return cls(parts.encoder(latent_dim), decoder, likelihood, latent_dim, parts.inputs)

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        if batch.x is None:
            require(self, Imagines, "be sampled")
        return Trace((), self.decode(self.encode(batch).mean, batch.condition))

    def encode(self, batch: Batch) -> Distribution:
        """The code as a distribution with one point, batch shape (1, batch)."""
        return Point(self.encoder(self.seen(batch), batch.condition).unsqueeze(0))

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """p(x | z) for z (samples, batch, latent_dim)."""
        emission: Emission = self.likelihood(fold(self.decoder, z, condition))
        return emission

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        return {
            "inference": [*self.input_parameters(), *self.encoder.parameters()],
            "generative": [*self.decoder.parameters(), *self.likelihood.parameters()],
        }
