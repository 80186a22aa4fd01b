"""Records of a fit: its options, its rows, and the fitted model that every application uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lowerbound.config import by_new_names, option, renamed_of
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.distributions.point import Density
from lowerbound.fitting.source import DataSource, Likeness, RefinerFit
from lowerbound.models.base import AUTO, MODELS, Model
from lowerbound.models.options import ModelOptions, ModelParts
from lowerbound.objectives.base import OBJECTIVES
from lowerbound.training.options import TrainingOptions
from lowerbound.training.private.options import PrivacyOptions
from lowerbound.training.private.record import ReleaseRecord
from lowerbound.training.reporter import History


@dataclass(frozen=True)
class PriorFit:
    """How a prior was trained on latents, after the rest of the model.

    Attributes:
        kind: name of the prior.
        rows: how many rows the latents are of.
        latents: SHA-256 of the weights and the rows that the latents were drawn by.
        training: the options of this training.
        validation: mean log p(z) of held-out latents in nats per row; None where none were held
            out.
        density: of this prior: "exact", or "bound" where ``validation`` is a lower bound.
        former_kind: name of the prior that the model had before.
        former: the same mean under that prior; None where none were held out.
        former_density: of that prior.
        error: standard error of the paired difference, ``validation`` minus ``former``.
        held_out: how many rows these means are over.
        fitted_model: the options that the model was fitted with, before any prior was trained on
            latents.
    """

    kind: str = ""
    rows: int = 0
    latents: str = ""
    training: TrainingOptions = field(default_factory=TrainingOptions)
    validation: float | None = None
    density: Density = "exact"
    former_kind: str = ""
    former: float | None = None
    former_density: Density = "exact"
    error: float | None = None
    held_out: int = 0
    fitted_model: ModelOptions | None = None


@dataclass(frozen=True)
class FitOptions:
    """All options of a fit."""

    model: ModelOptions = field(default_factory=ModelOptions)
    objective: str = option(
        AUTO, "what training maximizes; auto: the model's own", choices=OBJECTIVES.after(AUTO)
    )
    objective_options: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    folds: int | None = option(
        None,
        "fits with some labels hidden in turn, which calibrate q(y | x), and for tables weigh its "
        "members; 5 short ones for tables, else none, unless given",
    )
    privacy: PrivacyOptions = field(default_factory=PrivacyOptions)
    prior_fit: PriorFit | None = None
    refiner_fit: RefinerFit | None = None
    likeness: Likeness | None = None
    data: DataSource | None = None
    release: ReleaseRecord | None = None

    @property
    def fitted_model(self) -> ModelOptions:
        """The options that the model was fitted with, whichever prior it has now."""
        return (self.prior_fit and self.prior_fit.fitted_model) or self.model

    def by_new_names(self) -> FitOptions:
        """The same options, with the current names of the objective's options."""
        if self.objective == AUTO:  # the model's default objective has no renamed options
            return self
        renamed = renamed_of(OBJECTIVES[self.objective])
        return replace(self, objective_options=by_new_names(self.objective_options, renamed))


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Attributes:
        model: the module, in evaluation mode.
        schema: the schema of the data, which converts to and from model units.
        options: the options of the fit, every default resolved.
        history: the history of training; empty for a model solved in closed form.
        calibration: how its confidence was calibrated, in words; "" if it was not, or if the model
            was read from a folder.
    """

    model: Model
    schema: Schema
    options: FitOptions
    history: History
    calibration: str = ""

    @property
    def latents(self) -> str:
        """The latents of a row in words, such as "8 latent numbers"."""
        options = self.options.model
        return MODELS[options.model].latents_text(ModelParts(self.schema, options))


def held_out(dataset: Dataset, options: TrainingOptions) -> tuple[Dataset, Dataset | None]:
    """Training and validation rows; a very small data set uses all rows for training."""
    if options.validation <= 0 or round(options.validation * len(dataset)) < 2:
        return dataset, None
    return dataset.split(options.validation, options.seed)
