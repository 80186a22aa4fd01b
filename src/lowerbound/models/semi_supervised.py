"""The class of a row as one more latent: known for some rows, inferred for the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategorical

from lowerbound.likelihoods import Likelihood
from lowerbound.models.base import MODELS
from lowerbound.models.labeled import LabeledVariationalAutoencoder, StackedNetworks
from lowerbound.networks.inputs import Input
from lowerbound.priors import Prior
from lowerbound.trace import Batch


@MODELS.register("semi_supervised")
class SemiSupervisedVariationalAutoencoder(LabeledVariationalAutoencoder):
    """The label is a class, one-hot: discrete, so that who takes every class takes them exactly
    (``Every``).

    Args:
        classifier: (rows, *inputs.shape) -> (rows, classes), logits of q(y | x).
        encoder, prior, decoder, likelihood, inputs, between, feature_dim: as of
            ``LabeledVariationalAutoencoder``.
        classes: how many.
        class_prior: p(y), where it is known; None: to be taken from the labels.

    Attributes:
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
        between: StackedNetworks | None = None,
        *,
        classes: int,
        feature_dim: int = 0,
        class_prior: Sequence[float] | None = None,
    ) -> None:
        super().__init__(
            encoder,
            prior,
            decoder,
            likelihood,
            inputs,
            between,
            label_dim=classes,
            feature_dim=feature_dim,
        )
        self.classifier = classifier
        self.classes = classes
        self.prior_is_known = class_prior is not None
        shares = (1 / classes,) * classes if class_prior is None else tuple(class_prior)
        self.register_buffer("log_prior", torch.tensor(shares).log())
        self.register_buffer("temperature", torch.ones(()))

    @property
    def labeler(self) -> nn.Module:
        return self.classifier

    def label_posterior(self, batch: Batch) -> OneHotCategorical:
        return self.class_posterior(batch)

    def label_prior(self) -> OneHotCategorical:
        return self.class_prior()

    def certain(self, label: Tensor) -> OneHotCategorical:
        return OneHotCategorical(label.unsqueeze(0), validate_args=False)

    def class_prior(self) -> OneHotCategorical:
        """p(y), batch shape (1, 1)."""
        return OneHotCategorical(logits=self.log_prior.reshape(1, 1, -1), validate_args=False)

    def class_posterior(self, batch: Batch) -> OneHotCategorical:
        """q(y | x), batch shape (1, batch)."""
        logits = self.tempered(self.class_logits(batch))
        return OneHotCategorical(logits=logits.unsqueeze(0), validate_args=False)

    def class_logits(self, batch: Batch, labeler: nn.Module | None = None) -> Tensor:
        """What q(y | x) is the softmax of, before the temperature, (batch, classes)."""
        logits: Tensor = (labeler or self.classifier)(self.seen(batch), None)
        return logits.float() if logits.dtype == torch.bfloat16 else logits

    def tempered(self, logits: Tensor) -> Tensor:
        """The logits over the temperature."""
        return logits / self.temperature.to(logits)

    def class_shares(self) -> Tensor:
        """p(y), (classes,)."""
        return self.log_prior.exp()

    @torch.no_grad()
    def start_classes(self, label: Tensor) -> None:
        """Take p(y), unless it was given, from the labels that are known, one more of each class
        counted (Laplace)."""
        if self.prior_is_known:
            return
        counts = torch.bincount(label[label >= 0], minlength=self.classes) + 1.0
        self.log_prior.copy_(torch.log(counts / counts.sum()))
