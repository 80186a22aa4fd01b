"""The base class of models: a module whose forward pass returns a Trace."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn
from torch.nn import Parameter

from lowerbound import parts
from lowerbound.config import from_mapping, options_of
from lowerbound.data.dataset import Dataset, spread_rows
from lowerbound.data.incomplete import hot_deck
from lowerbound.errors import OptionError, UnsupportedError, counted
from lowerbound.likelihoods.base import START_ROWS, Likelihood
from lowerbound.networks.base import NETWORKS
from lowerbound.networks.inputs import Input
from lowerbound.registry import Registry
from lowerbound.trace import Batch, Choose, Draw, Trace

if TYPE_CHECKING:  # names for annotations: both modules need the registry below
    from lowerbound.data.kinds import Default
    from lowerbound.data.schema import Schema
    from lowerbound.models.correction import RowCorrection
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts
    from lowerbound.models.refinement import Refiner

DRAW = Draw()
MOST_FACTORS = 32  # largest default latent_dim of a table
MOST_START_NUMBERS = 2**26  # most numbers in these rows together


@dataclass(frozen=True)
class NoOptions:
    """The options of a model that has none."""


class Model(nn.Module, ABC):
    """Prior, posterior and likelihood; ``choose`` decides each latent of a pass.

    One file holds one model. Users select it by its registered name. The class methods choose and
    check the options and build the model; ``start`` sets weights from data before the first update.

    Args:
        inputs: makes the encoder's input from a row and its mask; None: the row unchanged.

    Attributes:
        title: its name in reports.
        Options: the frozen dataclass of its ``model_options``.
        objective: name of the default objective.
        uses: the parts in ``ModelOptions`` that it is built from.
        remark: one sentence that a fit prints; "" for none.
        tabular: whether it accepts the network "tabular", which returns q(z | x).
        numbers_only: whether it treats every column as a real number.
        is_regression: whether its label is a number.
        label_first: whether q(y | x) is fitted and calibrated before the other parts.
        infers_label: whether the label is a latent that is inferred for rows without one.
        predicts: whether its code predicts quantities of a row.
        refiner: restores the detail of pictures that are drawn; None: there is none.
        correction: of rows of a table that are drawn; None: there is none.
        planned_updates: of the run that ``start`` prepares; None: unknown, as where time limits it.
    """

    title: ClassVar[str] = ""
    Options: ClassVar[type[Any]] = NoOptions
    objective: ClassVar[str] = "elbo"
    uses: ClassVar[tuple[str, ...]] = ("network", "likelihood", "prior", "posterior")
    remark: ClassVar[str] = ""
    tabular: ClassVar[bool] = False
    numbers_only: ClassVar[bool] = False
    is_regression: ClassVar[bool] = False
    infers_label: ClassVar[bool] = False
    label_first: bool = False
    planned_updates: int | None = None
    predicts: ClassVar[bool] = False

    def __init__(self, inputs: Input | None = None) -> None:
        super().__init__()
        self.inputs = inputs
        self.refiner: Refiner | None = None
        self.correction: RowCorrection | None = None

    # from options and a schema to a model --------------------------------------------------------

    @classmethod
    def own_options(cls, given: Mapping[str, Any]) -> Any:
        """The ``model_options`` as ``Options``.

        Raises:
            OptionError: one is unknown or has a wrong type.
        """
        return from_mapping(cls.Options, given)

    @classmethod
    def option_names(cls) -> list[str]:
        """The names that ``model_options`` may have."""
        return options_of(cls.Options)

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        """Check that this model supports the options and the data.

        Args:
            schema: the data's schema.
            options: the options; their network is already decided.

        Raises:
            OptionError: it does not; the message gives the reason and an alternative.
        """

    @classmethod
    def check_missingness(cls, schema: Schema, options: ModelOptions) -> None:
        """Check that this model can explain why cells are missing.

        Raises:
            OptionError: it cannot, which is the default.
        """
        raise OptionError(
            f"missingness={options.missingness!r} is for the model 'vae' with the network 'tabular'"
            f", of rows with missing cells, and not for {options.model!r} with {options.network!r}"
        )

    @classmethod
    def default_network(cls, schema: Schema) -> Default:
        """The default network of this kind of data."""
        return schema.data_kind.default_network(schema, cls.tabular)

    @classmethod
    def default_likelihood(cls, schema: Schema) -> Default:
        """The default likelihood of this kind of data."""
        return schema.data_kind.default_likelihood(schema)

    @classmethod
    def default_likelihood_options(cls, schema: Schema, likelihood: str) -> Mapping[str, Any]:
        """Options of the default likelihood; given options override them."""
        if likelihood == "gaussian" and schema.missing and "likelihood" in cls.uses:
            # columns differ in how well their cells can be imputed
            return {"scale": "feature"}
        return {}

    @classmethod
    def default_posterior(cls, options: ModelOptions) -> str:
        """A full covariance if the network returns one, else the network's default."""
        network = NETWORKS[options.network]
        return "full" if network.full_posterior else network.default_posterior

    @classmethod
    def latent_dim_of(cls, schema: Schema, options: ModelOptions) -> int:
        """The given number, or a default: half of a table's columns; for other rows about a third
        of the features if there are few, and about their square root if there are many."""
        if options.latent_dim is not None:
            return options.latent_dim
        usual = schema.data_kind.default_latent_dim(schema)
        if usual is not None:
            return usual
        features = schema.dimension
        if options.network == "tabular":
            return min(math.ceil(features / 2), MOST_FACTORS)
        return max(1, min(math.ceil(features / 3), 2 * math.ceil(math.sqrt(features) / 2), 64))

    @classmethod
    def latents_text(cls, parts: ModelParts) -> str:
        """The latents of a row in words, such as "8 latent numbers"; its options are resolved."""
        return counted(parts.latent_dim, "latent number")

    @classmethod
    def rival_options(cls, dataset: Dataset, options: ModelOptions) -> ModelOptions | None:
        """Another model's options, changed so that this model can be fitted for a comparison;
        None: this model cannot be fitted to these rows."""
        return options

    @classmethod
    def build(cls, parts: ModelParts) -> Model:
        """Build the model that resolved options describe, with torch's default weights.

        Raises:
            OptionError: an option of the model or of a part is unknown.
        """
        raise UnsupportedError(
            f"{cls.__name__} has no build: give fit the model itself, or write that class method"
        )

    def start(self, dataset: Dataset) -> None:
        """Set starting values from training data, before the first update.

        Raises:
            DataError: the data lies outside the likelihood's support, or cannot be fitted.
        """
        self.start_at_marginals(self.marginal_rows(dataset))

    @property
    def starts_as_linear_model(self) -> bool:
        """Whether ``start`` fits a linear model, which is kept if training finds none better."""
        return False

    def take_layout(self, names: Collection[str]) -> None:
        """Have the parts that a stored model has, by the names of its tensors, and no others."""

    @property
    def warm_up(self) -> int:
        """Updates over which the learning rate rises unless the options say otherwise."""
        return 0

    def marginal_rows(self, dataset: Dataset) -> Batch:
        """The rows for ``start_at_marginals``, as many as the likelihood asks for."""
        likelihood = self.declared_likelihood
        return starting_rows(dataset, START_ROWS if likelihood is None else likelihood.start_rows)

    def start_at_marginals(self, batch: Batch) -> Tensor:
        """Set scales, output biases and the encoder's input statistics from rows.

        Returns:
            The rows with hidden cells filled from other rows, (rows, *event).
        """
        x = hot_deck(batch)
        likelihood, decoder = self.declared_likelihood, getattr(self, "decoder", None)
        if likelihood is not None:
            likelihood.check(x)
            likelihood.initialize(x)
            if batch.missing is not None:
                likelihood.initialize_missing(batch.missing)
            bias, set_bias = likelihood.initial_bias(x), getattr(decoder, "set_output_bias", None)
            if bias is not None and callable(set_bias):
                set_bias(bias)
        if self.inputs is not None:
            self.inputs.initialize(batch.filled, batch.observed)
        return x

    # one pass, and training ----------------------------------------------------------------------

    def seen(self, batch: Batch) -> Tensor:
        """The encoder's input, (batch, *inputs.shape)."""
        if self.inputs is None:
            return batch.filled
        features: Tensor = self.inputs(batch.filled, batch.observed, batch.missing)
        return features

    def input_parameters(self) -> list[Parameter]:
        """The learned parameters of the encoder's input."""
        return [] if self.inputs is None else list(self.inputs.parameters())

    @property
    def declared_likelihood(self) -> Likelihood | None:
        """The likelihood of every p(x | z) that the model returns; None: it declares none."""
        likelihood: Likelihood | None = getattr(self, "likelihood", None)
        return likelihood

    @property
    def needs_latents(self) -> bool:
        """Whether rows are drawn by the latents alone, so that a fit without them has failed."""
        likelihood = self.declared_likelihood
        return likelihood is None or not likelihood.columns_in_turn

    @property
    def mass(self) -> bool:
        """Whether p(x | z) is a probability mass, so that bits per dimension are defined."""
        return self.declared_likelihood is not None and self.declared_likelihood.mass

    @abstractmethod
    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """One pass. If the batch has no x, draw the rows from the prior, if there is one."""

    @abstractmethod
    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        """A partition of the parameters: "inference", "generative", ..."""

    def code(self, trace: Trace) -> Tensor:
        """The latents of a pass in the form for ``decode``, (samples, batch, latent_dim)."""
        return trace.latents()

    def after_update(self, batch: Batch, progress: float = 0.0) -> None:
        """Update state that the optimizer does not, such as a codebook's moving average.

        Args:
            batch: of the update.
            progress: fraction of the run that was done before the update.
        """

    def readings(self) -> Mapping[str, tuple[float, ...]]:
        """Training diagnostics besides the bound, collected since ``forget_readings``."""
        return {}

    def forget_readings(self) -> None:
        """Start to collect the readings again."""


MODELS: Registry[type[Model]] = parts.MODELS


def title_of(name: str) -> str:
    """The title of the model of that name in reports, or the name if it has no title."""
    return (MODELS[name].title if name in MODELS else "") or name


def starting_rows(dataset: Dataset, rows: int = START_ROWS) -> Batch:
    """At most that many rows in model units, spread over the data set."""
    most = min(rows, max(1, MOST_START_NUMBERS // dataset.schema.dimension))
    return dataset.batch(spread_rows(len(dataset), most), None)
