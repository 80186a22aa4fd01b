"""Protocols for what a model can do, and the error if it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn
from torch.distributions import Distribution, OneHotCategorical
from torch.nn import Parameter

from lowerbound.data.dataset import Dataset
from lowerbound.errors import UnsupportedError
from lowerbound.models.base import DRAW, MODELS, Model
from lowerbound.models.labels.pools import Fold
from lowerbound.models.sequences.states import StateTrace, WorldState
from lowerbound.priors.base import PriorTerms
from lowerbound.trace import Batch, Choose, Emission, Trace

if TYPE_CHECKING:  # names for annotations
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.sequences.states import Behavior, Outcomes


@runtime_checkable
class Encodes(Protocol):
    """A one-step model that returns q(z | x)."""

    latent_dim: int

    def encode(self, batch: Batch) -> Distribution:
        """q(z | x), batch shape (1, batch)."""


@runtime_checkable
class Decodes(Protocol):
    """A one-step model that returns p(x | z)."""

    latent_dim: int

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """p(x | z) for z (samples, batch, latent_dim)."""


@runtime_checkable
class Imagines(Protocol):
    """A model with a prior: it can be sampled."""

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """One pass without data, for ``len(batch)`` rows and the batch's conditions."""


@runtime_checkable
class ImaginesLatents(Imagines, Protocol):
    """A model whose latents can be drawn without the rows they decode to."""

    def imagine_latents(self, batch: Batch, choose: Choose = DRAW) -> tuple[Tensor, ...]:
        """The latents of ``imagine``, top down, (samples, batch, ...) each."""


@runtime_checkable
class WorldModel(Protocol):
    """A model of windows of episodes, whose states continue by actions.

    Attributes:
        actions: numbers of an action.
        frame_shape: of one time of a row.
        behavior: actor and critic; None: it has none.
        outcomes: rewards and ends of states; None: it has none.
    """

    actions: int
    frame_shape: tuple[int, ...]
    behavior: Behavior | None
    outcomes: Outcomes | None

    def __call__(self, batch: Batch, choose: Choose = DRAW) -> StateTrace:
        """A pass; without x it is imagined, as long as the actions in ``batch.condition``."""

    def start_at_frames(self, frames: Batch) -> None:
        """Start the output at frames, (rows, *frame_shape)."""

    def initial(self, rows: int) -> WorldState:
        """The state before the first frame of episodes."""

    def observe(self, state: WorldState, action: Tensor, frame: Tensor) -> WorldState:
        """The state after one more frame, (rows, ...)."""

    def step(self, state: WorldState, action: Tensor) -> WorldState:
        """The state one action later, drawn from the prior, (rows, ...)."""

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        """A partition of the parameters: "inference", "generative" and "behavior"."""


@runtime_checkable
class HasPrior(Protocol):
    """A one-step model that returns p(z)."""

    latent_dim: int

    def prior_distribution(self) -> Distribution:
        """p(z), batch shape (1, 1)."""


@runtime_checkable
class LearnsPrior(Protocol):
    """A model whose prior can be trained on its latents while the rest of it stays fixed."""

    @classmethod
    def prior_name(cls, options: ModelOptions) -> str:
        """The name of the prior of a model with these options."""

    @classmethod
    def prior_kinds(cls) -> Sequence[str]:
        """Names of the priors that can be trained on its latents, the default first."""

    @classmethod
    def with_prior(
        cls, options: ModelOptions, prior: str, prior_options: Mapping[str, Any]
    ) -> ModelOptions:
        """The options of the same model with the prior of that name.

        Raises:
            OptionError: there is no such prior, or it cannot be trained on latents.
        """

    @property
    def learned_prior(self) -> nn.Module:
        """The part that training on latents changes."""

    def prior_latents(self, batch: Batch, samples: int) -> Tensor:
        """Draws from q(z | x), (samples, batch, numbers); codes as whole numbers, one draw."""

    def start_prior(self, latents: Tensor, noise: Tensor | None = None) -> None:
        """Start the prior from latents of training rows, (rows, numbers), and the standard
        deviation of q(z | x) of each number, if it is known."""

    def prior_terms(self, latents: Tensor, prompt: Tensor | None = None) -> PriorTerms:
        """What training the prior on latents, (rows, numbers), needs."""


@runtime_checkable
class Chains(Encodes, Decodes, Protocol):
    """A Markov chain of latents: each latent, and x, depends only on its neighbors in the chain."""

    @property
    def levels(self) -> int:
        """Number of latents in the chain; ``encode`` and ``decode`` use the lowest."""

    def prior_at(self, level: int, above: Tensor | None) -> Distribution:
        """p of the latent at ``level`` (0: the top) given the one above it, (samples, batch, d)."""

    def posterior_above(self, level: int, below: Tensor) -> Distribution:
        """q of the latent at ``level`` given the one below it, (samples, batch, d)."""


