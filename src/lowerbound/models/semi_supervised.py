"""The class of a row as one more latent: known for some rows, inferred for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, OneHotCategorical
from torch.nn import Parameter

from lowerbound.likelihoods import Likelihood
from lowerbound.models.base import DRAW, MODELS, Model
from lowerbound.networks.inputs import Input
from lowerbound.posteriors.gaussian import GaussianHeads
from lowerbound.posteriors.point import Point
from lowerbound.priors import Prior
from lowerbound.trace import Batch, Choose, Emission, Mean, Step, Trace, fold


@runtime_checkable
class Classifies(Protocol):
    """A model that answers with q(y | x)."""

    classes: int

    def class_posterior(self, batch: Batch) -> OneHotCategorical:
        """q(y | x), batch shape (1, batch), one-hot over the classes."""


class Between(nn.Module):
    """The two networks between z_1 and, above it, the style and the class (M2 over M1's latents).

    Args:
        encoder: (rows, d_1), class -> two heads of the style.
        decoder: (rows, latent_dim), class -> (rows, 2 d_1), two heads of z_1.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder


@MODELS.register("semi_supervised")
class SemiSupervisedVariationalAutoencoder(Model):
    r"""y ~ p(y), z ~ p(z), x ~ p(x | y, z), with q(y | x) q(z | x, y): M2 of Kingma et al. 2014.

    Latents in generative order: the class y, one-hot; the style z; and, where there is a
    ``between``, z_1, from which alone x is made (M1+M2):

    .. math:: p(x \mid z_1)\, p(z_1 \mid y, z)\, p(y)\, p(z), \quad
        q(y \mid x)\, q(z_1 \mid x)\, q(z \mid z_1, y)

    A pass decides y as any other latent and never looks at a batch's label: who knows the class of
    a row, or enumerates the classes, says so by ``choose`` (``Every``). A condition given to
    ``imagine`` is the class of the rows to make, one-hot.

    Args:
        classifier: (rows, *inputs.shape) -> (rows, classes), logits of q(y | x).
        encoder: (rows, *inputs.shape), class -> two heads of z; with ``between``: no class, z_1.
        prior: p(z).
        decoder: (rows, latent_dim), class -> the likelihood's numbers; with ``between``: of z_1.
        likelihood: those numbers -> p(x | ...).
        inputs: what encoder and classifier are fed; None: the row as it is.
        between: makes it M1+M2.
        classes: how many.
        class_prior: p(y), where it is known; None: to be taken from the labels.

    Attributes:
        latent_dim: numbers of a code: one per class and those of the style; those of z_1 in M1+M2.
        temperature: q(y | x) is the softmax of the logits over it.
    """

    objective: ClassVar[str] = "semi_supervised"
    log_prior: Tensor
    temperature: Tensor

    def __init__(
        self,
        classifier: nn.Module,
        encoder: nn.Module,
        prior: Prior,
        decoder: nn.Module,
        likelihood: Likelihood,
        inputs: Input | None = None,
        between: Between | None = None,
        *,
        classes: int,
        feature_dim: int = 0,
        class_prior: Sequence[float] | None = None,
    ) -> None:
        super().__init__(inputs)
        self.classifier = classifier
        self.encoder = encoder
        self.prior = prior
        self.decoder = decoder
        self.likelihood = likelihood
        self.between = between
        self.classes = classes
        self.heads = GaussianHeads()
        self.latent_dim = feature_dim if between is not None else classes + prior.latent_dim
        self.prior_is_known = class_prior is not None
        shares = (1 / classes,) * classes if class_prior is None else tuple(class_prior)
        self.register_buffer("log_prior", torch.tensor(shares).log())
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        if batch.x is None:
            return self.imagine(batch, choose)
        classes, prior = self.class_posterior(batch), self.class_prior()
        y = choose(0, classes, prior)
        first = Step(y, classes, prior)
        if self.between is not None:
            return self._stacked(batch, first, choose)
        numbers = told(self.encoder, self.seen(batch).unsqueeze(0), y)
        style = self._style(self.heads(numbers), choose)
        emission = self._emission(style.z, y).knowing(batch.missing)
        return Trace((first, style), emission)

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass that sees no data; ``batch.condition`` says the class, where it is given."""
        prior: Distribution = self.class_prior()
        if batch.condition is not None:
            prior = OneHotCategorical(batch.condition.unsqueeze(0), validate_args=False)
        rows = torch.Size((1, len(batch)))
        y = choose(0, None, prior.expand(rows))
        style = choose(1, None, self.style_prior().expand(rows))
        steps = (Step(y, None, prior), Step(style, None, self.style_prior()))
        if self.between is None:
            return Trace(steps, self._emission(style, y))
        expected = self.heads(told(self.between.decoder, style, y))
        z = choose(2, None, expected)
        return Trace((*steps, Step(z, None, expected)), self.decode(z))

    def class_prior(self) -> OneHotCategorical:
        """p(y), batch shape (1, 1)."""
        return OneHotCategorical(logits=self.log_prior.reshape(1, 1, -1), validate_args=False)

    def style_prior(self) -> Distribution:
        """p(z), batch shape (1, 1)."""
        distribution: Distribution = self.prior(None)
        return distribution

    def class_posterior(self, batch: Batch) -> OneHotCategorical:
        """q(y | x), batch shape (1, batch)."""
        logits = self.class_logits(batch) / self.temperature
        return OneHotCategorical(logits=logits.unsqueeze(0), validate_args=False)

    def class_logits(self, batch: Batch) -> Tensor:
        """What q(y | x) is the softmax of, before the temperature, (batch, classes)."""
        logits: Tensor = self.classifier(self.seen(batch), None)
        return logits.float() if logits.dtype == torch.bfloat16 else logits

    def encode(self, batch: Batch) -> Distribution:
        """The code as one point: probabilities of the classes beside the mean of the style; the
        Gaussian q(z_1 | x) in M1+M2; batch shape (1, batch)."""
        if self.between is not None:
            return self._features(batch)
        return Point(self.code(self(batch, Mean())))

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """p(x | code) for codes (samples, batch, latent_dim)."""
        if self.between is None:
            y, style = z.split([self.classes, self.latent_dim - self.classes], -1)
            return self._emission(style, y)
        emission: Emission = self.likelihood(fold(self.decoder, z))
        return emission

    def code(self, trace: Trace) -> Tensor:
        """What x is made of, (samples, batch, latent_dim)."""
        if self.between is not None:
            return trace.steps[-1].z
        y, style = (step.z for step in trace.steps)
        samples = max(len(y), len(style))
        return torch.cat([part.expand(samples, -1, -1) for part in (y, style)], -1)

    @torch.no_grad()
    def start_classes(self, label: Tensor) -> None:
        """Take p(y), unless it was given, from the labels that are known, one more of each class
        counted (Laplace)."""
        if self.prior_is_known:
            return
        counts = torch.bincount(label[label >= 0], minlength=self.classes) + 1.0
        self.log_prior.copy_(torch.log(counts / counts.sum()))

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        inference, generative = [self.classifier, self.encoder], [self.prior, self.decoder]
        if self.between is not None:
            inference.append(self.between.encoder)
            generative.append(self.between.decoder)
        generative.append(self.likelihood)
        return {
            "inference": [
                *self.input_parameters(),
                *(value for part in inference for value in part.parameters()),
            ],
            "generative": [value for part in generative for value in part.parameters()],
        }

    def _stacked(self, batch: Batch, first: Step, choose: Choose) -> Trace:
        """The latents below the class where x is made of z_1 alone."""
        assert self.between is not None
        features = self._features(batch)
        z = choose(2, features, None)
        style = self._style(self.heads(told(self.between.encoder, z, first.z)), choose)
        expected = self.heads(told(self.between.decoder, style.z, first.z))
        emission = self.decode(z).knowing(batch.missing)
        return Trace((first, style, Step(z, features, expected, closed=False)), emission)

    def _features(self, batch: Batch) -> Distribution:
        """q(z_1 | x), batch shape (1, batch)."""
        distribution: Distribution = self.heads(self.encoder(self.seen(batch), None).unsqueeze(0))
        return distribution

    def _style(self, posterior: Distribution, choose: Choose) -> Step:
        prior = self.style_prior()
        return Step(choose(1, posterior, prior), posterior, prior)

    def _emission(self, style: Tensor, y: Tensor) -> Emission:
        emission: Emission = self.likelihood(told(self.decoder, style, y))
        return emission


def told(network: nn.Module, rows: Tensor, y: Tensor) -> Tensor:
    """What ``network`` answers for each sample of ``rows``, (samples | 1, batch, ...), told the
    class y, (samples | 1, batch, classes)."""
    samples, batch = max(len(rows), len(y)), rows.shape[1]
    rows = rows.expand(samples, *rows.shape[1:]).flatten(0, 1)
    y = y.expand(samples, batch, -1).flatten(0, 1)
    answer: Tensor = network(rows, y).unflatten(0, (samples, batch))
    return answer
