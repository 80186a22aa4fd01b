"""What every model is: a module whose forward pass is a Trace; and what powers it may have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import Parameter

from lowerbound.errors import UnsupportedError
from lowerbound.networks.inputs import Input
from lowerbound.registry import Registry
from lowerbound.trace import Batch, Choose, Draw, Emission, Trace

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


@runtime_checkable
class Encodes(Protocol):
    """A one-step model that answers with q(z | x)."""

    latent_dim: int

    def encode(self, batch: Batch) -> Distribution:
        """q(z | x), batch shape (1, batch)."""


@runtime_checkable
class Decodes(Protocol):
    """A one-step model that answers with p(x | z)."""

    latent_dim: int

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """p(x | z) for z (samples, batch, latent_dim)."""


@runtime_checkable
class Imagines(Protocol):
    """A model with a prior: it can be sampled."""

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """One pass that sees no data; ``batch`` holds the conditions of its rows, if any."""


@runtime_checkable
class HasPrior(Protocol):
    """A one-step model that says what it expects of z before any data."""

    latent_dim: int

    def prior_distribution(self) -> Distribution:
        """p(z), batch shape (1, 1)."""


@runtime_checkable
class Chains(Encodes, Decodes, Protocol):
    """A Markov chain of latents: each one, and x, depends on its neighbors in the chain alone."""

    @property
    def levels(self) -> int:
        """How many latents the chain has; ``encode`` and ``decode`` are of the lowest."""

    def prior_at(self, level: int, above: Tensor | None) -> Distribution:
        """p of the latent at ``level`` (0: the top) given the one above it, (samples, batch, d)."""

    def posterior_above(self, level: int, below: Tensor) -> Distribution:
        """q of the latent at ``level`` given the one below it, (samples, batch, d)."""


@runtime_checkable
class Mixes(Protocol):
    """A model of several levels, each latent of which is proposed in the context of those above."""

    latent_shapes: tuple[tuple[int, ...], ...]

    def mix(self, above: Sequence[Tensor], batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass whose uppermost latents are given, (samples, batch, ...) each."""


@runtime_checkable
class Quantizes(Protocol):
    """A model whose latents are codes, of one codebook or of several, coarse to fine."""

    @property
    def code_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Places of each codebook."""

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each codebook."""

    def quantize(self, batch: Batch) -> tuple[Tensor, ...]:
        """The codes of rows from each codebook, (batch, *its places), int64."""

    def vectors(self, codes: Sequence[Tensor]) -> Tensor:
        """Codes (samples, batch, *places) of each as ``decode`` takes them."""


Power = TypeVar("Power")


LACKED: dict[type, str] = {
    Encodes: "encoder over one latent",
    Decodes: "decoder over one latent",
    Imagines: "prior",
    HasPrior: "prior over one latent",
    Chains: "Markov chain of latents",
    Mixes: "levels whose posterior sees those above",
    Quantizes: "codebook",
}


def require(model: Model, power: type[Power], task: str) -> Power:
    """The model, known to have ``power``.

    Raises:
        UnsupportedError: it has not; the message names the models that have.
    """
    if isinstance(model, power):
        return model
    methods = [name for name, value in vars(power).items() if callable(value) and name[0] != "_"]
    able = [n for n in MODELS if all(hasattr(MODELS[n], method) for method in methods)]
    raise UnsupportedError(
        f"{type(model).__name__} cannot {task}: it has no {LACKED[power]}; "
        f"models that can: {', '.join(able)}"
    )


MODELS: Registry[type[Model]] = Registry("model")
