"""A variational autoencoder of histories of events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.data.sequences.event_kind import EventKind, modeled
from lowerbound.data.sequences.event_layout import EventLayout
from lowerbound.errors import OptionError
from lowerbound.likelihoods.histories import Histories
from lowerbound.models.base import MODELS
from lowerbound.models.vae import VariationalAutoencoder
from lowerbound.networks.events import HistoryEncoder, lengths_of
from lowerbound.networks.mlp import MLP
from lowerbound.priors.base import PRIORS
from lowerbound.trace import Batch

if TYPE_CHECKING:  # names for annotations
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts

LATENT_DIM = 8


@dataclass(frozen=True)
class EventHistoryOptions:
    """Sizes of the networks of a model of histories."""

    hidden: int = option(128, "units of the recurrent networks")
    width: int = option(128, "units of the network that makes the cells of an event")
    vectors: int = option(16, "length of the vector by which networks see a cell")
    cells: int = option(128, "most cells of the histogram of a column of numbers")
    context: int = option(64, "numbers that the decoder makes from z")
    dropout: float = option(0.1, "share of the state that is left out in training")

    def __post_init__(self) -> None:
        if min(self.hidden, self.width, self.vectors, self.context) < 1 or self.cells < 4:
            raise OptionError(
                "hidden, width, vectors and context must be at least 1, and cells at least 4"
            )
        if not 0 <= self.dropout < 1:
            raise OptionError(f"dropout is a share below 1, not {self.dropout}")


@MODELS.register("event_history")
class EventHistory(VariationalAutoencoder):
    r"""z ~ p(z) for an entity, then its events one after another.

    .. math::
        p(x \mid z) = \prod_t \prod_j p(x_{tj} \mid z, x_{<t}, x_{t,<j})

    The cells of an event are the time since the event before (of the first event: its time, and
    before it the constants of the entity), the columns of the event, and whether it is the last.
    The posterior q(z | x) is a recurrent network over all events, in both directions.

    Sources: Kingma & Welling 2014; Bowman et al. 2016 (a recurrent decoder under a latent); Cho et
    al. 2014.
    """

    title: ClassVar[str] = "event history"
    Options: ClassVar[type[Any]] = EventHistoryOptions
    uses: ClassVar[tuple[str, ...]] = ("prior", "posterior")
    tabular: ClassVar[bool] = False
    likelihood: Histories

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        if not isinstance(schema.data_kind, EventKind) or options.conditional:
            raise OptionError(
                "event_history is for tables of events and takes no condition: name the columns of "
                "entities and times, --entity COLUMN --time COLUMN"
            )
        if not PRIORS[options.prior].learns_from_latents:
            raise OptionError(
                f"the prior {options.prior!r} encodes rows of its own, and histories have no "
                "common length: choose standard_normal, mixture or flow"
            )

    @classmethod
    def latent_dim_of(cls, schema: Schema, options: ModelOptions) -> int:
        return options.latent_dim or LATENT_DIM

    @classmethod
    def build(cls, parts: ModelParts) -> EventHistory:
        own, schema = parts.own(EventHistoryOptions), parts.schema
        likelihood = Histories(
            modeled(schema),
            EventLayout.of(schema),
            schema.event_shape[0],
            context=own.context,
            cells=own.cells,
            hidden=own.hidden,
            width=own.width,
            vectors=own.vectors,
            dropout=own.dropout,
        )
        posterior = parts.posterior(parts.latent_dim)
        encoder = HistoryEncoder(
            likelihood.counts, posterior.numbers, vectors=own.vectors, hidden=own.hidden
        )
        decoder = MLP(hidden=(own.context,)).decoder(parts.latent_dim, likelihood.parameter_shape)
        return cls(encoder, posterior, parts.prior(parts.latent_dim), decoder, likelihood)

    @torch.no_grad()
    def start(self, dataset: Dataset) -> None:
        """Fit the cells of histograms to the rows; every feature starts at its marginal."""
        self.likelihood.fit_cells(dataset.schema.units(dataset.x), dataset.mask)

    def seen(self, batch: Batch) -> Tensor:
        """Codes, numbers and the mask of the cells, (batch, events, 3 * features).

        Events after the longest history of the batch are left out.
        """
        x = batch.filled
        mask = ~x.isnan() if batch.observed is None else batch.observed
        x, mask = (each[:, : int(lengths_of(mask).max())] for each in (x, mask))
        return self.likelihood.described(torch.where(mask, x, 0.0), mask).packed()
