"""What a model may be able to do, and the error where it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn
from torch.distributions import Distribution, OneHotCategorical

from lowerbound.data.dataset import Dataset
from lowerbound.errors import UnsupportedError
from lowerbound.models.base import DRAW, MODELS, Model
from lowerbound.models.labels.calibration import Fold
from lowerbound.trace import Batch, Choose, Emission, Trace


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
        """One pass that sees no data, of ``len(batch)`` rows with the conditions that it holds."""


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


@runtime_checkable
class HasMarginal(Protocol):
    """A model whose p(x) has a formula."""

    def log_marginal(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Exact log p of the observed cells of x in nats, (rows,), in model units."""


@runtime_checkable
class HasCovariance(Protocol):
    """A model that knows how the features of x vary together."""

    def covariance(self) -> Tensor:
        """Cov(x) under p(x), (features, features), squared model units."""


@runtime_checkable
class HasLabel(Protocol):
    """A model whose first latent is the label of a row."""

    @property
    def labeler(self) -> nn.Module:
        """The network of q(y | x): what the encoder is fed, and no condition, to its numbers."""

    def label_features(self, batch: Batch) -> Tensor:
        """What rows are compared by, so that near rows have the same label, (batch, features)."""


@runtime_checkable
class Classifies(HasLabel, Protocol):
    """A model that answers with q(y | x) of classes."""

    classes: int

    def class_logits(self, batch: Batch, labeler: nn.Module | None = None) -> Tensor:
        """Logits of q(y | x) before the temperature, (batch, classes); by ``labeler`` if given."""

    def tempered(self, logits: Tensor) -> Tensor:
        """Those whose softmax is q(y | x): the same over the temperature."""

    def class_posterior(self, batch: Batch) -> OneHotCategorical:
        """q(y | x), batch shape (1, batch), one-hot over the classes."""

    def class_shares(self) -> Tensor:
        """p(y), (classes,)."""


@runtime_checkable
class Calibrates(Protocol):
    """A model whose confidence is set after training, by further fits that did not see all rows or
    labels."""

    @classmethod
    def folds(cls, dataset: Dataset, folds: int | None, *, quick: bool) -> list[Fold]:
        """The further fits; none: nothing follows training.

        Args:
            dataset: the rows of the fit.
            folds: how many; None: the model's own default.
            quick: whether nothing limits the time of a fit.
        """

    def fold_answers(self, rows: Dataset) -> Tensor:
        """What the model of a further fit says of the rows hidden from it, (rows, ...)."""

    def calibrate(self, folds: Sequence[Fold], answers: Sequence[Tensor]) -> None:
        """Set the confidence by what each further fit said."""


@runtime_checkable
class Regresses(HasLabel, Protocol):
    """A model that answers with q(y | x) of a number."""

    def target_posterior(self, batch: Batch, labeler: nn.Module | None = None) -> Distribution:
        """q(y | x) of the standardized target, batch shape (1, batch); by ``labeler`` if given."""


Power = TypeVar("Power")


LACKED: dict[type, str] = {
    Encodes: "encoder over one latent",
    Decodes: "decoder over one latent",
    Imagines: "prior",
    HasPrior: "prior over one latent",
    Chains: "Markov chain of latents",
    Mixes: "levels whose posterior sees those above",
    Quantizes: "codebook",
    HasCovariance: "formula for the covariance of its features",
    Classifies: "classes",
    Regresses: "regression target",
}


def name_of(model: Model | type[Model]) -> str:
    """The word that a person types for the model; the name of a class that is not registered."""
    kind = model if isinstance(model, type) else type(model)
    return next((name for name in MODELS if MODELS[name] is kind), kind.__name__)


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
        f"{name_of(model)} cannot {task}: it has no {LACKED[power]}; "
        f"models that can: {', '.join(able)}"
    )
