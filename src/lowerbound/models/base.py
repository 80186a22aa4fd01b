"""What every model is: a module whose forward pass is a Trace."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import Parameter

from lowerbound.likelihoods import Likelihood
from lowerbound.networks.inputs import Input
from lowerbound.registry import Registry
from lowerbound.trace import Batch, Choose, Draw, Trace

DRAW = Draw()


class Model(nn.Module, ABC):
    """Prior, posterior and likelihood, traversed by ``choose``.

    Args:
        inputs: what the encoder is fed of a row and of which cells were seen; None: the row as it
            is.

    Attributes:
        objective: what trains it where nobody names another.
    """

    objective: ClassVar[str] = "elbo"

    def __init__(self, inputs: Input | None = None) -> None:
        super().__init__()
        self.inputs = inputs

    def seen(self, batch: Batch) -> Tensor:
        """What the encoder is fed, (batch, *inputs.shape)."""
        if self.inputs is None:
            return batch.filled
        features: Tensor = self.inputs(batch.filled, batch.observed, batch.missing)
        return features

    def input_parameters(self) -> list[Parameter]:
        """Those that are learned of what the encoder is fed."""
        return [] if self.inputs is None else list(self.inputs.parameters())

    @property
    def declared_likelihood(self) -> Likelihood | None:
        """The likelihood behind every p(x | z) that it answers with, where it declares one."""
        likelihood: Likelihood | None = getattr(self, "likelihood", None)
        return likelihood

    @property
    def mass(self) -> bool:
        """Whether p(x | z) is a probability mass, so that bits per dimension make sense."""
        return self.declared_likelihood is not None and self.declared_likelihood.mass

    @abstractmethod
    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """One pass. A batch without x imagines from the prior, where the model has one."""

    @abstractmethod
    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        """A partition of the parameters: "inference", "generative", ..."""

    def code(self, trace: Trace) -> Tensor:
        """The latents of a pass as ``decode`` takes them, (samples, batch, latent_dim)."""
        return trace.latents()

    def after_update(self, batch: Batch) -> None:
        """What follows an optimizer update, such as a codebook's moving average."""

    def readings(self) -> Mapping[str, tuple[float, ...]]:
        """Numbers besides the bound that say how training goes, since ``forget_readings``."""
        return {}

    def forget_readings(self) -> None:
        """Take the readings anew from here."""


MODELS: Registry[type[Model]] = Registry("model")