@runtime_checkable
class Mixes(Protocol):
    """A model of several levels; the posterior of each latent depends on the latents above it."""

    latent_shapes: tuple[tuple[int, ...], ...]

    def mix(self, above: Sequence[Tensor], batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass with given uppermost latents, (samples, batch, ...) each."""


@runtime_checkable
class Quantizes(Protocol):
    """A model whose latents are codes from one or several codebooks, coarse to fine."""

    @property
    def code_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Places of each codebook."""

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each codebook."""

    def quantize(self, batch: Batch) -> tuple[Tensor, ...]:
        """The codes of rows from each codebook, (batch, *places), int64."""

    def vectors(self, codes: Sequence[Tensor]) -> Tensor:
        """The input of ``decode`` for the codes (samples, batch, *places) of each codebook."""


@runtime_checkable
class TakesCondition(Protocol):
    """A network that takes a condition of ``condition_dim`` numbers; 0: none."""

    condition_dim: int


@runtime_checkable
class HasMarginal(Protocol):
    """A model whose log p(x) has a closed form."""

    def log_marginal(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Exact log p of the observed cells of x in nats, (rows,), in model units."""


@runtime_checkable
class HasNoisyPosterior(Protocol):
    """A model whose p(z | y) of rows y with Gaussian noise and hidden cells has a closed form.

    E[x | z] is affine in z, so that E[x | y] is E[x | y, z] at the mean of p(z | y).
    """

    def noisy_posterior(self, batch: Batch, variance: Tensor) -> Distribution:
        """The exact p(z | y), batch shape (1, batch), for noise of this variance in model units
        squared, broadcastable to a row."""

    def noisy_log_marginal(self, batch: Batch, variance: Tensor) -> Tensor:
        """Exact log p(y) of the observed cells in nats, (rows,), in model units."""


@runtime_checkable
class HasCovariance(Protocol):
    """A model whose Cov(x) has a closed form."""

    def covariance(self) -> Tensor:
        """Cov(x) under p(x), (features, features), squared model units."""


@runtime_checkable
class HasLabel(Protocol):
    """A model whose first latent is the label of a row.

    Attributes:
        label_is_fitted: whether q(y | x) is final, and training learns the other parts alone.
    """

    label_is_fitted: bool

    @property
    def labeler(self) -> nn.Module:
        """The network of q(y | x), from the encoder's input without a condition to its numbers."""

    def label_features(self, batch: Batch) -> Tensor:
        """Features in which rows with the same label are near each other, (batch, features)."""


@runtime_checkable
class Classifies(HasLabel, Protocol):
    """A model that returns q(y | x) over classes.

    Attributes:
        classes: their number.
    """

    classes: int

    def class_logits(self, batch: Batch, labeler: nn.Module | None = None) -> Tensor:
        """Logits of q(y | x) before the temperature, (batch, classes); by ``labeler`` if given."""

    def tempered(self, logits: Tensor) -> Tensor:
        """The logits divided by the temperature; their softmax is q(y | x)."""

    def class_posterior(self, batch: Batch) -> OneHotCategorical:
        """q(y | x), batch shape (1, batch), one-hot over the classes."""

    def class_shares(self) -> Tensor:
        """p(y), (classes,)."""


@runtime_checkable
class Calibrates(Protocol):
    """A model whose confidence is calibrated after training by further fits, from each of which
    some rows or labels are hidden."""

    def folds(self, dataset: Dataset, folds: int | None) -> list[Fold] | None:
        """The further fits; None: no calibration.

        Args:
            dataset: the rows of the fit.
            folds: number of further fits; None: the model's default.

        Raises:
            OptionError: fits are requested, and no label can be hidden.
        """

    def fold_answers(self, rows: Dataset) -> Tensor:
        """Predictions of a further fit's model for the rows hidden from it, (rows, ...)."""

    def calibrate(self, dataset: Dataset, folds: Sequence[Fold], answers: Sequence[Tensor]) -> str:
        """Set the confidence from the predictions of the further fits; what was found, in words."""


@runtime_checkable
class LabelFirst(Protocol):
    """A model whose q(y | x) may be fitted and calibrated before the other parts.

    Attributes:
        label_first: whether it is.
    """

    label_first: bool

    def take_label(self, other: Model) -> None:
        """Take the network of q(y | x) of a further fit to all labels; training keeps it."""


@runtime_checkable
class Regresses(HasLabel, Protocol):
    """A model that returns q(y | x) of a number."""

    def target_posterior(self, batch: Batch, labeler: nn.Module | None = None) -> Distribution:
        """q(y | x) of the standardized target, batch shape (1, batch); by ``labeler`` if given."""


Power = TypeVar("Power")


LACKED: dict[type, str] = {
    Encodes: "encoder over one latent",
    Decodes: "decoder over one latent",
    Imagines: "prior",
    HasPrior: "prior over one latent",
    LearnsPrior: "prior that is trained on latents",
    Chains: "Markov chain of latents",
    Mixes: "levels whose posterior sees those above",
    Quantizes: "codebook",
    HasCovariance: "formula for the covariance of its features",
    Classifies: "classes",
    Regresses: "regression target",
}


def name_of(model: Model | type[Model]) -> str:
    """The registered name of the model, or the class name if it is not registered."""
    kind = model if isinstance(model, type) else type(model)
    return next((name for name in MODELS if MODELS[name] is kind), kind.__name__)


def models_with(power: type) -> list[str]:
    """Names of the registered models that have ``power``."""
    methods = [name for name, value in vars(power).items() if callable(value) and name[0] != "_"]
    return [n for n in MODELS if all(hasattr(MODELS[n], method) for method in methods)]


def require(model: Model, power: type[Power], task: str, others: Sequence[str] = ()) -> Power:
    """Return the model after checking that it has ``power``.

    Args:
        model: any.
        power: what the task needs.
        task: in words, after "cannot".
        others: names or descriptions of models that can do the task without ``power``.

    Raises:
        UnsupportedError: it lacks it; the message names the models that have it.
    """
    if isinstance(model, power):
        return model
    raise UnsupportedError(
        f"{name_of(model)} cannot {task}: it has no {LACKED[power]}; "
        f"models that can: {', '.join([*models_with(power), *others])}"
    )
