"""The label of a row as a latent: the base class for a class and for a regression target.

Every such model has the options that are here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import Parameter

from lowerbound.config import from_mapping, option
from lowerbound.distributions.point import Point
from lowerbound.errors import OptionError, unknown
from lowerbound.likelihoods.base import Likelihood
from lowerbound.models.base import DRAW, Model
from lowerbound.models.linear_start import empty_path
from lowerbound.networks.base import NETWORKS, Decoder, Encoder, Network
from lowerbound.networks.initialization import ACTIVATIONS
from lowerbound.networks.inputs import Input
from lowerbound.networks.mlp import MLP
from lowerbound.networks.pictures.convolutional import StridedEncoder
from lowerbound.networks.pictures.linear_path import LinearPath
from lowerbound.parts import AUTO
from lowerbound.posteriors.gaussian import GaussianHeads
from lowerbound.priors.base import Prior
from lowerbound.trace import Batch, Choose, Emission, Mean, Step, Trace, fold

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts

LEAST_SIDE = 8  # smallest side of a picture that strided convolutions take


@dataclass(frozen=True)
class LabelOptions:
    """Options of M1+M2's latent between the style and the data, and of the label's networks.

    ``stacked=True, feature_dim=50`` with a latent of 50 is the M1+M2 of Kingma et al. 2014.
    """

    stacked: bool = option(False, "M1+M2: a latent between the label and the data")
    feature_dim: int | None = option(
        None, "numbers of that latent; twice those of the style unless given"
    )
    hidden: tuple[int, ...] | None = option(
        None, "hidden layers between the latents; sized from them unless given"
    )
    activation: str = option("silu", "nonlinearity: " + ", ".join(ACTIVATIONS))
    width: int = option(24, "channels of the first strided convolution")

    def __post_init__(self) -> None:
        ACTIVATIONS[self.activation]
        if self.feature_dim is not None and self.feature_dim < 1:
            raise OptionError(f"feature_dim is at least 1, not {self.feature_dim}")
        if self.width < 1:
            raise OptionError(f"width is a positive number of channels, not {self.width}")

    def labeling(
        self,
        network: Network,
        shape: tuple[int, ...],
        numbers: int,
        name: str | None,
        options: Mapping[str, Any],
    ) -> Encoder:
        """A network from rows of that shape to the numbers of q(y | x), by its name; None: the
        model's ``network``, or strided convolutions for pictures."""
        if name is None and not options:
            if len(shape) == 3 and min(shape[1:]) >= LEAST_SIDE:
                return StridedEncoder(shape, numbers, self.width, self.activation)
            return network.encoder(shape, numbers)
        kind = type(network) if name is None else NETWORKS[name]
        chosen: Network = from_mapping(kind, options)
        return chosen.encoder(shape, numbers)

    def below(self, latent_dim: int) -> int:
        """Numbers of z_1; 0: there is no z_1."""
        return (self.feature_dim or 2 * latent_dim) if self.stacked else 0

    def upward(self, feature_dim: int, latent_dim: int, label_dim: int) -> Encoder:
        """A network from z_1 and the label to two heads of the style."""
        return MLP(self.hidden, self.activation).encoder((feature_dim,), 2 * latent_dim, label_dim)

    def downward(self, feature_dim: int, latent_dim: int, label_dim: int) -> Decoder:
        """A network from the style and the label to two heads of z_1."""
        return MLP(self.hidden, self.activation).decoder(latent_dim, (2 * feature_dim,), label_dim)


def refuse_tabular(name: str | None, of: str) -> None:
    """Refuse the network 'tabular', which returns a posterior of its own.

    Raises:
        OptionError: it is requested.
    """
    if name == "tabular":
        raise unknown(f"network of a {of}", name, set(NETWORKS) - {"tabular"})


