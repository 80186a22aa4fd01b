"""What every model is: a module whose forward pass is a Trace."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn
from torch.nn import Parameter

from lowerbound.config import from_mapping
from lowerbound.data.dataset import Dataset, spread_rows
from lowerbound.data.hot_deck import hot_deck
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.likelihoods import Likelihood
from lowerbound.networks.base import NETWORKS
from lowerbound.networks.inputs import Input
from lowerbound.registry import Registry
from lowerbound.trace import Batch, Choose, Draw, Trace

if TYPE_CHECKING:  # names for annotations: both modules need the registry below
    from lowerbound.data.kinds import Default
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts

AUTO = "auto"
DRAW = Draw()
MOST_FACTORS = 32  # latent numbers of a table unless given
START_ROWS = 10_000  # that a model starts from
MOST_START_NUMBERS = 2**26  # of these rows together


@dataclass(frozen=True)
class NoOptions:
    """Of a model that has no options of its own."""


class Model(nn.Module, ABC):
    """Prior, posterior and likelihood, traversed by ``choose``.

    A model's file holds all that is its own. A person names it by the word under which its class is
    registered; the class methods decide and check the options and build the model; ``start`` sets
    the weights that data can set before the first update.

    Args:
        inputs: what the encoder is fed of a row and of which cells were seen; None: the row as it
            is.

    Attributes:
        title: what a report calls it.
        Options: the frozen dataclass of its ``model_options``.
        objective: what trains it where nobody names another.
        uses: which of the parts that ``ModelOptions`` names it is built from.
        remark: one sentence for a person who fits it; "" for none.
        tabular: whether it takes the network "tabular", which answers with q(z | x).
        numbers_only: whether it takes every column for a real number.
        is_regression: whether its label is a number.
    """

    title: ClassVar[str] = ""
    Options: ClassVar[type[Any]] = NoOptions
    objective: ClassVar[str] = "elbo"
    uses: ClassVar[tuple[str, ...]] = ("network", "likelihood", "prior", "posterior")
    remark: ClassVar[str] = ""
    tabular: ClassVar[bool] = False
    numbers_only: ClassVar[bool] = False
    is_regression: ClassVar[bool] = False

    def __init__(self, inputs: Input | None = None) -> None:
        super().__init__()
        self.inputs = inputs

    # from options and a schema to a model --------------------------------------------------------

    @classmethod
    def own_options(cls, given: Mapping[str, Any]) -> Any:
        """The ``model_options`` as ``Options``.

        Raises:
            OptionError: one is unknown or has a wrong type.
        """
        return from_mapping(cls.Options, given)

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        """Refuse what this model cannot do, or not with this data.

        Args:
            schema: of the data.
            options: of which the network is decided.

        Raises:
            OptionError: with the reason and what to do instead.
        """

    @classmethod
    def check_missingness(cls, schema: Schema, options: ModelOptions) -> None:
        """Refuse to explain why cells are missing, unless this model can.

        Raises:
            OptionError: it cannot.
        """
        raise OptionError(
            f"missingness {options.missingness!r} is for the model 'vae' with the network 'tabular'"
            f", of rows with missing cells, and not for {options.model!r} with {options.network!r}"
        )

    @classmethod
    def default_network(cls, schema: Schema) -> Default:
        """The one that its data has."""
        return schema.data_kind.default_network(schema, cls.tabular)

    @classmethod
    def default_likelihood(cls, schema: Schema) -> Default:
        """The one that its data has."""
        return schema.data_kind.default_likelihood(schema)

    @classmethod
    def default_likelihood_options(cls, schema: Schema, likelihood: str) -> Mapping[str, Any]:
        """Options of a likelihood that nobody named, which go before those given."""
        if likelihood == "gaussian" and schema.missing and "likelihood" in cls.uses:
            # a cell is imputed as well as its column can be known, and columns differ in that
            return {"scale": "feature"}
        return {}

    @classmethod
    def default_posterior(cls, options: ModelOptions) -> str:
        """Of full covariance where the network answers with one, else diagonal."""
        return "full" if NETWORKS[options.network].full_posterior else "gaussian"

    @classmethod
    def latent_dim_of(cls, schema: Schema, options: ModelOptions) -> int:
        """As given; else about a third of the features of a small row, growing with the root of a
        large one, and half of a table's columns."""
        if options.latent_dim is not None:
            return options.latent_dim
        features = schema.dimension
        if options.network == "tabular":
            return min(math.ceil(features / 2), MOST_FACTORS)
        return max(1, min(math.ceil(features / 3), 2 * math.ceil(math.sqrt(features) / 2), 64))

    @classmethod
    def rival_options(cls, dataset: Dataset, options: ModelOptions) -> ModelOptions | None:
        """Those with which this model is compared with one of other options, as far as it can take
        them; None: it cannot be fitted to these rows."""
        return options

    @classmethod
    def build(cls, parts: ModelParts) -> Model:
        """The model that resolved options describe; weights are torch's defaults.

        Raises:
            OptionError: an option of the model or of a part is unknown.
        """
        raise UnsupportedError(
            f"{cls.__name__} has no build: give fit the model itself, or write that class method"
        )

    def start(self, dataset: Dataset) -> None:
        """Start from training data, before the first update.

        Raises:
            DataError: the data lies outside the likelihood's support, or cannot be fitted.
        """
        self.start_at_marginals(starting_rows(dataset))

    def start_at_marginals(self, batch: Batch) -> Tensor:
        """Set scales, output biases and what the encoder is fed from rows.

        Returns:
            The rows, hidden cells filled from other rows, (rows, *event).
        """
        x = hot_deck(batch)
        likelihood, decoder = self.declared_likelihood, getattr(self, "decoder", None)
        if likelihood is not None:
            likelihood.check(x)
            likelihood.initialize(x)
            bias, set_bias = likelihood.initial_bias(x), getattr(decoder, "set_output_bias", None)
            if bias is not None and callable(set_bias):
                set_bias(bias)
        if self.inputs is not None:
            self.inputs.initialize(batch.filled, batch.observed)
        return x

    # one pass, and training ----------------------------------------------------------------------

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


def title_of(name: str) -> str:
    """What a report calls the model of that name; the name itself where there is no title."""
    return (MODELS[name].title if name in MODELS else "") or name


def starting_rows(dataset: Dataset) -> Batch:
    """At most ``START_ROWS`` rows in model units, spread over the data set."""
    most = min(START_ROWS, max(1, MOST_START_NUMBERS // dataset.schema.dimension))
    return dataset.batch(spread_rows(len(dataset), most), None)
