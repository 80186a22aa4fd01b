"""The hierarchical variational autoencoder of the textbook: a Markov chain of latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import Parameter

from lowerbound.config import option
from lowerbound.data.arrays import listed
from lowerbound.errors import OptionError
from lowerbound.likelihoods.base import Likelihood
from lowerbound.models.base import DRAW, MODELS, Model
from lowerbound.networks.base import hidden_widths
from lowerbound.networks.initialization import ACTIVATIONS
from lowerbound.networks.inputs import Input
from lowerbound.networks.mlp import MLP
from lowerbound.posteriors.gaussian import GaussianHeads, Posterior
from lowerbound.priors.base import Prior
from lowerbound.trace import Batch, Choose, Emission, Step, Trace, fold

if TYPE_CHECKING:  # a name for annotations
    from lowerbound.models.parts import ModelParts


@dataclass(frozen=True)
class HierarchicalOptions:
    """Latents z_1 (next to the data) to z_T, and MLPs between neighbors in both directions.

    ``latent_dims=(100, 50)``, ``hidden=(100, 100)`` and ``activation="tanh"`` with an ``MLP`` of
    (200, 200) is the two-layer network of Burda et al. 2016.
    """

    levels: int = option(2, "T, latents in the chain, unless latent_dims names them")
    latent_dims: tuple[int, ...] | None = option(
        None, "numbers of z_1, ..., z_T; each half of the one below unless given"
    )
    hidden: tuple[int, ...] | None = option(
        None, "hidden layers between latents; sized from them unless given"
    )
    activation: str = option("silu", "nonlinearity: " + ", ".join(ACTIVATIONS))

    def __post_init__(self) -> None:
        ACTIVATIONS[self.activation]
        if self.levels < 1:
            raise OptionError(f"levels is the number of latents, at least 1, not {self.levels}")
        if self.latent_dims is not None and min(self.latent_dims, default=0) < 1:
            raise OptionError(f"latent_dims are at least one each, not {self.latent_dims}")

    def dims(self, latent_dim: int) -> tuple[int, ...]:
        """Numbers of each latent, z_1 first. If they are not given, z_1 has ``latent_dim``."""
        if self.latent_dims is not None:
            return self.latent_dims
        return tuple(max(min(2, latent_dim), latent_dim >> above) for above in range(self.levels))

    def upward(self, dims: tuple[int, ...]) -> list[nn.Module]:
        """Networks from z_t to two heads of z_{t+1}, lowest level first."""
        return [self._between(below, above) for below, above in pairwise(dims)]

    def downward(self, dims: tuple[int, ...]) -> list[nn.Module]:
        """Networks from z_{t+1} to two heads of z_t, lowest level first."""
        return [self._between(above, below) for below, above in pairwise(dims)]

    def _between(self, source: int, target: int) -> nn.Module:
        hidden = hidden_widths(max(source, target)) if self.hidden is None else self.hidden
        return MLP(hidden, self.activation).encoder((source,), 2 * target)


@MODELS.register("hierarchical")
class HierarchicalVariationalAutoencoder(Model):
    r"""p(x | z_1) p(z_1 | z_2) ... p(z_T), with q(z_1 | x) q(z_2 | z_1) ... q(z_T | z_{T-1}).

    .. math::
        \log p(x) \ge \mathbb{E}_q\Big[\log p(x \mid z_1)
        + \sum_{t=1}^{T-1} \log \frac{p(z_t \mid z_{t+1})}{q(z_t \mid z_{t-1})}
        + \log \frac{p(z_T)}{q(z_T \mid z_{T-1})}\Big], \quad z_0 = x

    Both chains are Gaussian. The Trace lists its Steps top down, z_T first. Below the top, the
    prior depends on a latent that is drawn later, so those rates are log-ratios at the draws. The
    rate of the top has a closed form if its two distributions have one.

    Args:
        encoder: (rows, *inputs.shape), condition -> (rows, posterior.numbers), for z_1.
        posterior: the encoder's output -> q(z_1 | x).
        prior: p(z_T).
        decoder: (rows, latent_dims[0]), condition -> (rows, *likelihood.parameter_shape).
        likelihood: the decoder's output -> p(x | z_1).
        upward: T - 1 networks, z_t -> two heads of z_{t+1}.
        downward: T - 1 networks, z_{t+1} -> two heads of z_t.
        inputs: makes the encoder's input from a row; None: the row unchanged.

    Sources: Rezende et al. 2014; Burda et al. 2016 for two layers; Luo 2022, section "Hierarchical
    variational autoencoders".
    """

    title: ClassVar[str] = "hierarchical VAE"
    Options: ClassVar[type[Any]] = HierarchicalOptions

    def __init__(
        self,
        encoder: nn.Module,
        posterior: Posterior,
        prior: Prior,
        decoder: nn.Module,
        likelihood: Likelihood,
        upward: Sequence[nn.Module],
        downward: Sequence[nn.Module],
        inputs: Input | None = None,
    ) -> None:
        super().__init__(inputs)
        self.encoder = encoder
        self.posterior = posterior
        self.prior = prior
        self.decoder = decoder
        self.likelihood = likelihood
        self.upward = nn.ModuleList(upward)
        self.downward = nn.ModuleList(downward)
        self.heads = GaussianHeads()
        self.latent_dim = posterior.latent_dim

    @classmethod
    def latents_text(cls, parts: ModelParts) -> str:
        dims = parts.own(HierarchicalOptions).dims(parts.latent_dim)
        return f"latents of {listed(dims[::-1])} numbers, the coarsest first"

    @classmethod
    def build(cls, parts: ModelParts) -> HierarchicalVariationalAutoencoder:
        chain = parts.own(HierarchicalOptions)
        dims = chain.dims(parts.latent_dim)
        likelihood, posterior = parts.likelihood(), parts.posterior(dims[0])
        return cls(
            parts.encoder(posterior.numbers),
            posterior,
            parts.prior(dims[-1]),
            parts.decoder(likelihood, dims[0]),
            likelihood,
            chain.upward(dims),
            chain.downward(dims),
            parts.inputs,
        )

    @property
    def levels(self) -> int:
        """T."""
        return len(self.upward) + 1

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        if batch.x is None:
            return self.imagine(batch, choose)
        latents, posteriors = self._ascend(self.encode(batch), choose)
        top = Step(latents[0], posteriors[0], self._top_prior())
        below = [
            Step(z, posterior, self.prior_at(level, latents[level - 1]), closed=False)
            for level, (z, posterior) in enumerate(zip(latents, posteriors, strict=True))
            if level
        ]
        return Trace((top, *below), self.decode(latents[-1], batch.condition))

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass down the chain without data."""
        steps: list[Step] = []
        for level in range(self.levels):
            prior = self.prior_at(level, steps[-1].z if steps else None)
            if level == 0:
                prior = prior.expand(torch.Size((1, len(batch))))
            steps.append(Step(choose(level, None, prior), None, prior))
        return Trace(tuple(steps), self.decode(steps[-1].z, batch.condition))

    def encode(self, batch: Batch) -> Distribution:
        """q(z_1 | x), batch shape (1, batch)."""
        distribution: Distribution = self.posterior(self.encoder(self.seen(batch), batch.condition))
        return distribution

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """p(x | z_1) for z_1 (samples, batch, latent_dim)."""
        emission: Emission = self.likelihood(fold(self.decoder, z, condition))
        return emission

    def code(self, trace: Trace) -> Tensor:
        """z_1, (samples, batch, latent_dim), because x depends on z_1 alone."""
        return trace.steps[-1].z

    def prior_at(self, level: int, above: Tensor | None) -> Distribution:
        """p of the latent at ``level`` (0: the top) given the one above it, (samples, batch, d)."""
        if level == 0:
            return self._top_prior()
        assert above is not None, "only the top has no latent above it"
        return self._between(self.downward[self.levels - 1 - level], above)

    def posterior_above(self, level: int, below: Tensor) -> Distribution:
        """q of the latent at ``level`` given the one below it, (samples, batch, d)."""
        return self._between(self.upward[self.levels - 2 - level], below)

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        inference = (self.encoder, self.posterior, self.upward)
        generative = (self.prior, self.decoder, self.likelihood, self.downward)
        return {
            "inference": [
                *self.input_parameters(),
                *(value for part in inference for value in part.parameters()),
            ],
            "generative": [value for part in generative for value in part.parameters()],
        }

    def _ascend(
        self, first: Distribution, choose: Choose
    ) -> tuple[list[Tensor], list[Distribution]]:
        """Latents and their posteriors, drawn bottom up and returned top down."""
        posteriors = [first]
        latents = [choose(self.levels - 1, first, None)]
        for above, network in enumerate(self.upward, start=2):
            posteriors.append(self._between(network, latents[-1]))
            latents.append(choose(self.levels - above, posteriors[-1], None))
        return latents[::-1], posteriors[::-1]

    def _top_prior(self) -> Distribution:
        distribution: Distribution = self.prior(None)
        return distribution

    def _between(self, network: nn.Module, z: Tensor) -> Distribution:
        """The network's two heads at z, batch shape (samples, batch)."""
        distribution: Distribution = self.heads(fold(network, z))
        return distribution