class StackedNetworks(nn.Module):
    """The two networks between z_1 and the style and label above it (M2 over M1's latents).

    Args:
        encoder: (rows, d_1), label -> two heads of the style.
        decoder: (rows, latent_dim), label -> (rows, 2 d_1), two heads of z_1.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder


class LabeledParts(NamedTuple):
    """The parts that ``__init__`` of a model with a label takes after the labeler."""

    encoder: nn.Module
    prior: Prior
    decoder: nn.Module
    likelihood: Likelihood
    inputs: Input | None = None
    between: StackedNetworks | None = None
    path: LinearPath | None = None


class LabeledVariationalAutoencoder(Model):
    r"""y ~ p(y), z ~ p(z), x ~ p(x | y, z), with q(y | x) q(z | x, y): M2 of Kingma et al. 2014.

    The latents in generative order are the label y and the style z. With ``between`` (M1+M2) a
    third latent z_1 follows, and x depends on z_1 alone:

    .. math:: p(x \mid z_1)\, p(z_1 \mid y, z)\, p(y)\, p(z), \quad
        q(y \mid x)\, q(z_1 \mid x)\, q(z \mid z_1, y)

    A pass treats y as any other latent and ignores the batch's label. To set a known label, or to
    enumerate the classes, pass a ``choose``. A condition given to ``imagine`` is the label of the
    rows to draw.

    Args:
        encoder: (rows, *inputs.shape), label -> two heads of z; with ``between``: no label, z_1.
        prior: p(z).
        decoder: (rows, latent_dim), label -> the likelihood's numbers; with ``between``: of z_1.
        likelihood: the decoder's output -> p(x | ...).
        inputs: makes the input of encoder and labeler from a row; None: the row unchanged.
        between: networks between z_1 and the latents above it, for M1+M2.
        path: a linear path beside encoder and decoder, which the features of M1+M2 may have.
        label_dim: numbers of a label.
        feature_dim: those of z_1.

    Attributes:
        latent_dim: numbers of a code: those of the label and of the style; those of z_1 in M1+M2.
    """

    uses: ClassVar[tuple[str, ...]] = ("network", "likelihood", "prior")
    infers_label: ClassVar[bool] = True

    def __init__(
        self,
        encoder: nn.Module,
        prior: Prior,
        decoder: nn.Module,
        likelihood: Likelihood,
        inputs: Input | None = None,
        between: StackedNetworks | None = None,
        path: LinearPath | None = None,
        *,
        label_dim: int,
        feature_dim: int = 0,
    ) -> None:
        super().__init__(inputs)
        self.encoder = encoder
        self.prior = prior
        self.decoder = decoder
        self.likelihood = likelihood
        self.between = between
        self.path = path
        self.label_dim = label_dim
        self.heads = GaussianHeads()
        self.latent_dim = feature_dim if between is not None else label_dim + prior.latent_dim

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        if options.conditional:
            raise OptionError(f"{options.model} infers the label: leave conditional out")
        if options.network == "tabular" or options.posterior not in (AUTO, "gaussian"):
            raise OptionError(
                f"the posteriors of {options.model} are diagonal Gaussians: leave posterior out, "
                "and take any network but 'tabular'"
            )
        if options.prior == "vamp":
            raise OptionError(
                "the prior vamp encodes rows without a label; choose standard_normal, mixture "
                "or flow"
            )

    @staticmethod
    def around_label(parts: ModelParts, sizes: LabelOptions, label_dim: int) -> LabeledParts:
        """Build all parts except the labeler."""
        network, style, likelihood = parts.network, parts.latent_dim, parts.likelihood()
        parameters, shape, below = likelihood.parameter_shape, parts.input_shape, sizes.below(style)
        between, path = None, None
        if sizes.stacked:
            between = StackedNetworks(
                sizes.upward(below, style, label_dim), sizes.downward(below, style, label_dim)
            )
            encoder, decoder = network.encoder(shape, 2 * below), network.decoder(below, parameters)
            path = empty_path(decoder, likelihood, below, parts.schema.event_shape)
        else:
            encoder = network.encoder(shape, 2 * style, label_dim)
            decoder = network.decoder(style, parameters, label_dim)
        prior = parts.prior(style)
        return LabeledParts(encoder, prior, decoder, likelihood, parts.inputs, between, path)

    @property
    @abstractmethod
    def labeler(self) -> nn.Module:
        """The network of q(y | x)."""

    @abstractmethod
    def label_posterior(self, batch: Batch) -> Distribution:
        """q(y | x), batch shape (1, batch)."""

    @abstractmethod
    def label_prior(self) -> Distribution:
        """p(y), batch shape (1, 1)."""

    @abstractmethod
    def certain(self, label: Tensor) -> Distribution:
        """All probability at these labels, (batch, label_dim); batch shape (1, batch)."""

    def label_features(self, batch: Batch) -> Tensor:
        """The means of q(z_1 | x) in M1+M2, the linear values of a table's columns, else the rows
        themselves, (batch, features)."""
        if self.between is not None:
            return self.encode(batch).mean.squeeze(0)
        seen = self.seen(batch).flatten(1)
        return seen[:, : getattr(self.inputs, "linear", seen.shape[1])]

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        if batch.x is None:
            return self.imagine(batch, choose)
        posterior, prior = self.label_posterior(batch), self.label_prior()
        y = choose(0, posterior, prior)
        first = Step(y, posterior, prior)
        if self.between is not None:
            return self._stacked(batch, first, choose)
        numbers = with_label(self.encoder, self.seen(batch).unsqueeze(0), y)
        style = self._style(self.heads(numbers), choose)
        emission = self._emission(style.z, y).knowing(batch.missing)
        return Trace((first, style), emission)

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass without data; ``batch.condition``, if given, is the label."""
        rows = torch.Size((1, len(batch)))
        if batch.condition is None:
            prior = self.label_prior().expand(rows)
        else:
            prior = self.certain(batch.condition)
        y = choose(0, None, prior)
        style = choose(1, None, self.style_prior().expand(rows))
        steps = (Step(y, None, prior), Step(style, None, self.style_prior()))
        if self.between is None:
            return Trace(steps, self._emission(style, y))
        expected = self.heads(with_label(self.between.decoder, style, y))
        z = choose(2, None, expected)
        return Trace((*steps, Step(z, None, expected)), self.decode(z))

    def style_prior(self) -> Distribution:
        """p(z), batch shape (1, 1)."""
        distribution: Distribution = self.prior(None)
        return distribution

    def encode(self, batch: Batch) -> Distribution:
        """The code, batch shape (1, batch): in M1+M2 the Gaussian q(z_1 | x), else one point, the
        mean of the label beside the mean of the style."""
        if self.between is not None:
            return self._features(batch)
        return Point(self.code(self(batch, Mean())))

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """p(x | code) for codes (samples, batch, latent_dim)."""
        if self.between is None:
            y, style = z.split([self.label_dim, self.latent_dim - self.label_dim], -1)
            return self._emission(style, y)
        emission: Emission = self.likelihood(fold(self._emitted, z))
        return emission

    def take_layout(self, names: Collection[str]) -> None:
        if self.path is not None:
            self.path.take_layout(names, "path.")

    def code(self, trace: Trace) -> Tensor:
        """The code that x depends on, (samples, batch, latent_dim)."""
        if self.between is not None:
            return trace.steps[-1].z
        y, style = (step.z for step in trace.steps)
        samples = max(len(y), len(style))
        return torch.cat([part.expand(samples, -1, -1) for part in (y, style)], -1)

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        inference, generative = [self.labeler, self.encoder], [self.prior, self.decoder]
        if self.between is not None:
            inference.append(self.between.encoder)
            generative.append(self.between.decoder)
        generative.append(self.likelihood)
        path = self.path
        return {
            "inference": [
                *self.input_parameters(),
                *(value for part in inference for value in part.parameters()),
                *(path.analysis_parameters() if path is not None else ()),
            ],
            "generative": [
                *(value for part in generative for value in part.parameters()),
                *(path.synthesis_parameters() if path is not None else ()),
            ],
        }

    def _stacked(self, batch: Batch, first: Step, choose: Choose) -> Trace:
        """The latents below the label in M1+M2."""
        assert self.between is not None
        features = self._features(batch)
        z = choose(2, features, None)
        style = self._style(self.heads(with_label(self.between.encoder, z, first.z)), choose)
        expected = self.heads(with_label(self.between.decoder, style.z, first.z))
        emission = self.decode(z).knowing(batch.missing)
        return Trace((first, style, Step(z, features, expected, closed=False)), emission)

    def _features(self, batch: Batch) -> Distribution:
        """q(z_1 | x), batch shape (1, batch)."""
        x = self.seen(batch)
        numbers: Tensor = self.encoder(x, None)
        if self.path is not None:
            numbers = self.path.heads(x, numbers)
        distribution: Distribution = self.heads(numbers.unsqueeze(0))
        return distribution

    def _emitted(self, z: Tensor, condition: None = None) -> Tensor:
        """The likelihood's parameters of z_1."""
        numbers: Tensor = self.decoder(z)
        return numbers if self.path is None else self.path.parameters_of(z, numbers)

    def _style(self, posterior: Distribution, choose: Choose) -> Step:
        prior = self.style_prior()
        return Step(choose(1, posterior, prior), posterior, prior)

    def _emission(self, style: Tensor, y: Tensor) -> Emission:
        emission: Emission = self.likelihood(with_label(self.decoder, style, y))
        return emission


def with_label(network: nn.Module, rows: Tensor, y: Tensor) -> Tensor:
    """The output of ``network`` for each sample of ``rows``, (samples | 1, batch, ...), and the
    label y, (samples | 1, batch, label_dim)."""
    samples, batch = max(len(rows), len(y)), rows.shape[1]
    rows = rows.expand(samples, *rows.shape[1:]).flatten(0, 1)
    y = y.expand(samples, batch, -1).flatten(0, 1)
    answer: Tensor = network(rows, y).unflatten(0, (samples, batch))
    return answer
